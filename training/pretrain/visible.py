"""Which mask units the encoder sees of a window."""

import numpy as np
import torch
from torch import Tensor

from model.motion import moving_units
from training.pretrain.config import PretrainConfig


def choose_visible(config: PretrainConfig, windows: Tensor, order: Tensor) -> Tensor | None:
    """Which mask units the encoder sees.

    Args:
        config: how many, and of which.
        windows: [B, frames, rows, columns, 3] uint8.
        order: [B, U] random numbers; units come in their order, or moments in that of their first unit.

    Returns:
        [B, K] int64 numbers of units; None for all.
    """
    if config.num_visible == config.encoder.num_units:
        return None
    if config.hide == "moments":
        moments = order.reshape(len(order), config.encoder.unit_grid[0], -1)
        order = (moments[:, :, :1] + 1e-3 * moments).flatten(1)
    if config.num_candidates < config.encoder.num_units:
        moving = [moving_units(window, config.encoder, config.num_candidates) for window in windows.cpu().numpy()]
        still = torch.ones_like(order).scatter(1, torch.from_numpy(np.stack(moving)), 0.0)
        order = order + 2.0 * still
    return order.argsort(dim=1)[:, : config.num_visible]
