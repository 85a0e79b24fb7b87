"""What one step of fine-tuning learns; the loop itself is `training.fit.loop`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import Checkpoint
from model.encoder import Floats
from model.errors import ModelError
from model.pooling import pool
from model.windows import slide
from training.data.augment import Augmenter
from training.data.manifest import ListedClip
from training.errors import DataError, TrainingError
from training.finetune.data import TrainClips, View, read_clip, train_batches
from training.finetune.losses import class_distribution, recognition_losses
from training.finetune.readers import TRAIN, VAL, Labelled
from training.finetune.report import assess
from training.finetune.state import Run
from training.fit.distributed import World
from training.fit.loop import Clock, Watcher, autocast, distributed, fit, synchronised
from training.pretrain.validation import NetworkEncoder

BATCH = 32
"""Windows that are embedded at once for the class distribution."""


def finetune(
    run: Run,
    labelled: Labelled,
    world: World,
    *,
    watcher: Watcher,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        run: new, or taken up, its class distribution known; changed in place.
        labelled: the clips.
        world: the processes that take part.
        watcher: told of every step.
        stop: asked after every step.

    Returns:
        The same run.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
        DataError: nothing usable comes.
    """
    config, view = run.config, run.trained.view
    cache = cache_of(run)
    network = prepare(run, world)
    batches = train_batches(
        TrainClips(
            labelled.clips(TRAIN),
            run.labels,
            view,
            seed=config.seed,
            augmenter=Augmenter(config.augment, view.size_px) if config.augmented else None,
            cache=cache,
        ),
        config.batch_size,
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
        clips, labels = batch.clips.to(world.device), batch.labels.to(world.device)
        with synchronised(network, last=part == config.accumulate - 1):
            return add_gradients(run, network, clips, labels, world)

    def validate() -> float:
        found = assess(run.trained, labelled.clips(VAL), cache=cache, workers=config.data.workers)
        return found.metrics.recall[1]

    scored = validate if labelled.clips(VAL) else None
    fit(run, learn, clock, world, watcher=watcher, validate=scored, stop=stop)
    return run


def cache_of(run: Run) -> Path | None:
    """Where decoded clips are kept, if anywhere."""
    return Path(run.config.data.cache) if run.config.data.cache else None


def prepare(run: Run, world: World) -> nn.Module:
    """The network as it is called in a step: in training mode, compiled and distributed where asked for."""
    run.network.train()
    network = distributed(run.network, world)
    if run.config.compile:
        network = cast("nn.Module", torch.compile(network))
    return network


def add_gradients(run: Run, network: nn.Module, clips: Tensor, labels: Tensor, world: World) -> dict[str, Tensor]:
    """Add one batch's share to the gradients of the network.

    Returns:
        Every loss without gradient, with `total` and `top-1`, the share of clips that are named right.
    """
    config = run.config
    with autocast(config.precision, world.device):
        logits = network(clips)
    terms = recognition_losses(
        logits,
        labels,
        run.phi,
        label_smoothing=config.losses.label_smoothing,
        distribution=config.losses.distribution,
    )
    (terms["total"] / config.accumulate).backward()  # type: ignore[no-untyped-call]
    right = (logits.detach().argmax(dim=1) == labels).float().mean()
    return {name: term.detach() for name, term in terms.items()} | {"top-1": right}


def find_distribution(
    run: Run, start: Checkpoint, clips: Sequence[ListedClip], world: World, skipped: Callable[[str], None]
) -> Tensor:
    """The class distribution of the frozen encoder's retrieval vectors; processes share the clips.

    Args:
        run: whose it is.
        start: the encoder that the run starts from.
        clips: of training.
        world: the processes that take part.
        skipped: told of clips that can't be read.

    Raises:
        DataError: a label has no clip that can be read.
    """
    encoder = NetworkEncoder(start.network().to(world.device))
    config, cache = start.config, cache_of(run)
    view = View(start.fps, config.image_size, 1, config.num_frames)
    places = {label: place for place, label in enumerate(run.labels)}
    sums = torch.zeros(len(places), config.dim, dtype=torch.float64)
    for clip in clips[world.rank :: world.size]:
        try:
            sums[places[clip.gloss]] += torch.from_numpy(
                retrieval_vector(encoder, clip, view, start.stride_frames, cache)
            )
        except (ModelError, TrainingError) as error:
            skipped(f"{clip.video_id}: {error}")
    sums = world.total(sums.to(world.device))
    if empty := [label for label, total in zip(run.labels, sums, strict=True) if not total.any()]:
        raise DataError(f"{len(empty)} labels have no clip that can be read: {', '.join(empty[:5])}; leave them out")
    return class_distribution(sums)


def retrieval_vector(
    encoder: NetworkEncoder, clip: ListedClip, view: View, stride_frames: int, cache: Path | None
) -> Floats:
    """The vector of a clip by all its windows, still ones included; they hardly weigh."""
    frames = read_clip(clip, view, cache)
    windows = [window.frames for window in slide(iter(frames), view.num_frames, stride_frames)]
    parts = [encoder.encode(np.stack(windows[first : first + BATCH])) for first in range(0, len(windows), BATCH)]
    return pool(np.concatenate([part.embedding for part in parts]), np.concatenate([part.activity for part in parts]))
