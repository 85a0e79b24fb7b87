"""Where to cut a square out of a clip so that the signer's hands stay in it."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.encoder import Frames

MIN_CHANGE = 10
"""Levels by which a pixel must change to count as moving: above what cameras and codecs leave of a still wall."""
NOISE_FACTOR = 4
"""Moving pixels also stand out from the picture's own noise, in multiples of its median change."""
MAX_CHANGED_SHARE = 0.5
"""Where more of the picture changes at once, that is a cut, a flash or a fade, not a signer."""
EDGE_SHARE = 0.1
"""Movement in this share of a crop at either end does not count as kept: hands need room there."""
KEPT_SHARE = 0.98
"""Crops that keep this share of the most movement that any crop keeps are as good as each other."""


def crop_offset(frames: Sequence[Frames], size: int) -> int:
    """Where along the long axis the square crop begins.

    Of the crops that keep (nearly) the most movement clear of their edges it is the one nearest to where people film
    themselves: the middle of a landscape picture, the upper part of a portrait one, since the head is above the hands.
    A crop centred on the movement would sit beside the body of whoever signs with one hand, or cut the head off.

    Args:
        frames: of one shape, [rows, columns, 3] uint8, the shorter side `size`.
        size: pixels.

    Returns:
        First row (portrait) or column (landscape) of the crop.
    """
    height, width = frames[0].shape[:2]
    usual = (height - size) // 4 if height > width else (width - size) // 2
    margin = round(EDGE_SHARE * size)
    cumulated = np.concatenate([[0], np.cumsum(movement(frames))])
    kept = cumulated[size - margin : len(cumulated) - margin] - cumulated[margin : len(cumulated) - size + margin]
    good = np.flatnonzero(kept >= KEPT_SHARE * kept.max())
    nearest: np.int64 = good[np.abs(good - usual).argmin()]
    return int(nearest)


def movement(frames: Sequence[Frames]) -> NDArray[np.int64]:
    """How many pixels change from frame to frame, per place along the long axis.

    Args:
        frames: as for `crop_offset`.

    Returns:
        [L] counts, summed over the other axis and over time.
    """
    short_axis = int(np.argmin(frames[0].shape[:2]))
    counts = np.zeros(max(frames[0].shape[:2]), np.int64)
    for before, after in itertools.pairwise(frames):
        if before is after:
            continue
        change = np.abs(after[..., 1].astype(np.int16) - before[..., 1])
        noise = float(np.median(change[::2, ::2]))  # a quarter of the pixels tells the median as well
        moving = change > max(MIN_CHANGE, NOISE_FACTOR * noise)
        if moving.mean() <= MAX_CHANGED_SHARE:
            counts += moving.sum(short_axis)
    return counts
