"""The training loop, to be read from top to bottom."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.hands import HandPlaces
from training.data.augment import Augmenter, resize
from training.data.loading import load_batches
from training.data.samples import Batch, Source
from training.errors import DivergedError
from training.pretrain.config import PretrainConfig
from training.pretrain.discriminator import draw_others
from training.pretrain.distributed import World
from training.pretrain.network import Prediction
from training.pretrain.objective import compute_losses, weighted_priors
from training.pretrain.optimiser import scheduled_rate, set_rate
from training.pretrain.state import LAST, Run
from training.pretrain.validation import Validate
from training.pretrain.visible import choose_visible
from training.prior_table import PRIORS

CENTRE_BATCH = 16


@dataclass(frozen=True)
class Report:
    """What one step did."""

    step: int
    """Steps done, this one included."""
    terms: dict[str, float]
    """Every loss before its weight, `total`, `priors` (their weighted sum), `discriminator`, `grad_norm`."""
    learning_rate: float
    windows_per_s: float
    """Of all processes together, since the last report."""
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
        """A pair of windows could not be used."""


class Clock:
    """Where a run's time goes."""

    def __init__(self, earlier_s: float) -> None:
        self._earlier_s = earlier_s
        self._start = self._last = time.perf_counter()
        self._waited_s, self._windows = 0.0, 0

    def elapsed_s(self) -> float:
        """Seconds of training, earlier parts of the run included."""
        return self._earlier_s + time.perf_counter() - self._start

    def share_of(self, minutes: float) -> float:
        """Share of a time budget that is spent; 0 of an endless one."""
        return self.elapsed_s() / (60.0 * minutes)

    def take(self, batches: Iterator[Batch]) -> Batch:
        """The next batch, its waiting counted."""
        begin = time.perf_counter()
        batch = next(batches)
        self._waited_s += time.perf_counter() - begin
        self._windows += len(batch.frames)
        return batch

    def read(self) -> tuple[float, float]:
        """Windows per second and share of waiting since the last reading."""
        now = time.perf_counter()
        passed_s = max(now - self._last, 1e-9)
        found = self._windows / passed_s, self._waited_s / passed_s
        self._last, self._waited_s, self._windows = now, 0.0, 0
        return found


