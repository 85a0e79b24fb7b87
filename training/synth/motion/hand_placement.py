"""Hand placement: which part of a hand touches a location, and where wrist and elbow then are."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from model.skeleton.rotations import Reals, pitch_yaw_roll, unit
from training.synth.kinematics.arms import HOLD_LIMITS, Arm, choose_swivel, hold_of, pose_arm
from training.synth.kinematics.body_locations import BodyLocation
from training.synth.kinematics.collisions import forearm_depth, push_out
from training.synth.kinematics.hands import hand_points
from training.synth.kinematics.posed_body import PosedBody
from training.synth.language.phonology import Location, Movement, Orientation, palm_axes
from training.synth.motion.stroke import Stroke, make_stroke
from training.synth.motion.style import SignerStyle
from training.synth.motion.timing import smooth
from training.synth.people.rig import GIRTH_STEPS

SKIN_M = 0.009
"""Half the thickness of a finger."""
_MIDLINE_M = 0.012
NEAREST_FOLD = 0.26
"""How near to its shoulder a folded arm brings its wrist without strain, in arm lengths; at 0.26 the elbow stops."""
POLE = unit(np.array([0.0, 1.0, 0.25]))
"""Where from the shoulder a wrist leaves it open which way the elbow points, see `elbow.bend_arm`."""
POLE_SLOPE = 0.35
"""How far from there a wrist stays, over its height."""
_BEFORE_POLE = unit(np.array([0.0, -0.25, 1.0]))
# A hand that could touch with several parts touches with its fingertips rather than with its knuckles or wrist.
_TOUCHES_FIRST_M = np.array([-0.01, *(5 * [-0.004, 0.0, 0.004, 0.012])])


@dataclass(frozen=True)
class HandTrajectory:
    """The trajectory of one hand, before inverse kinematics finds the arm for it."""

    wrist: Reals
    """[T, 3] metres."""
    swivel: Reals
    """[T] radians."""
    hold: Reals
    """[T, 3] radians."""
    fingers: Reals
    """[T, 21] radians."""


@dataclass(frozen=True)
class BodySide:
    """One of the two arms, mirrored to a left one if need be, in the body it belongs to."""

    arm: Arm
    posed_body: PosedBody
    carrier: Reals
    """[T, 3, 4] transform of the trunk since the rest pose."""
    style: SignerStyle
    fps: float

    def during(self, part: slice) -> "BodySide":
        """The same for a range of frames."""
        posed_body = replace(self.posed_body, points=self.posed_body.points[part])
        return replace(self, posed_body=posed_body, carrier=self.carrier[part])


def place_hand(
    side: BodySide,
    location: BodyLocation,
    palm: Reals,
    stroke: Stroke,
    fingers: Reals,
    *,
    touching: bool,
    own_half: bool,
    ease_frames: float = 3.0,
) -> HandTrajectory:
    """Bring a hand to a location and move it there.

    Where wrist and elbow can't hold it as intended, the hand is held as nearly as they can; what touches then is
    another part of it, so position and hold are solved alternately until they agree.

    Args:
        side: whose hand, [T].
        location: where, [T].
        palm: [T, 3, 3] how the hand is intended to be held.
        stroke: what it does there, [T].
        fingers: [T, 21] radians.
        touching: whether the location has skin to touch.
        own_half: whether the hand keeps to its own side of the body.
        ease_frames: over how many frames the elbow's position is eased.
    """
    inside = partial(forearm_depth, side.posed_body)
    points = hand_points(side.arm.hand, fingers)
    path = np.einsum("tab,tb->ta", side.posed_body.trunk, stroke.path) * side.arm.length
    path += lift_off_skin(path, location.normal) if touching else 0.0
    goal = location.point + path + (stroke.gap[:, None] * location.normal if touching else 0.0)
    held_palm, wrist = palm, location.point
    for _ in range(4):
        in_space = np.einsum("tab,tkb->tka", held_palm, points)
        wrist = goal + smooth(_touch(in_space, location.normal) if touching else -_centre(in_space), ease_frames / 2.0)
        if own_half:
            push = keep_to_own_half(side.posed_body, wrist[:, None] + in_space, stroke.gap)
            wrist = wrist + smooth(push, ease_frames / 2.0)
        push = push_out(side.posed_body, wrist[:, None] + in_space, 0.8 * SKIN_M)
        wrist = wrist + smooth(push, ease_frames / 2.0)
        swivel = smooth(choose_swivel(side.arm, side.carrier, wrist, palm, inside), ease_frames)
        swivel = swivel + np.deg2rad(side.style.elbow_out_deg)
        straight = pose_arm(side.arm, side.carrier, wrist, swivel, np.zeros_like(wrist))
        hold = _steady(hold_of(straight.fore_frame, palm), ease_frames)
        posed = pose_arm(side.arm, side.carrier, wrist, swivel, hold + stroke.turn)
        held_palm = posed.palm
    return HandTrajectory(wrist, swivel, posed.hold, fingers)


def _steady(hold: Reals, ease_frames: float) -> Reals:
    """A hold within its limits, eased, whose pronation does not jump where it is half a turn from what it can be."""
    if ease_frames <= 0.0:
        return np.clip(hold, *HOLD_LIMITS.T)
    usual = np.arctan2(np.sin(hold[:, 0]).mean(), np.cos(hold[:, 0]).mean())
    near = usual + np.angle(np.exp(1j * (hold[:, 0] - usual)))
    limited = np.clip(np.concatenate([near[:, None], hold[:, 1:]], axis=-1), *HOLD_LIMITS.T)
    return smooth(limited, ease_frames / 2.0)


def intended_palm(style: SignerStyle, trunk: Reals, orientation: Orientation) -> Reals:
    """[T, 3, 3] frame of a palm held in an orientation, turned as this signer does."""
    own = pitch_yaw_roll(np.deg2rad(np.array([style.orientation_offset_deg])))[0]
    palm: Reals = trunk @ own @ palm_axes(orientation)
    return palm


def lift_off_skin(path: Reals, normal: Reals) -> Reals:
    """Displacement that lifts a path off the skin it would enter: the whole path, along the normal."""
    inward = np.minimum((path * normal).sum(axis=-1).min(), 0.0)
    lift: Reals = -inward * normal
    return lift


def _centre(points: Reals) -> Reals:
    """The middle of a hand: between wrist and the ends of the fingers."""
    centre: Reals = 0.5 * points[:, 9] + 0.25 * points[:, [8, 12, 16]].mean(axis=1)
    return centre


def _touch(points: Reals, normal: Reals) -> Reals:
    """Position of the wrist relative to a location when the nearest part of the hand touches it.

    Args:
        points: [T, 21, 3] of the hand from its wrist.
        normal: [T, 3] away from the skin.
    """
    depth = -np.einsum("tkb,tb->tk", points, normal)
    near = depth + _TOUCHES_FIRST_M
    weight = np.exp((near - near.max(axis=1, keepdims=True)) / 0.006)
    nearest = np.einsum("tk,tkb->tb", weight / weight.sum(axis=1, keepdims=True), points)
    along = nearest - (nearest * normal).sum(axis=-1, keepdims=True) * normal
    offset: Reals = (SKIN_M + depth.max(axis=1))[:, None] * normal - along
    return offset


def keep_to_own_half(posed_body: PosedBody, points: Reals, gap: Reals | float = 0.0) -> Reals:
    """Displacement that keeps a hand on its own side of the middle plane, where two hands meet and never cross."""
    out = posed_body.trunk[:, :, 0]
    nearest = np.einsum("tkb,tb->tk", points - posed_body.shoulders[:, None], out).min(axis=1)
    push: Reals = np.maximum(_MIDLINE_M + gap - nearest, 0.0)[:, None] * out
    return push


def clear_of_shoulder(side: BodySide, shoulder: Reals, wrist: Reals) -> Reals:
    """Displacement to the front of a wrist that is nearer to its shoulder than an arm folds, or straight above it.

    Straight away from the shoulder would be a shorter way, but what is close to it lies now on this side of it and now
    on that, and the arm would jump; above it an elbow that hung in front would at once stand out behind.

    Args:
        side: whose arm, [T].
        shoulder: [T, 3].
        wrist: [T, 3].

    Returns:
        [T, 3] metres; zero where nothing is in the way.
    """
    away = wrist - shoulder
    nearest = np.full(len(away), NEAREST_FOLD * side.arm.length)
    folded = _to_front(away, side.posed_body.trunk[:, :, 2], nearest)
    above = np.maximum((away + folded) @ POLE, 0.0)
    beside = away + folded - above[:, None] * POLE
    return folded + _to_front(beside, np.broadcast_to(_BEFORE_POLE, away.shape), POLE_SLOPE * above)


def _to_front(away: Reals, forward: Reals, radius: Reals) -> Reals:
    """Displacement of points out of a ball to its front, and of those behind it too, [T, 3].

    Args:
        away: [T, 3] from the ball's middle.
        forward: [T, 3] unit.
        radius: [T].
    """
    along = (away * forward).sum(axis=-1)
    beside = np.square(away).sum(axis=-1) - np.square(along)
    free = np.sqrt(np.maximum(np.square(radius) - beside, 0.0))
    push: Reals = np.where(free > 0.0, np.maximum(free - along, 0.0), 0.0)[:, None] * forward
    return push


def place_base(side: BodySide, location: Location, fingers: Reals) -> HandTrajectory:
    """Hold a hand still before the trunk, for the other hand to act on it or on its arm.

    Args:
        side: of the base hand, [T].
        location: one that has a base.
        fingers: [T, 21] radians.
    """
    orientation = location.base or location.natural
    posed_body, on_hand = side.posed_body, location.region == "hand"
    out = side.arm.length * (0.30 if on_hand else 0.26)
    across = posed_body.width * (0.06 if on_hand else -0.12)
    local = np.array([across, -0.62 * posed_body.width, posed_body.girth[: GIRTH_STEPS // 2 + 1, 0].max() + out])
    place = BodyLocation(posed_body.shoulders + posed_body.trunk @ local, posed_body.trunk[:, :, 2])
    palm = intended_palm(side.style, posed_body.trunk, orientation)
    place = intended_location(side.style, place, posed_body)
    return place_hand(side, place, palm, no_movement(len(palm)), fingers, touching=False, own_half=False)


def no_movement(num_frames: int) -> Stroke:
    """No movement."""
    return extend_last_frame(make_stroke(Movement("HELD"), 2), num_frames)


def extend_last_frame(stroke: Stroke, num_frames: int) -> Stroke:
    """A stroke and then its last frame, over and over."""

    def longer(values: Reals) -> Reals:
        return np.concatenate([values, values[-1:].repeat(num_frames - len(values), axis=0)])

    return Stroke(*(longer(getattr(stroke, name)) for name in ("path", "turn", "shut", "wiggle", "gap")))


def intended_location(style: SignerStyle, place: BodyLocation, posed_body: PosedBody) -> BodyLocation:
    """A location where this signer puts it."""
    return BodyLocation(place.point + posed_body.trunk @ np.array(style.location_offset_m), place.normal)
