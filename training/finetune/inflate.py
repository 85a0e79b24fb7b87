"""Inflation of the patch embedding in time: 64 frames instead of 16, initialised to compute the same.

Paper: kernel (7, 7, 7), stride (8, 4, 4), padding (3, 3, 3), the old temporal slices {0, 1, 2} at {1, 3, 5}, zeros
elsewhere. The number of tokens stays, so nothing after the patch embedding changes.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from model.config import EncoderConfig
from model.errors import CheckpointError

FACTOR = 4
OLD_TIME = (3, 2, 1)
"""Kernel, stride and padding along time that can be inflated: those of the published patch embedding."""
NEW_TIME = (7, 8, 3)
POSITIONS = [1, 3, 5]
"""Of the old slices in the new kernel."""
WEIGHT = "backbone.patch_embed.proj.weight"


def can_be_inflated(config: EncoderConfig) -> bool:
    """Whether a geometry has the published patch embedding along time."""
    time = (config.patch_kernel[0], config.patch_stride[0], config.patch_padding[0])
    return not config.stem and not config.hand_px and time == OLD_TIME


def inflated_config(config: EncoderConfig, num_frames: int) -> EncoderConfig:
    """The geometry that takes four times as many frames.

    Raises:
        CheckpointError: the geometry has another patch embedding, or the number is not four times its frames.
    """
    if not can_be_inflated(config) or num_frames != FACTOR * config.num_frames:
        raise CheckpointError(
            f"an encoder of {config.num_frames} frames, patch_kernel {config.patch_kernel}, patch_stride"
            f" {config.patch_stride}, stem {config.stem or 'none'} can't be inflated to {num_frames} frames; only the"
            f" published patch embedding can, to {FACTOR} times its frames"
        )
    kernel, stride, padding = NEW_TIME
    return replace(
        config,
        num_frames=num_frames,
        patch_kernel=(kernel, *config.patch_kernel[1:]),
        patch_stride=(stride, *config.patch_stride[1:]),
        patch_padding=(padding, *config.patch_padding[1:]),
    )


def inflated_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an encoder with its patch embedding inflated.

    Output t of the old one sees frames 2t - 1, 2t, 2t + 1; of the new one 8t - 2, 8t, 8t + 2: four times as far apart
    in steps, twice as far within one, and nothing else at first.
    """
    old = state[WEIGHT]
    new = torch.zeros(*old.shape[:2], NEW_TIME[0], *old.shape[3:], dtype=old.dtype)
    new[:, :, POSITIONS] = old
    return {**state, WEIGHT: new}
