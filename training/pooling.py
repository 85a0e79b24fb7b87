"""Pooling in parts of time, with gradients; `model.pooling` does the same for one clip."""

import torch
from torch import Tensor

from model.pooling import LEAST_SHARE


def part_weights(gamma: Tensor, num_parts: int) -> Tensor:
    """The weight of each window in each part of its clip; see `model.pooling.part_weights`.

    Args:
        gamma: [.., N] activity of windows in the order of time, above 0.
        num_parts: K.

    Returns:
        [.., K, N], through which gradients flow.
    """
    passed = (gamma.cumsum(dim=-1) - 0.5 * gamma) / gamma.sum(dim=-1, keepdim=True)
    place = (num_parts * passed - 0.5).clamp(0.0, num_parts - 1.0)
    parts = torch.arange(num_parts, device=gamma.device, dtype=place.dtype)
    near = 1.0 - (place[..., None, :] - parts[:, None]).abs()
    return gamma[..., None, :] * near.clamp(min=LEAST_SHARE)
