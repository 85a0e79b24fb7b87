"""Arm inverse kinematics: from wrist position and palm orientation to shoulder, elbow and the frames of the bones.

Everything here is a left arm; a right one is its mirror image. A hand is held by three angles of forearm and wrist:
pronation (0 with the thumb where the elbow bends to, positive when the palm turns down), flexion (towards the palm) and
deviation (towards the thumb), P = E R_y(pronation) R_x(flexion) R_z(deviation), with E the frame of the forearm.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.skeleton.elbow import bend_arm, natural_swivel
from model.skeleton.kinematics import L_ELBOW, L_SHOULDER, L_WRIST, LEFT_HAND, R_SHOULDER
from model.skeleton.rotations import Reals, cross, turn, turn_about, turn_y, unit
from training.synth.kinematics.hands import Hand, measure_hand

HOLD_LIMITS: Reals = np.deg2rad(np.array([(-88.0, 88.0), (-65.0, 75.0), (-35.0, 24.0)]))
"""[3, 2] of pronation, flexion, deviation, radians."""
_ALONG = np.array([0.25, 0.5, 0.75, 0.9])[:, None]
"""Points of a forearm that are kept out of the body, shares of the way from elbow to wrist."""
_DEEP_M = 0.03
"""So far inside the body a forearm strains as much as a wrist turned 25 degrees beyond its limit."""
_SWIVELS = np.deg2rad(np.arange(-20.0, 98.0, 6.5))


@dataclass(frozen=True)
class Arm:
    """The build of one left arm, in the rest pose."""

    pivot: Reals
    """[3] metres, where the collar bone turns."""
    shoulder: Reals
    """[3] metres."""
    upper: float
    """Length of the upper arm, metres."""
    fore: float
    """Length of the forearm, metres."""
    upper_rest: Reals
    """[3, 3] frame of the upper arm in the rest pose."""
    fore_rest: Reals
    """[3, 3] frame of the forearm in the rest pose."""
    hand: Hand

    @property
    def length(self) -> float:
        """From shoulder to wrist, stretched, metres."""
        return self.upper + self.fore


@dataclass(frozen=True)
class ArmPose:
    """A left arm at every moment, in space."""

    girdle: Reals
    """[T, 3, 3] turn of the collar bone since the rest pose."""
    shoulder: Reals
    elbow: Reals
    wrist: Reals
    """[T, 3] metres each."""
    upper_frame: Reals
    fore_frame: Reals
    palm: Reals
    """[T, 3, 3] frames."""
    hold: Reals
    """[T, 3] pronation, flexion, deviation, radians, within `HOLD_LIMITS`."""


def measure_arm(landmarks: Reals, pivot: Reals | None = None) -> Arm:
    """The build of the left arm of somebody in the rest pose.

    Args:
        landmarks: [61, 3] metres; mirror them for the right arm.
        pivot: [3] where the collar bone turns; None: near the breastbone.
    """
    shoulder, elbow, wrist = landmarks[[L_SHOULDER, L_ELBOW, L_WRIST]].astype(float)
    if pivot is None:
        pivot = landmarks[R_SHOULDER] + 0.58 * (landmarks[L_SHOULDER] - landmarks[R_SHOULDER])
    # An elbow that is straight at rest points backwards.
    upper_rest, fore_rest = arm_frames(shoulder, elbow, wrist, np.array([0.0, 0.0, -0.01]))
    return Arm(
        pivot=pivot.astype(float),
        shoulder=shoulder,
        upper=float(np.linalg.norm(elbow - shoulder)),
        fore=float(np.linalg.norm(wrist - elbow)),
        upper_rest=upper_rest,
        fore_rest=fore_rest,
        hand=measure_hand(landmarks[LEFT_HAND].astype(float)),
    )


def arm_frames(shoulder: Reals, elbow: Reals, wrist: Reals, hint: Reals | float = 0.0) -> tuple[Reals, Reals]:
    """Frames of upper arm and forearm: y along the bone, x in the plane of the arm where the elbow points, z across.

    Args:
        shoulder: [..., 3].
        elbow: [..., 3].
        wrist: [..., 3].
        hint: [..., 3] metres, where the elbow points as far as that is in doubt: in an arm that is nearly straight.
    """
    axis = unit(wrist - shoulder)
    reach = elbow - shoulder + hint
    spoke = reach - (reach * axis).sum(axis=-1, keepdims=True) * axis
    return _spanned(unit(elbow - shoulder), spoke), _spanned(unit(wrist - elbow), spoke)


def _spanned(y: Reals, near_x: Reals) -> Reals:
    z = unit(cross(near_x, y))
    return np.stack([cross(y, z), y, z], axis=-1)


def held(fore_frame: Reals, hold: Reals) -> Reals:
    """The palm's frame from the forearm's and the three angles of the hold: [..., 3, 3]."""
    return fore_frame @ turn_y(hold[..., 0]) @ turn(hold[..., 1], hold[..., 2])


def hold_of(fore_frame: Reals, palm: Reals) -> Reals:
    """The three angles that hold a palm so: [..., 3] radians, not limited."""
    R = np.swapaxes(fore_frame, -1, -2) @ palm
    return np.stack(
        [
            np.arctan2(R[..., 0, 2], R[..., 2, 2]),
            np.arcsin(np.clip(-R[..., 1, 2], -1.0, 1.0)),
            np.arctan2(R[..., 1, 0], R[..., 1, 1]),
        ],
        axis=-1,
    )


def hold_excess(hold: Reals) -> Reals:
    """By how much a hold is beyond the joints' limits: [..., 3] radians, 0 within."""
    return np.abs(hold - np.clip(hold, HOLD_LIMITS[:, 0], HOLD_LIMITS[:, 1]))


