"""Where something moves: which windows, and which mask units of them, are worth encoding."""

import numpy as np

from model.config import EncoderConfig, SkeletonConfig
from model.encoder import Floats, Frames, Ints, Windows

BLOCK_PX = 8
"""Frames are compared as means over blocks of this size: sensor noise averages out, a moving finger does not."""


def block_means(window: Frames) -> Floats:
    """Green channel of a window, averaged over blocks.

    Args:
        window: [T, H, W, 3] uint8; H and W are multiples of `BLOCK_PX`.

    Returns:
        [T, H / 8, W / 8] float32 in grey levels, 0 to 255.
    """
    num_frames, height, width, _ = window.shape
    green = window[..., 1].reshape(num_frames, height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX)
    # Summing rows first as 16-bit integers is six times faster than a mean over both axes.
    sums = green.sum(axis=2, dtype=np.uint16).sum(axis=3, dtype=np.uint16)
    return np.asarray(sums / np.float32(BLOCK_PX**2), np.float32)


def motion(means: Floats) -> float:
    """How much the most restless block changes, in grey levels (standard deviation over time).

    Args:
        means: [T, rows, columns] of blocks, as `block_means` gives them.
    """
    return float(means.std(axis=0).max())


def looked_at(windows: Windows, config: EncoderConfig | SkeletonConfig, kept_share: float) -> Ints | None:
    """The mask units of every window that an encoder is given.

    Args:
        windows: [N, T, H, W, 3] uint8, or skeletons, which have no such units.
        config: geometry of the encoder.
        kept_share: of the units, those in which most moves; above 0 up to 1.

    Returns:
        [N, K] numbers of mask units; None for all.
    """
    if isinstance(config, SkeletonConfig):
        return None
    num_kept = max(1, round(kept_share * config.num_units))
    if num_kept == config.num_units:
        return None
    return np.stack([moving_units(window, config, num_kept) for window in windows])


def moving_units(window: Frames, config: EncoderConfig, num_kept: int) -> Ints:
    """The mask units of a window in which most moves.

    Args:
        window: [T, H, W, 3] uint8.
        config: geometry of the encoder.
        num_kept: how many to return, 1 to `config.num_units`.

    Returns:
        [num_kept] numbers of mask units, ascending.
    """
    change = np.abs(np.diff(block_means(window), axis=0))
    # A frame's change is the larger of the one that led to it and the one that follows.
    change = np.maximum(np.concatenate([change[:1], change]), np.concatenate([change, change[-1:]]))
    units_t, units_h, units_w = config.unit_grid
    num_frames, rows, columns = change.shape
    per_unit = change.reshape(
        units_t, num_frames // units_t, units_h, rows // units_h, units_w, columns // units_w
    ).mean(axis=(1, 3, 5))
    return np.sort(np.argsort(-per_unit.ravel(), kind="stable")[:num_kept])
