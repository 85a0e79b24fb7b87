"""One step of pretraining; the loop is that of `training.fit.loop`."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from model.network.hands import HandLocations
from training.data.priors.table import PRIORS
from training.data.windows.augment import Augmenter, resize
from training.data.windows.loading import load_batches
from training.data.windows.samples import Batch, PairSource
from training.fit.distributed import World
from training.fit.loop import (
    SCORE,
    Callbacks,
    Clock,
    Method,
    Terms,
    autocast,
    distributed,
    fit,
    step_seed,
    synchronised,
)
from training.fit.schedule import Progress
from training.pretrain.config import PretrainConfig
from training.pretrain.discriminator import draw_others
from training.pretrain.masking import choose_visible
from training.pretrain.network import Prediction
from training.pretrain.objective import compute_losses, weighted_priors
from training.pretrain.state import PretrainState
from training.pretrain.validation import Validate

CENTRE_BATCH = 16


def pretrain(
    state: PretrainState,
    source: PairSource,
    world: World,
    *,
    callbacks: Callbacks,
    validate: Validate | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> PretrainState:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        state: new or resumed; changed in place.
        source: of the windows.
        world: the processes that take part.
        callbacks: of the run.
        validate: scores the network now and then, so that the best checkpoint is kept.
        stop: asked after every step.

    Returns:
        The same state.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
        DataError: nothing usable comes from the source.
    """
    config = state.config
    centre_heads(state, source)
    network = prepare(state, world)
    augmenter = Augmenter(config.augment, config.encoder.image_size) if config.augmented else None
    batches = load_batches(
        source,
        config.batch_size,
        augmenter=augmenter,
        seed=config.seed,
        num_frames=config.encoder.num_frames,
        first_batch=state.step * config.accumulate,
        rank=world.rank,
        num_ranks=world.size,
        workers=config.data.workers,
        pin_memory=world.device.type == "cuda",
    )
    clock = Clock(state.elapsed_s)

    def add_part(part: int, _: Progress) -> Terms:
        batch = clock.take(batches)
        for reason in batch.skipped:
            callbacks.on_skip(reason)
        batch = batch.to(world.device)
        windows = resize(batch.frames, config.encoder.image_size)
        last = part == config.accumulate - 1
        with synchronised(network, last=last):
            terms = add_gradients(state, network, windows, batch, part, world)
        if last:
            world.average_gradients(state.discriminator)
        return terms | {"priors": weighted_priors(terms, config.losses)}

    method = Method(
        add_part,
        config.accumulate,
        validate=None if validate is None else lambda: {SCORE: validate(state.network)},
        validate_every=config.validate_every,
    )
    fit(state, method, clock, world, callbacks=callbacks, stop=stop)
    return state


@torch.no_grad()
def centre_heads(state: PretrainState, source: PairSource) -> None:
    """Set every prior head's bias to the mean of its targets over the first pairs, where a new run asks for it."""
    if state.step or state.config.start_from or not state.config.centred_on:
        return
    batches = load_batches(source, CENTRE_BATCH)
    first = [next(batches) for _ in range(max(1, 2 * state.config.centred_on // CENTRE_BATCH))]
    for prior in PRIORS:
        targets = torch.cat([batch.targets[prior.name] for batch in first]).flatten(0, 1)
        masks = torch.cat([batch.masks[prior.name] for batch in first]).flatten(0, 1)
        mean = targets.masked_fill(~masks, 0.0).sum(dim=0) / masks.sum(dim=0).clamp(min=1)
        state.network.cls_head.head(prior.name).bias.copy_(prior.psi * mean)


def prepare(state: PretrainState, world: World) -> nn.Module:
    """The network as it is called in a step: in training mode, compiled and distributed where asked for."""
    state.network.train()
    state.discriminator.train()
    network = distributed(state.network, world)
    if state.config.compile:
        network = cast("nn.Module", torch.compile(network))
    return network


def add_gradients(
    state: PretrainState, network: nn.Module, windows: Tensor, batch: Batch, part: int, world: World
) -> dict[str, Tensor]:
    """Add one batch's share to the gradients of the network and of the discriminator.

    Args:
        state: of the run.
        network: as `prepare` gave it.
        windows: [B, 16, rows, columns, 3] uint8 at the encoder's size.
        batch: the targets.
        part: which batch of the step.
        world: the losses take all its batches as one.

    Returns:
        Every loss without gradient, with `total` and `discriminator`.
    """
    config = state.config
    generator = torch.Generator().manual_seed(step_seed(config.seed, state.step * config.accumulate + part))
    num_windows = world.size * len(windows)
    order = world.own_rows(torch.rand(num_windows, config.encoder.num_units, generator=generator))
    other = draw_others(num_windows, generator).to(world.device)
    visible = choose_visible(config, windows, order)
    with autocast(config.precision, world.device):
        places = hand_places(config, batch.hands, world, generator)
        prediction = network(windows.movedim(-1, 1), None if visible is None else visible.to(world.device), places)
    prediction = gather_prediction(prediction, world)
    known = replace(
        batch,
        targets=world.gather_all(batch.targets),
        masks=world.gather_all(batch.masks),
        hands=world.gather(batch.hands),
    )

    verdict_loss = state.discriminator.loss(prediction.style, prediction.features, other)
    (verdict_loss / config.accumulate).backward()  # type: ignore[no-untyped-call]
    total, terms = compute_losses(prediction, known, config.losses, state.discriminator, other)
    # Own rows only carry a gradient, and DDP averages what should be summed: see `distributed`.
    (total * world.size / config.accumulate).backward()  # type: ignore[no-untyped-call]
    return {name: term.detach() for name, term in (terms | {"total": total, "discriminator": verdict_loss}).items()}


def gather_prediction(prediction: Prediction, world: World) -> Prediction:
    """The predictions of all processes as one, in float32."""
    return Prediction(
        world.gather(prediction.features.float()),
        world.gather(prediction.activity_logits.float()),
        world.gather_all({name: values.float() for name, values in prediction.priors.items()}),
        world.gather(prediction.style),
        None if prediction.hands is None else HandLocations(*(world.gather(part) for part in prediction.hands)),
    )


def hand_places(config: PretrainConfig, places: Tensor, world: World, generator: torch.Generator) -> Tensor | None:
    """The true places of hands that a network with a hand branch is given: with noise, and for a share of the windows.

    Returns:
        [B, 2, 3], NaN where the network is to use its own prediction; None for networks without hand branch.
    """
    if not config.encoder.hand_px:
        return None
    num_windows = world.size * len(places)
    error = config.teacher_forcing_noise * torch.randn(num_windows, 2, 3, generator=generator)
    error[torch.rand(num_windows, generator=generator) >= config.teacher_forcing] = torch.nan
    return places + world.own_rows(error).to(places.device)
