"""How somebody moves without how they are built, and which of their hands sign.

A pose is taken apart into angles and put together again on a standard body (every bone at its median length over a data
set). What is known: keypoints below `MIN_CONFIDENCE` are masked. A masked keypoint that was estimated at all still
carries what hangs on it: hips are seldom in the picture, elbows often not, and without them nothing would be known of
arms and hands.

Paper: gives no origin for the body's keypoints; here: between the shoulders, because the hips are seldom seen.
"""

from dataclasses import dataclass

import numpy as np

from model.encoder import Flags, Floats
from model.skeleton.kinematics import (
    L_HIP,
    L_SHOULDER,
    L_WRIST,
    LEFT_HAND,
    MIRROR,
    NUM_BODY_ANGLES,
    NUM_HAND_ANGLES,
    R_HIP,
    R_SHOULDER,
    R_WRIST,
    RIGHT_HAND,
    Angles,
    Proportions,
    forward,
    inverse,
    mirror_angles,
    standard_proportions,
)
from model.skeleton.rotations import Reals

NUM_FRAMES = 16
"""Frames of a window."""
MIN_CONFIDENCE = 0.5
INACTIVE_MOTION = 0.26
"""A low hand is at rest where its 21 keypoints move by less than this in sum: metres of the standard body."""
MID_TORSO = (R_SHOULDER, L_SHOULDER, R_HIP, L_HIP)


@dataclass(frozen=True)
class NormalisedPose:
    """How a clip's signer moves, without how they are built."""

    angles: Floats
    """[T, 104] radians: 22 of the body, 41 of the right hand, 41 of the left; NaN where not even estimated."""
    known: Flags
    """[T, 61] keypoints that were seen well enough."""

    def window(self, start: int, num_frames: int = NUM_FRAMES) -> "NormalisedPose":
        """Consecutive frames; past the end the last one is repeated, as windows of short clips are."""
        rows = np.minimum(np.arange(start, start + num_frames), len(self.angles) - 1)
        return NormalisedPose(self.angles[rows], self.known[rows])

    def mirrored(self) -> "NormalisedPose":
        """The same movement in a mirror: what was done with one hand is done with the other."""
        other = mirror_angles(self.by_part())
        flat = np.concatenate([other.body, other.right, other.left], axis=-1).astype(np.float32)
        return NormalisedPose(flat, self.known[:, MIRROR])

    def by_part(self) -> Angles:
        """The angles of body and hands."""
        split = (NUM_BODY_ANGLES, NUM_BODY_ANGLES + NUM_HAND_ANGLES)
        body, right, left = np.split(self.angles.astype(np.float64), split, axis=-1)
        return Angles(body, left, right)


def normalise(keypoints: Reals, confidence: Reals) -> NormalisedPose:
    """Take a clip's poses apart. Worth doing once per clip: `targets` is several times faster.

    Args:
        keypoints: [T, 61, 3]; NaN where there are none.
        confidence: [T, 61] in [0, 1].
    """
    angles = inverse(keypoints)
    flat = np.concatenate([angles.body, angles.right, angles.left], axis=-1).astype(np.float32)
    known = (confidence >= MIN_CONFIDENCE) & np.isfinite(keypoints).all(axis=-1)
    return NormalisedPose(flat, known)


def regenerate(pose: NormalisedPose, body: Proportions | None = None) -> Reals:
    """The pose on the standard body: [T, 61, 3] metres from between its shoulders."""
    points = forward(pose.by_part(), standard_proportions() if body is None else body)
    return points - (points[:, L_SHOULDER, None] + points[:, R_SHOULDER, None]) / 2.0


def hand_activity(points: Reals, known: Flags, inactive_motion: float = INACTIVE_MOTION) -> tuple[Floats, Flags]:
    """Which hand signs: [2] left, right; 1 for a hand that is raised or moves.

    A hand is at rest where (1) it lies below the middle of the trunk and (2) the sum over its keypoints of the standard
    deviation of their place over time is below `inactive_motion` (Paper: both must hold). Its height is the mean over
    its keypoints and the window, its place's deviation the root of the summed variances of x, y and z. Frames where
    only the wrist is known count for the height alone. A low hand that is found in less than half of the frames rests
    (Paper: silent; here so, because a hand that signs is found, and the jitter of an arm's wrist alone would pass for
    motion).

    Args:
        points: [T, 61, 3] metres of the standard body.
        known: [T, 61].
        inactive_motion: metres, over so many frames; the usual one is for the 16 of the paper's windows.

    Returns:
        The activity, known where the wrist is in at least half of the frames.
    """
    trunk = points[:, MID_TORSO, 1]
    middle = trunk[np.isfinite(trunk)].mean() if np.isfinite(trunk).any() else np.nan
    active, sure = np.zeros(2, np.float32), np.zeros(2, np.bool_)
    for side, (rows, wrist) in enumerate(((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST))):
        seen = known[:, wrist]
        sure[side] = np.isfinite(middle) and 2 * seen.sum() >= len(points)
        if sure[side]:
            hand, found = points[:, rows], known[:, rows]
            height = np.where(found, hand[..., 1], points[:, wrist, None, 1])[seen].mean()
            whole = found.all(axis=-1)
            rests = 2 * whole.sum() < len(points) or _motion(hand[whole]) < inactive_motion
            active[side] = not (height < middle and rests)
    return active, sure


def _motion(hand: Reals) -> float:
    """Sum over keypoints of the standard deviation of their place: [T, 21, 3] to metres."""
    return float(np.sqrt(hand.var(axis=0).sum(axis=-1)).sum())
