"""Where to cut a square out of a clip so that the signer's hands stay in it."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from model.encoder import Frames

LOOKAHEAD_S = 10.0
"""The crop is decided from the movement in this much of the beginning: most signs whole."""
LOOKAHEAD_BYTES = 64 * 2**20
"""What the look-ahead may hold of reduced frames; for odd shapes it is shortened."""
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


def cropped(frames: Iterator[Frames], size: int, fps: float) -> Iterator[Frames]:
    """Frames cut to a square, all at the same place, which the beginning decides.

    Args:
        frames: of one shape, [rows, columns, 3] uint8, the shorter side `size`.
        size: pixels.
        fps: frames per second.

    Yields:
        [size, size, 3], contiguous.
    """
    first = next(frames, None)
    if first is None:
        return
    ahead = [first, *itertools.islice(frames, _num_ahead(first, fps) - 1)]
    offset, (height, width) = crop_offset(ahead, size), first.shape[:2]
    top, left = (offset, 0) if height > width else (0, offset)
    for frame in itertools.chain(_handed_over(ahead), frames):
        yield np.ascontiguousarray(frame[top : top + size, left : left + size])


def _handed_over(frames: list[Frames]) -> Iterator[Frames]:
    """The frames in order, none of which is kept once it is given."""
    frames.reverse()
    while frames:
        yield frames.pop()


def _num_ahead(frame: Frames, fps: float) -> int:
    """How many frames to look at before the crop is decided."""
    if frame.shape[0] == frame.shape[1]:
        return 1
    return max(1, min(math.ceil(LOOKAHEAD_S * fps), LOOKAHEAD_BYTES // frame.nbytes))


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
    before = np.ascontiguousarray(frames[0][..., 1])
    for shown_before, shown in itertools.pairwise(frames):
        if shown_before is shown:
            continue
        after = np.ascontiguousarray(shown[..., 1])
        change = np.maximum(before, after) - np.minimum(before, after)
        noise = _median(change[::2, ::2])  # a quarter of the pixels tells the median as well
        moving = change > np.uint8(min(255, max(MIN_CHANGE, NOISE_FACTOR * noise)))
        if np.count_nonzero(moving) <= MAX_CHANGED_SHARE * moving.size:
            counts += np.count_nonzero(moving, axis=short_axis)
        before = after
    return counts


def _median(levels: NDArray[np.uint8]) -> float:
    """The median of levels, counted instead of sorted."""
    below = np.cumsum(np.bincount(levels.ravel(), minlength=256))
    middle = np.searchsorted(below, [(levels.size - 1) // 2, levels.size // 2], side="right")
    return float(middle.mean())
