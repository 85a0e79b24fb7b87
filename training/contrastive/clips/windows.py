"""Windows of two frames of one clip with all that is known of them: what is rendered, stored and trained on.

All priors stand side by side, in the order of the prior table, so that a clip is a handful of arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.encoder import Flags, Floats, Frames, Ints
from model.skeleton.kinematics import L_WRIST, LEFT_HAND, R_WRIST, RIGHT_HAND, Proportions
from model.skeleton.normalisation import INACTIVE_MOTION, NUM_FRAMES, NormalisedPose, hand_activity, regenerate
from training.data.priors.table import PRIORS
from training.data.priors.targets import prior_targets
from training.data.shards.source import hands_in_picture

NUM_SHOWN = 2
"""Frames of a window."""
BEFORE = (NUM_FRAMES - NUM_SHOWN) // 2
"""Frames of a window of 16 that come before those that are shown."""
ACTIVITY_FRAMES = 4
"""Frames that decide whether a hand is active: those that are shown, one before and one after. The 16 frames of the
paper's window are too many for two: a hand that visibly rests counts there as active
(docs/decisions/activity-of-a-moment.md)."""
WIDTH = sum(prior.dim for prior in PRIORS)
"""Values of all priors of one frame."""
COLUMNS = {
    prior.name: slice(start, end)
    for prior, (start, end) in zip(PRIORS, pairwise(accumulate((p.dim for p in PRIORS), initial=0)), strict=True)
}
"""Where each prior is among them."""
HANDS = (LEFT_HAND, RIGHT_HAND)
WRISTS = (L_WRIST, R_WRIST)


@dataclass(frozen=True)
class ClipWindows:
    """M windows of a clip."""

    frames: Frames
    """[M, 2, S, S, 3]."""
    targets: NDArray[np.float16]
    """[M, 2, WIDTH] without psi."""
    known: Flags
    """[M, 2, WIDTH] whether they are known."""
    activity: Floats
    """[M, 2] left and right hand, 1 = signing."""
    activity_known: Flags
    """[M, 2]."""
    hands: Floats
    """[M, 2, 3] middle of the left and the right hand, x right and y down, and the side of a square around it, in
    shares of the frame; NaN where unknown or outside."""
    points: Floats
    """[M, 2, 21, 2] where the keypoints of both hands are, in shares of the frame; NaN where unknown."""

    def __len__(self) -> int:
        return len(self.frames)


def arrays(windows: ClipWindows) -> dict[str, NDArray[np.generic]]:
    """The arrays of windows by name."""
    return {field.name: getattr(windows, field.name) for field in fields(windows)}


def random_starts(num_frames: int, count: int, rng: np.random.Generator) -> Ints:
    """First frames of `count` windows, a random one from each of as many equal parts of a clip: [count]."""
    edges = np.linspace(0, max(0, num_frames - NUM_SHOWN), count + 1)
    return np.asarray(rng.uniform(edges[:-1], edges[1:]).round(), np.int64)


def describe(
    pose: NormalisedPose, pixels: Floats, starts: Ints, size_px: int, body: Proportions | None
) -> dict[str, NDArray[np.generic]]:
    """All arrays of `ClipWindows` but the frames.

    Args:
        pose: of the whole clip.
        pixels: [T, 61, 2] where keypoints are, x right and y down; NaN where unknown.
        starts: [M] first frames.
        size_px: side of the frame.
        body: the standard body; None for that of an average adult.
    """
    rows = np.minimum(starts[:, None] + np.arange(NUM_SHOWN), len(pixels) - 1)  # [M, 2]
    found = prior_targets(pose, body)
    activity, sure = _activity(pose, pixels, starts, size_px, body)
    squares = np.stack([hands_in_picture(pixels, int(start), size_px, NUM_SHOWN).mean(axis=0) for start in starts])
    inside = ((squares[..., :2] >= 0.0) & (squares[..., :2] <= 1.0)).all(axis=-1, keepdims=True)
    points = np.stack([pixels[rows][:, :, part].mean(axis=1) for part in HANDS], axis=1) / size_px
    return {
        "targets": np.concatenate([found[prior.name][0][rows] for prior in PRIORS], axis=-1).astype(np.float16),
        "known": np.concatenate([found[prior.name][1][rows] for prior in PRIORS], axis=-1),
        "activity": activity,
        "activity_known": sure,
        "hands": np.where(inside, squares, np.nan).astype(np.float32),
        "points": points.astype(np.float32),
    }


def _activity(
    pose: NormalisedPose, pixels: Floats, starts: Ints, size_px: int, body: Proportions | None
) -> tuple[Floats, Flags]:
    """Which hands sign in windows: [M, 2], and whether that is known. A hand below the picture rests.

    By the rule for windows of 16 frames, its threshold scaled to the shorter time.
    """
    points = regenerate(pose, body)
    known = pose.known & np.isfinite(points).all(axis=-1)
    around = starts[:, None] + np.arange(ACTIVITY_FRAMES) - (ACTIVITY_FRAMES - NUM_SHOWN) // 2
    windows = around.clip(0, len(points) - 1)
    still = INACTIVE_MOTION * ACTIVITY_FRAMES / NUM_FRAMES
    found = [hand_activity(points[rows], known[rows], still) for rows in windows]
    below = (pixels[windows][:, :, WRISTS, 1] > size_px).all(axis=1)
    active, sure = (np.stack(each) for each in zip(*found, strict=True))
    return np.where(below, np.float32(0.0), active), sure | below


def by_prior(values: Tensor) -> Mapping[str, Tensor]:
    """[.., WIDTH] -> by prior [.., dim]."""
    return {name: values[..., columns] for name, columns in COLUMNS.items()}