def pretrain(
    run: Run,
    source: Source,
    world: World,
    *,
    watcher: Watcher,
    validate: Validate | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        run: new, or taken up; changed in place.
        source: of the windows.
        world: the processes that take part.
        watcher: told of every step.
        validate: scores the network now and then, so that the best checkpoint is kept.
        stop: asked after every step.

    Returns:
        The same run.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
        DataError: nothing usable comes from the source.
    """
    config = run.config
    centre_heads(run, source)
    network = prepare(run, world)
    augmenter = Augmenter(config.augment, config.encoder.image_size) if config.augmented else None
    batches = load_batches(
        source,
        config.batch_size,
        augmenter=augmenter,
        seed=config.seed,
        num_frames=config.encoder.num_frames,
        first_batch=run.step * config.accumulate,
        rank=world.rank,
        num_ranks=world.size,
        workers=config.data.workers,
        pin_memory=world.device.type == "cuda",
    )
    clock = Clock(run.elapsed_s)
    share_of_time, stopped = world.agree([clock.share_of(config.minutes), 0.0])
    while run.step < config.steps and share_of_time < 1 and not stopped:
        torch.manual_seed(step_seed(config.seed, run.step, world.rank))
        rate = set_rates(run, share_of_time)

        sums: dict[str, Tensor] = {}
        for part in range(config.accumulate):
            batch = clock.take(batches)
            for reason in batch.skipped:
                watcher.skipped(reason)
            batch = batch.to(world.device)
            windows = resize(batch.frames, config.encoder.image_size)
            with synchronised(network, last=part == config.accumulate - 1):
                terms = add_gradients(run, network, windows, batch, part, world)
            sums = {name: sums.get(name, 0.0) + term / config.accumulate for name, term in terms.items()}

        world.average_gradients(run.discriminator)
        sums["grad_norm"] = nn.utils.clip_grad_norm_(run.network.parameters(), config.optimiser.clip_norm)
        guard(run, sums)
        for optimiser in (run.optimiser, run.adversary_optimiser):
            optimiser.step()
            optimiser.zero_grad()
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
    return run


@torch.no_grad()
def centre_heads(run: Run, source: Source) -> None:
    """Where a new run asks for it, let every prior head begin with the mean of its targets over the first pairs."""
    if run.step or run.config.start_from or not run.config.centred_on:
        return
    batches = load_batches(source, CENTRE_BATCH)
    known = [next(batches) for _ in range(max(1, 2 * run.config.centred_on // CENTRE_BATCH))]
    for prior in PRIORS:
        targets = torch.cat([batch.targets[prior.name] for batch in known]).flatten(0, 1)
        masks = torch.cat([batch.masks[prior.name] for batch in known]).flatten(0, 1)
        mean = targets.masked_fill(~masks, 0.0).sum(dim=0) / masks.sum(dim=0).clamp(min=1)
        run.network.cls_head.head(prior.name).bias.copy_(prior.psi * mean)


def prepare(run: Run, world: World) -> nn.Module:
    """The network as it is called in a step: in training mode, compiled and distributed where asked for."""
    run.network.train()
    run.discriminator.train()
    network: nn.Module = run.network
    if world.size > 1:
        network = DistributedDataParallel(network, broadcast_buffers=False)
    if run.config.compile:
        network = cast("nn.Module", torch.compile(network))
    return network


def add_gradients(
    run: Run, network: nn.Module, windows: Tensor, batch: Batch, part: int, world: World
) -> dict[str, Tensor]:
    """Add one batch's share to the gradients of the network and of the discriminator.

    Args:
        run: whose step it is.
        network: as `prepare` gave it.
        windows: [B, 16, rows, columns, 3] uint8 at the encoder's size.
        batch: the targets.
        part: which batch of the step.
        world: whose batches are looked at as one.

    Returns:
        Every loss without gradient, with `total` and `discriminator`.
    """
    config = run.config
    generator = torch.Generator().manual_seed(step_seed(config.seed, run.step * config.accumulate + part))
    num_windows = world.size * len(windows)
    order = world.own_rows(torch.rand(num_windows, config.encoder.num_units, generator=generator))
    other = draw_others(num_windows, generator).to(world.device)
    visible = choose_visible(config, windows, order)
    with autocast(config, world.device):
        told = tell_hands(config, batch.hands, world, generator)
        prediction = network(windows.movedim(-1, 1), None if visible is None else visible.to(world.device), told)
    prediction = gather_prediction(prediction, world)
    known = replace(
        batch,
        targets=world.gather_all(batch.targets),
        masks=world.gather_all(batch.masks),
        hands=world.gather(batch.hands),
    )

    judged = run.discriminator.learn(prediction.style, prediction.features, other)
    (judged / config.accumulate).backward()  # type: ignore[no-untyped-call]
    total, terms = compute_losses(prediction, known, config.losses, run.discriminator, other)
    # Own rows only carry a gradient, and DDP averages what should be summed: see `distributed`.
    (total * world.size / config.accumulate).backward()  # type: ignore[no-untyped-call]
    return {name: term.detach() for name, term in (terms | {"total": total, "discriminator": judged}).items()}


def gather_prediction(prediction: Prediction, world: World) -> Prediction:
    """The predictions of all processes as one, in float32."""
    return Prediction(
        world.gather(prediction.features.float()),
        world.gather(prediction.activity_logits.float()),
        world.gather_all({name: values.float() for name, values in prediction.priors.items()}),
        world.gather(prediction.style),
        None if prediction.hands is None else HandPlaces(*(world.gather(part) for part in prediction.hands)),
    )


def tell_hands(config: PretrainConfig, places: Tensor, world: World, generator: torch.Generator) -> Tensor | None:
    """What an encoder that looks closer at hands is told of where they are, not quite exactly and not always.

    Returns:
        [B, 2, 3], NaN where it is told nothing; None for other encoders.
    """
    if not config.encoder.hand_px:
        return None
    num_windows = world.size * len(places)
    error = config.told_error * torch.randn(num_windows, 2, 3, generator=generator)
    error[torch.rand(num_windows, generator=generator) >= config.told] = torch.nan
    return places + world.own_rows(error).to(places.device)


def set_rates(run: Run, share_of_time: float) -> float:
    """Set the learning rates of the step to come; returns that of the last layers."""
    steps, rates = run.config.steps, []
    for optimiser, config in ((run.optimiser, run.config.optimiser), (run.adversary_optimiser, run.config.adversary)):
        rates.append(scheduled_rate(config.learning_rate, run.step, config.warmup_steps, steps, share_of_time))
        set_rate(optimiser, rates[-1])
    return rates[0]


def step_seed(seed: int, step: int, rank: int = -1) -> int:
    """A seed for every step, so that no state of a random generator has to be kept; rank -1 is for all processes."""
    return int(np.random.SeedSequence((seed, step, rank + 1)).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def synchronised(network: nn.Module, *, last: bool) -> Iterator[None]:
    """Exchange gradients between processes only with the last batch of a step."""
    bare = getattr(network, "_orig_mod", network)
    with nullcontext() if last or not isinstance(bare, DistributedDataParallel) else bare.no_sync():
        yield


def autocast(config: PretrainConfig, device: torch.device) -> torch.autocast:
    """bfloat16 where it is asked for, or where a GPU has it."""
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = config.precision == "bf16" or (config.precision == "auto" and native)
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def guard(run: Run, sums: dict[str, Tensor]) -> None:
    """Stop before a step that would spoil the weights.

    Raises:
        DivergedError: a loss or the gradient is not finite; all that are not are named.
    """
    if torch.isfinite(sums["total"] + sums["discriminator"] + sums["grad_norm"]):
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
    terms["priors"] = weighted_priors(terms, run.config.losses)
    windows_per_s, waiting = clock.read()
    done = max(run.step / run.config.steps, min(1.0, share_of_time))
    return Report(run.step, terms, rate, world.size * windows_per_s, waiting, done)


def keep_best(run: Run, validate: Validate) -> tuple[float, bool]:
    """Validate, and save the weights if they are the best so far: score, and whether they are."""
    run.network.eval()
    score = validate(run.network)
    run.network.train()
    best = run.best_score is None or score > run.best_score
    if best:
        run.best_score = score
        run.save_best()
    return score, best
