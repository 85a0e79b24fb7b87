"""Which frames of a clip are looked at; the same rule when training, testing and naming signs."""

import numpy as np

from model.encoder import Ints

TRIMMED = 0.15
"""Share of a long clip that training leaves out at most."""


def choose_frames(num_seen: int, num_windows: int, length: int, rng: np.random.Generator | None = None) -> Ints:
    """Frame numbers of the windows that stand for a clip.

    One window alone takes the whole clip in: from more frames than it has it takes some, evenly; fewer are followed by
    the last one, again and again, as when serving. Several windows are of consecutive frames and spread over the clip.
    Decision: the paper says 64 frames, not which.

    Args:
        num_seen: frames of the clip, at least 1.
        num_windows: how many.
        length: frames in each.
        rng: moves them a little for training; None puts each into the middle of its part of the clip.

    Returns:
        [num_windows, length] from 0 to num_seen - 1.
    """
    alone = num_windows == 1
    covered = num_seen * (1.0 if rng is None or not alone else 1.0 - TRIMMED * rng.random())
    step = max(1.0, covered / length) if alone else 1.0
    room = max(0.0, num_seen - 1 - step * (length - 1))
    within = np.full(num_windows, 0.5) if rng is None else rng.random(num_windows)
    starts = (np.arange(num_windows) + within) / num_windows * room
    numbers = np.floor(starts[:, None] + step * np.arange(length) + 1e-6)
    return np.asarray(numbers.clip(0, num_seen - 1), np.int64)
