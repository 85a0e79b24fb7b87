"""Which frames of a clip a recogniser takes; the same rule in training, evaluation and prediction."""

import numpy as np

from model.encoder import Ints

TRIMMED = 0.15
"""Largest share of a clip that is left out in training."""


def choose_frames(num_clip_frames: int, num_windows: int, length: int, rng: np.random.Generator | None = None) -> Ints:
    """Frame numbers of the windows of a clip.

    A single window covers the whole clip: of more frames than it takes they are spread evenly; fewer are followed by
    repetitions of the last one, as in serving. Several windows are of consecutive frames and spread over the clip.
    Decision: the paper says 64 frames, not which.

    Args:
        num_clip_frames: frames of the clip, at least 1.
        num_windows: number of windows.
        length: frames in each.
        rng: moves them for training; None puts each into the middle of its part of the clip.

    Returns:
        [num_windows, length] from 0 to num_clip_frames - 1.
    """
    single = num_windows == 1
    covered = num_clip_frames * (1.0 if rng is None or not single else 1.0 - TRIMMED * rng.random())
    step = max(1.0, covered / length) if single else 1.0
    room = max(0.0, num_clip_frames - 1 - step * (length - 1))
    within = np.full(num_windows, 0.5) if rng is None else rng.random(num_windows)
    starts = (np.arange(num_windows) + within) / num_windows * room
    numbers = np.floor(starts[:, None] + step * np.arange(length) + 1e-6)
    return np.asarray(numbers.clip(0, num_clip_frames - 1), np.int64)
