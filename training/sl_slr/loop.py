"""One step of a method on keypoint sequences; the loop is that of `training.fit.loop`."""

from collections.abc import Callable

import torch

from training.fit.distributed import World
from training.fit.loop import Callbacks, Clock, Method, Terms, fit, step_seed
from training.fit.schedule import Progress
from training.sl_slr.batches import Batch, Batches
from training.sl_slr.initialisation import initialise_wccn
from training.sl_slr.objective import compute_losses, make_views, update_networks
from training.sl_slr.state import SlSlrState

COLLAPSE_AFTER = 20
"""Steps before which no collapse is reported: the projections of random networks lie near one point."""

OnCollapse = Callable[[int, float], None]
"""Called with the step and the spread once all projections have become the same."""


def pretrain(
    state: SlSlrState,
    batches: Batches,
    world: World,
    *,
    callbacks: Callbacks,
    on_collapse: OnCollapse,
    stop: Callable[[], bool] = lambda: False,
) -> SlSlrState:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        state: new or resumed; changed in place.
        batches: of the sequences.
        world: this process.
        callbacks: of the run.
        on_collapse: called at most once in a run.
        stop: asked after every step.

    Returns:
        The same state.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
    """
    initialise_wccn(state, batches)
    clock, stream = Clock(state.elapsed_s), batches.from_step(state.step)
    fit(
        state, make_method(state, lambda: clock.take(stream), on_collapse), clock, world, callbacks=callbacks, stop=stop
    )
    return state


def make_method(state: SlSlrState, next_batch: Callable[[], Batch], on_collapse: OnCollapse) -> Method:
    """What a step does: losses and gradients, then the momentum network and the queue; see `training.fit.loop`."""
    config, networks = state.config, state.networks
    device = next(networks.network.parameters()).device
    networks.network.train()
    networks.momentum_network.train()
    keys = torch.empty(0)

    def add_gradients(_: int, progress: Progress) -> Terms:
        nonlocal keys
        batch = next_batch()
        generator = torch.Generator().manual_seed(step_seed(config.seed, progress.step))
        views = make_views(batch, config, generator).to(device)
        terms, keys = compute_losses(networks, batch.activity.to(device), views, config)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        terms = {name: term.detach() for name, term in terms.items()}
        notice_collapse(state, progress.step + 1, float(terms["spread"]), on_collapse)
        return terms

    return Method(add_gradients, after_step=lambda: update_networks(networks, keys, config))


def notice_collapse(state: SlSlrState, step: int, spread: float, on_collapse: OnCollapse) -> None:
    """Report once that all projections have become the same."""
    if state.collapsed_at is None and step > COLLAPSE_AFTER and spread < state.config.losses.collapse_spread:
        state.collapsed_at = step
        on_collapse(step, spread)
