"""One step of fine-tuning; the loop is that of `training.fit.loop`."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from training.data.windows.augment import Augmenter
from training.finetune.data import TrainClips, train_batches
from training.finetune.losses import recognition_losses
from training.finetune.readers import TRAIN, VAL, LabelledClips
from training.finetune.report import evaluate_clips
from training.finetune.state import FinetuneState
from training.fit.distributed import World
from training.fit.loop import SCORE, Callbacks, Clock, Method, Scores, Terms, autocast, distributed, fit, synchronised
from training.fit.schedule import Progress


def finetune(
    state: FinetuneState,
    labelled: LabelledClips,
    world: World,
    *,
    callbacks: Callbacks,
    stop: Callable[[], bool] = lambda: False,
) -> FinetuneState:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        state: new or resumed, its class distribution known; changed in place.
        labelled: the clips.
        world: the processes that take part.
        callbacks: of the run.
        stop: asked after every step.

    Returns:
        The same state.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
        DataError: nothing usable comes.
    """
    config, clip_format = state.config, state.trained.clip_format
    cache = config.data.cache_folder
    network = prepare(state, world)
    batches = train_batches(
        TrainClips(
            labelled.clips(TRAIN),
            state.labels,
            clip_format,
            seed=config.seed,
            augmenter=Augmenter(config.augment, clip_format.size_px) if config.augmented else None,
            cache=cache,
        ),
        config.batch_size,
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
        clips, labels = batch.clips.to(world.device), batch.labels.to(world.device)
        with synchronised(network, last=part == config.accumulate - 1):
            return add_gradients(state, network, clips, labels, world)

    def validate() -> Scores:
        result = evaluate_clips(state.trained, labelled.clips(VAL), cache=cache, workers=config.data.workers)
        return {SCORE: result.metrics.recall[1]}

    method = Method(
        add_part,
        config.accumulate,
        validate=validate if labelled.clips(VAL) else None,
        validate_every=config.validate_every,
    )
    fit(state, method, clock, world, callbacks=callbacks, stop=stop)
    return state


def prepare(state: FinetuneState, world: World) -> nn.Module:
    """The network as it is called in a step: in training mode, compiled and distributed where the config says so."""
    state.network.train()
    network = distributed(state.network, world)
    if state.config.compile:
        network = cast("nn.Module", torch.compile(network))
    return network


def add_gradients(state: FinetuneState, network: nn.Module, clips: Tensor, labels: Tensor, world: World) -> Terms:
    """Add one batch's share to the gradients of the network.

    Returns:
        Every loss without gradient, with `total` and `top-1`, the share of clips that are recognised.
    """
    config = state.config
    with autocast(config.precision, world.device):
        logits = network(clips)
    terms = recognition_losses(
        logits,
        labels,
        state.phi,
        label_smoothing=config.losses.label_smoothing,
        distribution=config.losses.distribution,
    )
    (terms["total"] / config.accumulate).backward()  # type: ignore[no-untyped-call]
    right = (logits.detach().argmax(dim=1) == labels).float().mean()
    return {name: term.detach() for name, term in terms.items()} | {"top-1": right}
