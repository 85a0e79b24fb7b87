"""One step of contrastive training; the loop is that of `training.fit.loop`."""

from collections.abc import Callable

import numpy as np
import torch

from training.contrastive.clips.clip_pool import ClipPool, WindowTable
from training.contrastive.clips.windows import COLUMNS
from training.contrastive.config import ContrastiveConfig
from training.contrastive.objective import single_hand_loss, step_losses
from training.contrastive.state import ContrastiveState
from training.contrastive.validation import ValidationSet, validate
from training.data.priors.table import PRIORS
from training.errors import DataError
from training.fit.averaging import decay_at, update_average
from training.fit.distributed import World
from training.fit.loop import Callbacks, Clock, Method, Terms, fit
from training.fit.schedule import Progress

MEAN_OVER = 4000
"""Windows over which the mean of the targets is taken."""


def train_contrastive(
    state: ContrastiveState,
    pool: ClipPool,
    world: World,
    *,
    callbacks: Callbacks,
    held_out: ValidationSet | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> ContrastiveState:
    """Train until the steps or the minutes are over or somebody says stop, first on single hands where that is set.

    Args:
        state: new or resumed; changed in place.
        pool: this process's clips.
        world: the processes that take part.
        callbacks: of the run.
        held_out: clips to validate on.
        stop: asked after every step.

    Returns:
        The same state.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
        DataError: a process has no clips of a kind that others have.
    """
    config, model = state.config, state.network
    if not state.step and not config.start_from:
        centre_heads(state, pool.rows, world)
    num_real, num_rendered = movements_per_step(config, pool, world)
    clock = Clock(state.elapsed_s)

    def add_gradients(_: int, progress: Progress) -> Terms:
        rng = np.random.default_rng((config.seed, state.step, world.rank))
        generator = torch.Generator(world.device).manual_seed(int(rng.integers(1 << 62)))
        if progress.share < config.hands_first:
            rows = pool.sample_windows(config.hands_windows, rng)
            total, cosine = single_hand_loss(model, config, pool.rows.at(rows), generator)
            terms, num_windows = {"single_hands": total.detach(), "bone_cosine": cosine.detach()}, len(rows)
        else:
            sample = pool.sample(num_real, num_rendered, config.num_windows, rng)
            total, terms = step_losses(model, config, pool.rows, sample, generator, world)
            num_windows = sample.rows.numel()
        total.backward()  # type: ignore[no-untyped-call]
        world.average_gradients(model)
        clock.count(num_windows)
        state.num_windows += world.size * num_windows
        return terms | {"total": total.detach()}

    method = Method(
        add_gradients,
        after_step=lambda: update_average(state.average, model.network, decay_at(state.step, config.ema_decay)),
        validate=None if held_out is None else lambda: validate(state, held_out),
        validate_every=config.validate_every,
    )
    fit(state, method, clock, world, callbacks=callbacks, stop=stop)
    return state


@torch.no_grad()
def centre_heads(state: ContrastiveState, rows: WindowTable, world: World) -> None:
    """Set the bias of every prior head to the mean of its targets; else the first steps teach the mean pose."""
    every = max(1, len(rows.known) // MEAN_OVER)
    known = rows.known[::every].flatten(0, 1)
    total = world.total((rows.targets[::every].flatten(0, 1).float() * known).sum(dim=0))
    mean = total / world.total(known.sum(dim=0)).clamp(min=1)
    for network in (state.network.network, state.average):
        for prior in PRIORS:
            network.cls_head.head(prior.name).bias.copy_(prior.psi * mean[COLUMNS[prior.name]])


def movements_per_step(config: ContrastiveConfig, pool: ClipPool, world: World) -> tuple[int, int]:
    """Real and rendered movements of a step, as many in every process: their vectors are compared.

    Raises:
        DataError: a process has none of a kind that others have.
    """
    own = [min(config.num_real, len(pool.real)), min(config.num_rendered, len(pool))]
    least, most = world.least(own), [-value for value in world.least([-value for value in own])]
    for kind, fewest, others in zip(("real clips", "rendered pairs"), least, most, strict=True):
        if others and not fewest:
            raise DataError(
                f"one of {world.size} processes has no {kind} of its own: start fewer, or give it more clips"
            )
    return least[0], least[1]
