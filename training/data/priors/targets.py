"""Prior targets of windows: joint angles, keypoints, distances and activity, with masks of what is known.

    keypoints, confidence --normalise--> angles, known --targets--> nine priors per frame, activity per window

A pose is converted to angles and back to keypoints on the standard body (every bone at its median length over a data
set); targets are computed from the result, so that they describe how somebody signs and not how they are built.

What is known: keypoints below `MIN_CONFIDENCE` are masked, with every target that names one of them. An angle is known
where both ends of its bone and of its parent's are. A masked keypoint that was estimated at all still carries what
hangs on it: hips are seldom in the picture, elbows often not, and without them nothing would be known of arms and
hands.

Paper: gives no origin for the body's keypoints; here: between the shoulders, because the hips are seldom seen.
"""

import numpy as np

from model.encoder import Flags, Floats
from model.skeleton.kinematics import (
    BONES,
    L_HIP,
    L_SHOULDER,
    LEFT_HAND,
    NUM_BODY_ANGLES,
    NUM_HAND_ANGLES,
    PARENTS,
    R_HIP,
    R_SHOULDER,
    RIGHT_HAND,
    Proportions,
)
from model.skeleton.normalisation import NormalisedPose, hand_activity, regenerate
from model.skeleton.rotations import Reals
from training.data.priors.table import ACTIVITY

PriorTarget = tuple[Floats, Flags]
"""Values, and which of them are known; unknown ones are 0."""

# Paper: names the sets; the order of the twelve follows that of the twenty-two, wrists as listed last.
DISTANCES_FROM = (23, 27, 31, 35, 39, 44, 48, 52, 56, 60, 40, 19)
DISTANCES_TO = (0, 3, 6, 7, 10, 13, 15, 16, 17, 18, 19, 23, 27, 31, 35, 39, 40, 44, 48, 52, 56, 60)
TIPS_FROM = (4, 8, 12, 16, 20)
TIPS_TO = (0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20)
"""Rows within a hand."""
_MIDDLE_ENDS = np.array([(R_HIP, L_HIP), (R_SHOULDER, L_SHOULDER), (16, 15), (18, 17)])


def prior_targets(pose: NormalisedPose, body: Proportions | None = None) -> dict[str, PriorTarget]:
    """All prior targets of a window.

    Args:
        pose: of the window, T frames.
        body: the standard body in metres; None for `standard_proportions`.

    Returns:
        By the names of `training.data.priors.table`: target float32 [T, dim] and its mask; for activity [2] and [2].
        Targets are without psi.
    """
    points = regenerate(pose, body)
    known = pose.known & np.isfinite(points).all(axis=-1)
    found = _angle_targets(pose) | {
        "body_pose": _keypoints(points, known),
        "right_pose": _hand_keypoints(points[:, RIGHT_HAND], known[:, RIGHT_HAND]),
        "left_pose": _hand_keypoints(points[:, LEFT_HAND], known[:, LEFT_HAND]),
        "body_dist": _differences(points, known, DISTANCES_FROM, DISTANCES_TO),
        "right_dist": _differences(points[:, RIGHT_HAND], known[:, RIGHT_HAND], TIPS_FROM, TIPS_TO),
        "left_dist": _differences(points[:, LEFT_HAND], known[:, LEFT_HAND], TIPS_FROM, TIPS_TO),
    }
    return found | {ACTIVITY: hand_activity(points, known)}


def _angle_targets(pose: NormalisedPose) -> dict[str, PriorTarget]:
    """Sines, then cosines, of the three groups of angles."""
    known = _known_angles(pose.known) & np.isfinite(pose.angles)
    values = np.nan_to_num(pose.angles)
    found: dict[str, PriorTarget] = {}
    start = 0
    for name, count in (("body", NUM_BODY_ANGLES), ("right", NUM_HAND_ANGLES), ("left", NUM_HAND_ANGLES)):
        part = slice(start, start + count)
        both = np.concatenate([np.sin(values[:, part]), np.cos(values[:, part])], axis=-1)
        mask = np.tile(known[:, part], (1, 2))
        found[f"full_{name}_angles"] = (np.where(mask, both, 0.0).astype(np.float32), mask)
        start += count
    return found


def _known_angles(known: Flags) -> Flags:
    """[T, 104] angles whose bone and its parent have known ends; a twist needs the forearm and the knuckle line."""
    points = np.concatenate([known, known[:, _MIDDLE_ENDS].all(axis=-1)], axis=-1)
    bones = points[:, [bone.start for bone in BONES]] & points[:, [bone.end for bone in BONES]]
    jointed = bones & np.where(PARENTS >= 0, bones[:, PARENTS], True)
    for row, bone in enumerate(BONES):
        if bone.twisted:  # measured after the twist, so as unknown as that
            hand = RIGHT_HAND if row < 31 else LEFT_HAND
            jointed[:, row] &= points[:, hand.start + 5] & points[:, hand.start + 17]
    both = np.repeat(jointed, 2, axis=-1)
    twists = [
        bones[:, PARENTS[palm]] & points[:, hand.start + 5] & points[:, hand.start + 17]
        for palm, hand in ((11, RIGHT_HAND), (31, LEFT_HAND))
    ]
    right, left = (twist[:, None] for twist in twists)
    return np.concatenate([both[:, :22], both[:, 22:62], right, both[:, 62:], left], axis=-1)


def _keypoints(points: Reals, known: Flags) -> PriorTarget:
    return _flat(points, known)


def _hand_keypoints(hand: Reals, known: Flags) -> PriorTarget:
    """A hand's keypoints from its wrist."""
    return _flat(hand - hand[:, :1], known & known[:, :1])


def _differences(points: Reals, known: Flags, starts: tuple[int, ...], ends: tuple[int, ...]) -> PriorTarget:
    """Signed difference vectors from every start to every end, [T, starts * ends * 3]."""
    away = points[:, None, ends] - points[:, starts, None]
    both = known[:, None, ends] & known[:, starts, None]
    return _flat(away, both)


def _flat(values: Reals, known: Flags) -> PriorTarget:
    """[T, ..., 3] values with a mask [T, ...] as [T, dim] twice."""
    mask = np.repeat(known[..., None], 3, axis=-1).reshape(len(values), -1)
    return np.where(mask, values.reshape(len(values), -1), 0.0).astype(np.float32), mask
