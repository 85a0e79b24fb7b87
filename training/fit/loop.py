"""The one training loop, to be read from top to bottom.

A training method brings a `Method` (it adds the gradients of a step and returns its losses) and a `TrainState` (what is
trained and how it is saved). The loop brings everything else: seeds, learning rates, clipping, the guard against values
that are not finite, reports, validation, saving, the end by steps, by minutes or by a signal.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.errors import DivergedError
from training.fit.distributed import World
from training.fit.files import LAST
from training.fit.optimiser import ScheduledOptimiser
from training.fit.schedule import Progress

Terms = dict[str, Tensor]
"""Losses and other values of a step by name, without gradient; `total` is among them."""
Scores = Mapping[str, float]
"""What a validation found: SCORE, higher is better, chooses the best checkpoint; the others are shown beside it."""
SCORE = "score"
GUARDED = ("total", "discriminator", "grad_norm")
"""What has to be finite for a step to be taken."""
Batch = TypeVar("Batch", bound=Sized)
Precision = Literal["auto", "fp32", "bf16"]


class LoopConfig(Protocol):
    """The fields of a config that the loop reads; `training.pretrain.config` says what each of them means."""

    @property
    def output(self) -> Path: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def minutes(self) -> float: ...  # noqa: D102
    @property
    def log_every(self) -> int: ...  # noqa: D102
    @property
    def save_every(self) -> int: ...  # noqa: D102


class TrainState(Protocol):
    """Everything a run consists of, between two steps."""

    step: int
    """Steps done."""
    elapsed_s: float
    """Seconds of training so far, all parts of the run together."""
    best_score: float | None
    """Of the best checkpoint, where there was a validation."""

    @property
    def config(self) -> LoopConfig:
        """The settings of the run."""
        ...

    @property
    def network(self) -> nn.Module:
        """What is trained: its gradient is clipped, and it is in evaluation mode during validation."""
        ...

    @property
    def clip_norm(self) -> float:
        """Longest gradient."""
        ...

    @property
    def optimisers(self) -> Sequence[ScheduledOptimiser]:
        """All optimisers; the learning rate of the first one is reported."""
        ...

    def save_last(self) -> None:
        """Write all that is needed to resume."""
        ...

    def save_best(self) -> None:
        """Write the weights."""
        ...


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Method:
    """What a training method does in a step, and how it is validated."""

    add_gradients: Callable[[int, Progress], Terms]
    """Adds the gradients of one part of a step, by its number from 0; the mean of all parts' terms is reported."""
    num_parts: int = 1
    """Parts of a step: batches whose gradients are accumulated."""
    after_step: Callable[[], None] = _nothing
    """Called once the optimisers have changed the weights, before the step is counted: for averages and queues."""
    validate: Callable[[], Scores] | None = None
    """Scores the network now and then, so that the best checkpoint is kept."""
    validate_every: int = 1
    """Steps between two validations; there is one after the last step as well."""


@dataclass(frozen=True)
class StepReport:
    """What one step did."""

    step: int
    """Steps done, this one included."""
    terms: dict[str, float]
    """Every loss before its weight, `total`, `grad_norm`, and what else the method returns."""
    learning_rate: float
    samples_per_s: float
    """Windows, or clips, of all processes together, since the last report."""
    waiting: float
    """Share of the time since the last report in which data was waited for."""
    done: float
    """Share of the run, by steps or by time, whichever is ahead."""


class Callbacks(Protocol):
    """Called while a run goes on."""

    def on_step(self, report: StepReport) -> None:
        """A step is done; every `log_every` steps."""

    def on_validation(self, step: int, scores: Scores, *, best: bool) -> None:
        """A validation is done."""

    def on_skip(self, reason: str) -> None:
        """A sample could not be used."""


class Clock:
    """Where a run's time goes."""

    def __init__(self, earlier_s: float) -> None:
        self._earlier_s = earlier_s
        self._start = self._last = time.perf_counter()
        self._waited_s, self._samples = 0.0, 0

    def elapsed_s(self) -> float:
        """Seconds of training, earlier parts of the run included."""
        return self._earlier_s + time.perf_counter() - self._start

    def share_of(self, minutes: float) -> float:
        """Share of a time budget that is spent; 0 of an endless one."""
        return self.elapsed_s() / (60.0 * minutes)

    def take(self, batches: Iterator[Batch]) -> Batch:
        """The next batch, its waiting and its samples counted."""
        start = time.perf_counter()
        batch = next(batches)
        self._waited_s += time.perf_counter() - start
        self.count(len(batch))
        return batch

    def count(self, num_samples: int) -> None:
        """Count samples that were not waited for."""
        self._samples += num_samples

    def read(self) -> tuple[float, float]:
        """Samples per second and share of waiting since the last reading."""
        now = time.perf_counter()
        passed_s = max(now - self._last, 1e-9)
        rates = self._samples / passed_s, self._waited_s / passed_s
        self._last, self._waited_s, self._samples = now, 0.0, 0
        return rates


