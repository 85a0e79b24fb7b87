"""The class distribution of a run, from the vectors of the frozen encoder; see `training.finetune.losses`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.encoder import Floats
from model.errors import ModelError
from model.network.checkpoint import Checkpoint
from model.pooling import pool
from model.windows import slide
from training.data.listing.manifest import ListedClip
from training.errors import DataError, TrainingError
from training.finetune.data import ClipFormat, read_clip
from training.finetune.losses import class_distribution
from training.finetune.state import FinetuneState
from training.fit.distributed import World
from training.pretrain.validation import NetworkEncoder

BATCH = 32
"""Windows that are embedded at once."""


def find_distribution(
    state: FinetuneState, start: Checkpoint, clips: Sequence[ListedClip], world: World, on_skip: Callable[[str], None]
) -> Tensor:
    """The class distribution of the frozen encoder's retrieval vectors; processes share the clips.

    Args:
        state: of the run.
        start: the encoder that the run starts from.
        clips: of training.
        world: the processes that take part.
        on_skip: called for every clip that can't be read.

    Raises:
        DataError: a label has no clip that can be read.
    """
    encoder = NetworkEncoder(start.network().to(world.device))
    config, cache = start.config, state.config.data.cache_folder
    clip_format = ClipFormat(start.fps, config.image_size, 1, config.num_frames)
    places = {label: place for place, label in enumerate(state.labels)}
    sums = torch.zeros(len(places), config.dim, dtype=torch.float64)
    for clip in clips[world.rank :: world.size]:
        try:
            sums[places[clip.gloss]] += torch.from_numpy(
                retrieval_vector(encoder, clip, clip_format, start.stride_frames, cache)
            )
        except (ModelError, TrainingError) as error:
            on_skip(f"{clip.video_id}: {error}")
    sums = world.total(sums.to(world.device))
    if empty := [label for label, total in zip(state.labels, sums, strict=True) if not total.any()]:
        raise DataError(f"{len(empty)} labels have no clip that can be read: {', '.join(empty[:5])}; leave them out")
    return class_distribution(sums)


def retrieval_vector(
    encoder: NetworkEncoder, clip: ListedClip, clip_format: ClipFormat, stride_frames: int, cache: Path | None
) -> Floats:
    """The vector of a clip by all its windows, windows without motion included; their weight is small."""
    frames = read_clip(clip, clip_format, cache)
    windows = [window.frames for window in slide(iter(frames), clip_format.num_frames, stride_frames)]
    parts = [encoder.encode(np.stack(windows[first : first + BATCH])) for first in range(0, len(windows), BATCH)]
    return pool(np.concatenate([part.embedding for part in parts]), np.concatenate([part.activity for part in parts]))