def raise_shoulder(arm: Arm, carrier: Reals, upper: Reals, reach: Reals) -> tuple[Reals, Reals]:
    """The collar bone follows the arm: up when the upper arm rises, forward when the hand goes out or across.

    Args:
        arm: its build.
        carrier: [T, 3, 4] transform of the trunk under it since the rest pose.
        upper: [T, 3] unit, from shoulder to elbow.
        reach: [T, 3] from shoulder to wrist, in arm lengths.

    Returns:
        turn of the collar bone [T, 3, 3] and the shoulder [T, 3].
    """
    turned = carrier[..., :3]
    elevation = np.arccos(np.clip(-np.einsum("tb,tb->t", turned[..., 1], upper), -1.0, 1.0))
    up = 0.22 * np.maximum(elevation - np.deg2rad(25.0), 0.0)
    local = np.einsum("tba,tb->ta", turned, reach)
    forward = np.deg2rad(14.0) * np.clip(local[:, 2] - 0.35, 0.0, 0.6) / 0.6
    forward += np.deg2rad(10.0) * np.clip(-local[:, 0], 0.0, 0.6) / 0.6
    girdle = turned @ turn_y(-forward) @ turn_about(2, up)
    return girdle, turned @ arm.pivot + carrier[..., 3] + girdle @ (arm.shoulder - arm.pivot)


def resting_shoulder(arm: Arm, carrier: Reals) -> Reals:
    """[T, 3] where the shoulder is while the collar bone rests."""
    return carrier[..., :3] @ arm.shoulder + carrier[..., 3]


def choose_swivel(
    arm: Arm, carrier: Reals, target: Reals, palm: Reals, inside: Callable[[Reals], Reals] | None = None
) -> Reals:
    """The elbow's place that lets the wrist hold the hand with least strain, near where elbows naturally are.

    Args:
        arm: its build.
        carrier: [T, 3, 4] transform of the trunk.
        target: [T, 3] where the wrist goes.
        palm: [T, 3, 3] how the hand is to be held.
        inside: how deep points [T, K, 3] are inside what the forearm must keep out of, [T, K] metres.

    Returns:
        [T] radians.
    """
    shoulder = resting_shoulder(arm, carrier)
    swivels = np.broadcast_to(_SWIVELS, (len(target), len(_SWIVELS)))
    elbow, wrist = bend_arm(shoulder[:, None], target[:, None], arm.upper, arm.fore, swivels)
    hold = hold_of(arm_frames(shoulder[:, None], elbow, wrist)[1], palm[:, None])
    strain = (hold_excess(hold) ** 2).sum(axis=-1) * 6.0 + 0.05 * np.square(hold / HOLD_LIMITS[:, 1]).sum(axis=-1)
    usual = natural_swivel(shoulder, target, arm.length)[:, None]
    inward = np.einsum("tb,tkb->tk", carrier[:, :, 0], elbow - shoulder[:, None]) / arm.upper
    cost = strain + 0.55 * (swivels - usual) ** 2 + 4.0 * np.maximum(-inward - 0.05, 0.0) ** 2
    if inside is not None:
        forearm = elbow[:, :, None] + _ALONG * (target[:, None, None] - elbow[:, :, None])
        deep = inside(forearm.reshape(len(target), -1, 3)).reshape(*elbow.shape[:2], -1)
        cost = cost + np.square(deep / _DEEP_M).max(axis=-1)
    weight = np.exp(-(cost - cost.min(axis=1, keepdims=True)) / 0.02)
    chosen: Reals = (weight * swivels).sum(axis=1) / weight.sum(axis=1)
    return chosen


def pose_arm(arm: Arm, carrier: Reals, target: Reals, swivel: Reals, hold: Reals) -> ArmPose:
    """The whole arm for a wrist, a swivel and a hold, which is kept within its limits."""
    resting = resting_shoulder(arm, carrier)
    elbow, _ = bend_arm(resting, target, arm.upper, arm.fore, swivel)
    girdle, shoulder = raise_shoulder(arm, carrier, unit(elbow - resting), (target - resting) / arm.length)
    elbow, wrist = bend_arm(shoulder, target, arm.upper, arm.fore, swivel)
    upper_frame, fore_frame = arm_frames(shoulder, elbow, wrist)
    kept = np.clip(hold, HOLD_LIMITS[:, 0], HOLD_LIMITS[:, 1])
    return ArmPose(girdle, shoulder, elbow, wrist, upper_frame, fore_frame, held(fore_frame, kept), kept)