def fit(
    state: TrainState,
    method: Method,
    clock: Clock,
    world: World,
    *,
    callbacks: Callbacks,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the steps or the minutes are over or `stop` says so; then save.

    Args:
        state: new or resumed; changed in place. A run that is over already is only saved.
        method: what a step does.
        clock: started with the seconds of earlier parts of the run.
        world: the processes that take part.
        callbacks: of the leading process.
        stop: asked after every step.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
    """
    config = state.config
    share_of_time, stopped = world.agree([clock.share_of(config.minutes), 0.0])
    while state.step < config.steps and share_of_time < 1 and not stopped:
        torch.manual_seed(step_seed(config.seed, state.step, world.rank))
        progress = Progress(state.step, config.steps, share_of_time)
        learning_rates = [optimiser.set_learning_rate(progress) for optimiser in state.optimisers]

        terms: Terms = {}
        for part in range(method.num_parts):
            added = method.add_gradients(part, progress)
            terms = {name: terms.get(name, 0.0) + term / method.num_parts for name, term in added.items()}

        terms["grad_norm"] = nn.utils.clip_grad_norm_(state.network.parameters(), state.clip_norm)
        guard(state, terms)
        for scheduled in state.optimisers:
            scheduled.optimiser.step()
            scheduled.optimiser.zero_grad()
        method.after_step()
        state.step += 1
        state.elapsed_s = clock.elapsed_s()
        share_of_time, stopped = world.agree([clock.share_of(config.minutes), float(stop())])

        if world.leads:
            if state.step % config.log_every == 0 or state.step == config.steps:
                callbacks.on_step(make_report(state, terms, learning_rates[0], clock, world, share_of_time))
            if method.validate and (state.step % method.validate_every == 0 or state.step == config.steps):
                scores, best = keep_best(state, method.validate)
                callbacks.on_validation(state.step, scores, best=best)
            if state.step % config.save_every == 0:
                state.save_last()
    if world.leads:
        state.save_last()


def guard(state: TrainState, terms: Terms) -> None:
    """Stop before a step that would spoil the weights.

    Raises:
        DivergedError: a loss or the gradient is not finite; all that are not are named.
    """
    if torch.isfinite(torch.stack([terms[name] for name in GUARDED if name in terms]).sum()):
        return
    bad = [f"{name} is {float(value)}" for name, value in terms.items() if not torch.isfinite(value)]
    saved = state.config.output / LAST
    rest = f"{saved} holds the run before" if saved.exists() else "nothing was saved yet"
    raise DivergedError(
        f"step {state.step + 1} diverged: {', '.join(bad)}. {rest}; lower the learning rate (*learning_rate), lengthen"
        " the warm-up, or look at the data, and start a new run, with start_from=CHECKPOINT if that helps"
    )


def make_report(
    state: TrainState, terms: Terms, learning_rate: float, clock: Clock, world: World, share_of_time: float
) -> StepReport:
    """The report of the step that was just done."""
    samples_per_s, waiting = clock.read()
    done = Progress(state.step, state.config.steps, share_of_time).share
    values = {name: float(value) for name, value in terms.items()}
    return StepReport(state.step, values, learning_rate, world.size * samples_per_s, waiting, done)


def keep_best(state: TrainState, validate: Callable[[], Scores]) -> tuple[Scores, bool]:
    """Validate, and save the weights if they are the best so far: scores, and whether they are."""
    state.network.eval()
    scores = validate()
    state.network.train()
    best = state.best_score is None or scores[SCORE] > state.best_score
    if best:
        state.best_score = scores[SCORE]
        state.save_best()
    return scores, best


def step_seed(seed: int, step: int, rank: int = -1) -> int:
    """A seed for every step, so that no state of a random generator has to be kept; rank -1 is for all processes."""
    return int(np.random.SeedSequence((seed, step, rank + 1)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def distributed(network: nn.Module, world: World) -> nn.Module:
    """The network as it is called in a step: its gradients are averaged over all processes."""
    return network if world.size == 1 else DistributedDataParallel(network, forward_sync_buffers=False)


@contextmanager
def synchronised(network: nn.Module, *, last: bool) -> Iterator[None]:
    """Exchange gradients between processes only with the last batch of a step."""
    bare = getattr(network, "_orig_mod", network)
    with nullcontext() if last or not isinstance(bare, DistributedDataParallel) else bare.no_sync():
        yield


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """bfloat16 where it is set, or with `auto` where a GPU has it."""
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    enabled = precision == "bf16" or (precision == "auto" and native)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
