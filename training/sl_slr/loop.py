"""The training loop, to be read from top to bottom."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from training.errors import DivergedError
from training.fit.loop import step_seed
from training.fit.optimiser import scheduled_rate, set_rate
from training.sl_slr.batches import Batch, Batches
from training.sl_slr.levelling import level
from training.sl_slr.objective import FOLLOWED, Views3, compute_losses, follow, make_views, remember
from training.sl_slr.state import Run

COLLAPSE_AFTER = 20
"""Steps in which nothing is said about a collapse: random networks begin with everything near one point."""


@dataclass(frozen=True)
class Report:
    """What one step did."""

    step: int
    """Steps done, this one included."""
    terms: dict[str, float]
    """Every loss before its weight, `total`, `spread` of the projections, `grad_norm`."""
    learning_rate: float
    sequences_per_s: float
    """Clips a second since the last report."""
    done: float
    """Share of the run, by steps or by time, whichever is ahead."""


class Watcher(Protocol):
    """Told of a run while it goes on."""

    def step(self, report: Report) -> None:
        """A step is done."""

    def collapsed(self, step: int, spread: float) -> None:
        """All projections have become the same."""


def pretrain(run: Run, batches: Batches, watcher: Watcher, stop: Callable[[], bool] = lambda: False) -> Run:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        run: new, or taken up; changed in place.
        batches: of the sequences.
        watcher: told of every step.
        stop: asked after every step.

    Returns:
        The same run.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
    """
    config = run.config
    device = next(run.network.parameters()).device
    begin, earlier_s = time.perf_counter(), run.elapsed_s
    last, share_of_time = begin, earlier_s / (60 * config.minutes)
    level(run, batches)
    run.network.train()
    run.learner.slow.train()
    while run.step < config.steps and share_of_time < 1:
        rate = scheduled_rate(
            config.optimiser.learning_rate, run.step, config.optimiser.warmup_steps, config.steps, share_of_time
        )
        set_rate(run.optimiser, rate)
        terms = take_step(run, batches.at(run.step), device)
        now = time.perf_counter()
        run.elapsed_s = earlier_s + now - begin
        share_of_time = run.elapsed_s / (60 * config.minutes)
        notice_collapse(run, float(terms["spread"]), watcher)
        if run.step % config.log_every == 0 or run.step == config.steps:
            speed = config.log_every * config.batch_size / max(now - last, 1e-9)
            done = max(run.step / config.steps, min(1.0, share_of_time))
            watcher.step(Report(run.step, {name: float(term) for name, term in terms.items()}, rate, speed, done))
            last = now
        if run.step % config.save_every == 0:
            run.save()
        if stop():
            break
    run.save()
    return run


def take_step(run: Run, batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """One step of the optimiser; returns every term without gradient."""
    generator = torch.Generator().manual_seed(step_seed(run.config.seed, run.step))
    views = _to(make_views(batch, run.config, generator), device)
    batch = batch.to(device)
    total, terms, keys = compute_losses(run.learner, batch, views, run.config)
    run.optimiser.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    grad_norm = nn.utils.clip_grad_norm_(run.network.parameters(), run.config.optimiser.clip_norm)
    terms = {name: term.detach() for name, term in (terms | {"total": total, "grad_norm": grad_norm}).items()}
    guard(run, terms)
    run.optimiser.step()
    if run.config.method in FOLLOWED:
        follow(run.learner, run.config.losses.momentum)
    if keys is not None:
        remember(run.learner, keys)
    run.step += 1
    return terms


def _to(views: Views3, device: torch.device) -> Views3:
    moved = [(view[0].to(device), view[1].to(device)) for view in (views.clip, views.first, views.second)]
    return Views3(*moved)


def guard(run: Run, terms: dict[str, Tensor]) -> None:
    """Stop before a step that would spoil the weights.

    Raises:
        DivergedError: a loss or the gradient is not finite; all that are not are named.
    """
    bad = [f"{name} is {float(term)}" for name, term in terms.items() if not torch.isfinite(term)]
    if not bad:
        return
    rest = f"{run.path} holds the run before" if run.path.exists() else "nothing was saved yet"
    raise DivergedError(
        f"step {run.step + 1} diverged: {', '.join(bad)}. {rest}; lower optimiser.learning_rate, lengthen"
        " optimiser.warmup_steps, or look at the data, and start a new run"
    )


def notice_collapse(run: Run, spread: float, watcher: Watcher) -> None:
    """Say once when the projections have become all the same."""
    if run.collapsed_at is None and run.step > COLLAPSE_AFTER and spread < run.config.losses.collapse_spread:
        run.collapsed_at = run.step
        watcher.collapsed(run.step, spread)
