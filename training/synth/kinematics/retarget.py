"""Retargeting: from the pose of arms, palms and fingers to the rotation of every bone of a rig.

The skin follows the bones, so what a joint turns is spread as flesh spreads it: the forearm's twist grows along its two
bones, the upper arm's along its own two, and the collar bone takes part in lifting.
"""

from dataclasses import dataclass, replace

import numpy as np

from model.encoder import Floats
from model.skeleton.kinematics import R_SHOULDER, R_WRIST, RIGHT_HAND, mirror_points
from model.skeleton.rotations import Reals, cross, turn_y, unit
from training.synth.kinematics.arms import Arm, ArmPose, hold_of
from training.synth.kinematics.posed_body import usual_girth
from training.synth.people.rig import Rig

MIRROR_X = np.array([-1.0, 1.0, 1.0])
_FLIP = MIRROR_X[:, None] * MIRROR_X[None, :]


@dataclass(frozen=True)
class PosedArm:
    """A left arm with its hand, at every moment."""

    arm: Arm
    pose: ArmPose
    fingers: Reals
    """[T, 5, 3, 3, 3] frames of the finger bones in the palm's frame."""


def mirror_rows(names: tuple[str, ...]) -> list[int]:
    """The row of every bone's counterpart on the other side."""
    other = {".L": ".R", ".R": ".L"}
    return [names.index(name[:-2] + other[name[-2:]] if name[-2:] in other else name) for name in names]


def mirror_rig(rig: Rig) -> Rig:
    """The same person in a mirror, under the same bone names."""
    rows = mirror_rows(rig.names)
    return replace(
        rig,
        heads=(rig.heads[rows] * MIRROR_X).astype(np.float32),
        tails=(rig.tails[rows] * MIRROR_X).astype(np.float32),
        landmarks=mirror_points(rig.landmarks.astype(float)).astype(np.float32),
    )


def mirror_rotations(rig: Rig, rotations: Floats) -> Floats:
    """Rotations [T, J, 3, 3] of the mirrored movement."""
    mirrored: Floats = (rotations[:, mirror_rows(rig.names)] * _FLIP).astype(np.float32)
    return mirrored


def mirror_transforms(transforms: Reals) -> Reals:
    """Transforms [..., 3, 4] as seen in a mirror."""
    mirrored: Reals = transforms * np.concatenate([_FLIP, MIRROR_X[:, None]], axis=1)
    return mirrored


def nearest_rotations(matrices: Reals) -> Reals:
    """The rotations [..., 3, 3] that are nearest to matrices of no negative determinant."""
    u, _, vt = np.linalg.svd(matrices)
    nearest: Reals = u @ vt
    return nearest


def girth_of(rig: Rig) -> Reals:
    """The girth of a rig's trunk, [8, 3] metres; the usual one where the rig has none."""
    return usual_girth(rig.landmarks.astype(float)) if rig.girth is None else rig.girth.astype(float)


def bone_turns(posed: PosedArm) -> dict[str, Reals]:
    """Rotation of every bone of a left arm since the rest pose, in space.

    Returns:
        by bone name without its side: [T, 3, 3].
    """
    arm, pose = posed.arm, posed.pose
    upper = pose.upper_frame @ arm.upper_rest.T
    least = _least_turn(pose.girdle @ arm.upper_rest[:, 1], pose.upper_frame[..., 1]) @ pose.girdle
    resting = hold_of(arm.fore_rest, arm.hand.palm)[0]
    twist = pose.hold[:, 0] - resting
    palm = pose.palm @ arm.hand.palm.T
    turns = {
        "clavicle": pose.girdle,
        "shoulder01": pose.girdle,
        "upperarm01": _part_of_the_way(least, upper, arm.upper_rest[:, 1], 0.4),
        "upperarm02": upper,
        "lowerarm01": pose.fore_frame @ turn_y(0.25 * twist) @ arm.fore_rest.T,
        "lowerarm02": pose.fore_frame @ turn_y(0.75 * twist) @ arm.fore_rest.T,
        "wrist": palm,
    }
    fingers = pose.palm[:, None, None] @ posed.fingers @ (arm.hand.palm @ arm.hand.rest).swapaxes(-1, -2)
    for finger in range(5):
        for bone in range(3):
            turns[f"finger{finger + 1}-{bone + 1}"] = fingers[:, finger, bone]
    return turns


