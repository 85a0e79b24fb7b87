"""The training loop, to be read from top to bottom.

What is learned in a step is the business of `learn`: it adds the gradients of a part of a step and gives its losses.
"""

import time
from collections.abc import Callable, Iterator, Sized
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
from training.fit.optimiser import scheduled_rate, set_rate

Learn = Callable[[int], dict[str, Tensor]]
"""The number of a part of a step, from 0, to its losses without gradient, `total` among them."""
JUDGED = ("total", "discriminator", "grad_norm")
"""What has to be finite for a step to be taken."""
S = TypeVar("S", bound=Sized)
N = TypeVar("N", bound=nn.Module)
Precision = Literal["auto", "fp32", "bf16"]


class Settings(Protocol):
    """What the loop asks of a run's settings; `training.pretrain.config` says what each of them means."""

    @property
    def output(self) -> Path: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def minutes(self) -> float: ...  # noqa: D102
    @property
    def accumulate(self) -> int: ...  # noqa: D102
    @property
    def log_every(self) -> int: ...  # noqa: D102
    @property
    def save_every(self) -> int: ...  # noqa: D102
    @property
    def validate_every(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Pace:
    """How fast an optimiser goes: its learning rate after the warm-up, and how long that takes."""

    optimiser: torch.optim.Optimizer
    peak: float
    warmup_steps: int


class Run(Protocol):
    """Everything a run is made of, between two steps."""

    step: int
    """Steps done."""
    elapsed_s: float
    """Seconds of training so far, all parts of the run together."""
    best_score: float | None
    """Of the best checkpoint, where there was a validation."""

    @property
    def config(self) -> Settings:
        """What was asked for."""
        ...

    @property
    def network(self) -> nn.Module:
        """What the validation looks at, and whose gradient is clipped."""
        ...

    @property
    def clip_norm(self) -> float:
        """Longest gradient."""
        ...

    @property
    def paces(self) -> tuple[Pace, ...]:
        """All optimisers; the first one's rate is reported."""
        ...

    def save_last(self) -> None:
        """Write all that is needed to go on."""
        ...

    def save_best(self) -> None:
        """Write the weights."""
        ...


@dataclass(frozen=True)
class Report:
    """What one step did."""

    step: int
    """Steps done, this one included."""
    terms: dict[str, float]
    """Every loss before its weight, `total`, `grad_norm`, and what else `learn` tells of."""
    learning_rate: float
    samples_per_s: float
    """Windows, or clips, of all processes together, since the last report."""
    waiting: float
    """Share of the time since the last report in which data was waited for."""
    done: float
    """Share of the run, by steps or by time, whichever is ahead."""


class Watcher(Protocol):
    """Told of a run while it goes on."""

    def step(self, report: Report) -> None:
        """A step is done."""

    def validated(self, step: int, score: float, best: bool) -> None:
        """A validation is done."""

    def skipped(self, reason: str) -> None:
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

    def take(self, batches: Iterator[S]) -> S:
        """The next batch, its waiting counted."""
        begin = time.perf_counter()
        batch = next(batches)
        self._waited_s += time.perf_counter() - begin
        self._samples += len(batch)
        return batch

    def read(self) -> tuple[float, float]:
        """Samples per second and share of waiting since the last reading."""
        now = time.perf_counter()
        passed_s = max(now - self._last, 1e-9)
        found = self._samples / passed_s, self._waited_s / passed_s
        self._last, self._waited_s, self._samples = now, 0.0, 0
        return found


def fit(
    run: Run,
    learn: Learn,
    clock: Clock,
    world: World,
    *,
    watcher: Watcher,
    validate: Callable[[], float] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        run: new, or taken up; changed in place.
        learn: adds the gradients of one part of a step.
        clock: counts the waiting for data.
        world: the processes that take part.
        watcher: told of every step.
        validate: scores the network, in evaluation mode, now and then, so that the best checkpoint is kept.
        stop: asked after every step.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
    """
    config = run.config
    share_of_time, stopped = world.agree([clock.share_of(config.minutes), 0.0])
    while run.step < config.steps and share_of_time < 1 and not stopped:
        torch.manual_seed(step_seed(config.seed, run.step, world.rank))
        rate = set_rates(run, share_of_time)

        sums: dict[str, Tensor] = {}
        for part in range(config.accumulate):
            sums = {name: sums.get(name, 0.0) + term / config.accumulate for name, term in learn(part).items()}

        sums["grad_norm"] = nn.utils.clip_grad_norm_(run.network.parameters(), run.clip_norm)
        guard(run, sums)
        for pace in run.paces:
            pace.optimiser.step()
            pace.optimiser.zero_grad()
        run.step += 1
        run.elapsed_s = clock.elapsed_s()
        share_of_time, stopped = world.agree([clock.share_of(config.minutes), float(stop())])

        if world.leads:
            if run.step % config.log_every == 0 or run.step == config.steps:
                watcher.step(make_report(run, sums, rate, clock, world, share_of_time))
            if validate is not None and (run.step % config.validate_every == 0 or run.step == config.steps):
                watcher.validated(run.step, *keep_best(run, validate))
            if run.step % config.save_every == 0:
                run.save_last()
    if world.leads:
        run.save_last()


def set_rates(run: Run, share_of_time: float) -> float:
    """Set the learning rates of the step to come; returns that of the last layers."""
    rates = []
    for pace in run.paces:
        rates.append(scheduled_rate(pace.peak, run.step, pace.warmup_steps, run.config.steps, share_of_time))
        set_rate(pace.optimiser, rates[-1])
    return rates[0]


def distributed(network: nn.Module, world: World) -> nn.Module:
    """The network as it is called in a step: its gradients are averaged over all processes."""
    return network if world.size == 1 else DistributedDataParallel(network, forward_sync_buffers=False)


def step_seed(seed: int, step: int, rank: int = -1) -> int:
    """A seed for every step, so that no state of a random generator has to be kept; rank -1 is for all processes."""
    return int(np.random.SeedSequence((seed, step, rank + 1)).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def synchronised(network: nn.Module, *, last: bool) -> Iterator[None]:
    """Exchange gradients between processes only with the last batch of a step."""
    bare = getattr(network, "_orig_mod", network)
    with nullcontext() if last or not isinstance(bare, DistributedDataParallel) else bare.no_sync():
        yield


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """bfloat16 where it is asked for, or where a GPU has it."""
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = precision == "bf16" or (precision == "auto" and native)
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def guard(run: Run, sums: dict[str, Tensor]) -> None:
    """Stop before a step that would spoil the weights.

    Raises:
        DivergedError: a loss or the gradient is not finite; all that are not are named.
    """
    if torch.isfinite(torch.stack([sums[name] for name in JUDGED if name in sums]).sum()):
        return
    bad = [f"{name} is {float(value)}" for name, value in sums.items() if not torch.isfinite(value)]
    saved = run.config.output / LAST
    rest = f"{saved} holds the run before" if saved.exists() else "nothing was saved yet"
    raise DivergedError(
        f"step {run.step + 1} diverged: {', '.join(bad)}. {rest}; lower optimiser.learning_rate, lengthen"
        " optimiser.warmup_steps, or look at the data, and start a new run, with start_from=CHECKPOINT if that helps"
    )


def make_report(
    run: Run, sums: dict[str, Tensor], rate: float, clock: Clock, world: World, share_of_time: float
) -> Report:
    """What to tell of the step that was just done."""
    terms = {name: float(value) for name, value in sums.items()}
    samples_per_s, waiting = clock.read()
    done = max(run.step / run.config.steps, min(1.0, share_of_time))
    return Report(run.step, terms, rate, world.size * samples_per_s, waiting, done)


def keep_best(run: Run, validate: Callable[[], float]) -> tuple[float, bool]:
    """Validate, and save the weights if they are the best so far: score, and whether they are."""
    run.network.eval()
    score = validate()
    run.network.train()
    best = run.best_score is None or score > run.best_score
    if best:
        run.best_score = score
        run.save_best()
    return score, best
