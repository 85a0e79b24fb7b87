"""Masking: which mask units of a window the encoder sees."""

import torch
from torch import Tensor

from model.motion import looked_at
from training.pretrain.config import PretrainConfig


def choose_visible(config: PretrainConfig, windows: Tensor, order: Tensor) -> Tensor | None:
    """Which mask units the encoder sees.

    Args:
        config: how many, and of which.
        windows: [B, frames, rows, columns, 3] uint8.
        order: [B, U] random numbers; units come in their order, or all units of a time in that of its first one.

    Returns:
        [B, K] int64 numbers of units; None for all.
    """
    if config.num_visible == config.encoder.num_units:
        return None
    if config.hide == "moments":
        by_time = order.reshape(len(order), config.encoder.unit_grid[0], -1)
        order = (by_time[:, :, :1] + 1e-3 * by_time).flatten(1)
    moving = looked_at(windows.cpu().numpy(), config.encoder, config.moving)
    if moving is not None:
        order = order + 2.0 * torch.ones_like(order).scatter(1, torch.from_numpy(moving), 0.0)
    return order.argsort(dim=1)[:, : config.num_visible]