def _least_turn(start: Reals, end: Reals) -> Reals:
    """The smallest rotation from one direction to another: [T, 3] twice to [T, 3, 3]."""
    axis = cross(start, end)
    cosine = (start * end).sum(axis=-1)[..., None, None]
    skew = _cross_matrix(axis)
    least: Reals = np.eye(3) + skew + skew @ skew / np.maximum(1.0 + cosine, 1e-6)
    return least


def _cross_matrix(v: Reals) -> Reals:
    x, y, z = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _part_of_the_way(start: Reals, end: Reals, rest_axis: Reals, share: float) -> Reals:
    """Between two turns that differ by a twist about the bone: [T, 3, 3]."""
    between = np.swapaxes(start, -1, -2) @ end
    sine = 0.5 * np.einsum("tab,ab->t", between, _cross_matrix(unit(rest_axis)))
    cosine = 0.5 * (np.trace(between, axis1=-2, axis2=-1) - 1.0)
    angle = share * np.arctan2(sine, cosine)[..., None, None]
    skew = _cross_matrix(unit(rest_axis))
    between_turns: Reals = start @ (np.eye(3) + np.sin(angle) * skew + (1.0 - np.cos(angle)) * (skew @ skew))
    return between_turns


def mirror_turns(turns: dict[str, Reals]) -> dict[str, Reals]:
    """Turns in space of the other side's bones, from those of the mirrored arm."""
    return {name: turn * _FLIP for name, turn in turns.items()}


def local_rotations(rig: Rig, trunk: Reals, left: dict[str, Reals], right: dict[str, Reals]) -> Floats:
    """Every bone's rotation relative to its parent.

    Args:
        rig: the bones.
        trunk: [T, J, 3, 3] local rotations of the bones that are not named in the other two.
        left: turns in space of the left arm's bones, by name without side.
        right: of the right arm's bones.

    Returns:
        [T, J, 3, 3] float32.
    """
    space = {f"{name}.L": turns for name, turns in left.items()} | {f"{name}.R": t for name, t in right.items()}
    rotations = trunk.copy()
    turned = np.empty(trunk.shape)
    for row, (name, parent) in enumerate(zip(rig.names, rig.parents, strict=True)):
        carrier = turned[:, parent] if parent >= 0 else np.broadcast_to(np.eye(3), (len(trunk), 3, 3))
        if name in space:
            rotations[:, row] = carrier.swapaxes(-1, -2) @ space[name]
        turned[:, row] = space[name] if name in space else carrier @ rotations[:, row]
    return rotations.astype(np.float32)


def posed_points(posed: PosedArm) -> Reals:
    """Shoulder, elbow, wrist and the 21 keypoints of the hand: [T, 24, 3] metres."""
    arm, pose = posed.arm, posed.pose
    steps = posed.fingers[..., :, 1] * arm.hand.lengths[..., None]
    ends = arm.hand.bases[:, None, :] + np.cumsum(steps, axis=-2)
    starts = np.broadcast_to(arm.hand.bases[:, None, :], (*ends.shape[:-2], 1, 3))
    chain = np.concatenate([starts, ends], axis=-2).reshape(len(ends), 20, 3)
    hand = pose.wrist[:, None] + np.einsum("tab,tkb->tka", pose.palm, chain)
    return np.concatenate([np.stack([pose.shoulder, pose.elbow, pose.wrist, pose.wrist], axis=1), hand], axis=1)


def with_right_arm(points: Reals, mirrored_arm: Reals) -> Reals:
    """The body's keypoints with the right arm where it is.

    Args:
        points: [T, 61, 3] of a body.
        mirrored_arm: [T, 24, 3] of its right arm, mirrored, as `posed_points` gives them.
    """
    arm = mirrored_arm * MIRROR_X
    moved = points.copy()
    moved[:, R_SHOULDER : R_WRIST + 1] = arm[:, :3]
    moved[:, RIGHT_HAND] = arm[:, 3:]
    return moved
