"""What one step of pretraining learns; the loop itself is `training.fit.loop`."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from model.hands import HandPlaces
from training.data.augment import Augmenter, resize
from training.data.loading import load_batches
from training.data.samples import Batch, Source
from training.fit.distributed import World
from training.fit.loop import Clock, Watcher, autocast, distributed, fit, step_seed, synchronised
from training.pretrain.config import PretrainConfig
from training.pretrain.discriminator import draw_others
from training.pretrain.network import Prediction
from training.pretrain.objective import compute_losses, weighted_priors
from training.pretrain.state import Run
from training.pretrain.validation import Validate
from training.pretrain.visible import choose_visible
from training.prior_table import PRIORS

CENTRE_BATCH = 16


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

    def learn(part: int) -> dict[str, Tensor]:
        batch = clock.take(batches)
        for reason in batch.skipped:
            watcher.skipped(reason)
        batch = batch.to(world.device)
        windows = resize(batch.frames, config.encoder.image_size)
        last = part == config.accumulate - 1
        with synchronised(network, last=last):
            terms = add_gradients(run, network, windows, batch, part, world)
        if last:
            world.average_gradients(run.discriminator)
        return terms | {"priors": weighted_priors(terms, config.losses)}

    scored = None if validate is None else partial(validate, run.network)
    fit(run, learn, clock, world, watcher=watcher, validate=scored, stop=stop)
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
    network = distributed(run.network, world)
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
    with autocast(config.precision, world.device):
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
