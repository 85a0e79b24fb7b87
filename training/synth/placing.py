"""Bringing a hand to a place: which part of it touches, where the wrist and the elbow then are."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from model.skeleton.rotations import Reals, pitch_yaw_roll, unit
from training.synth.arms import HOLD_LIMITS, Arm, choose_swivel, hold_of, pose_arm
from training.synth.hands import hand_points
from training.synth.phonology import Location, Movement, Orientation, palm_axes
from training.synth.places import Place, Surroundings, forearm_depth, push_out
from training.synth.rig import GIRTH_STEPS
from training.synth.stroke import Stroke, make_stroke
from training.synth.style import SignerStyle
from training.synth.timing import smooth

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
class Track:
    """What one hand does at every moment, before an arm is found for it."""

    wrist: Reals
    """[T, 3] metres."""
    swivel: Reals
    """[T] radians."""
    hold: Reals
    """[T, 3] radians."""
    fingers: Reals
    """[T, 21] radians."""


@dataclass(frozen=True)
class Side:
    """One of the two arms, mirrored to a left one if need be, in the body it belongs to."""

    arm: Arm
    around: Surroundings
    carrier: Reals
    """[T, 3, 4] transform of the trunk since the rest pose."""
    style: SignerStyle
    fps: float

    def during(self, part: slice) -> "Side":
        """The same for a stretch of frames."""
        around = replace(self.around, points=self.around.points[part])
        return replace(self, around=around, carrier=self.carrier[part])


def place_hand(
    side: Side,
    place: Place,
    palm: Reals,
    stroke: Stroke,
    fingers: Reals,
    *,
    touching: bool,
    own_half: bool,
    ease_frames: float = 3.0,
    mind_forearm: bool = True,
) -> Track:
    """Bring a hand to a place and move it there.

    Where wrist and elbow can't hold it as meant, the hand is held as nearly as they can; what touches then is another
    part of it, so place and hold are found in turns until they agree.

    Args:
        side: whose hand, [T].
        place: where, [T].
        palm: [T, 3, 3] how the hand is meant to be held.
        stroke: what it does there, [T].
        fingers: [T, 21] radians.
        touching: whether the place has skin to touch.
        own_half: whether the hand keeps to its own side of the body.
        ease_frames: over how many frames the elbow's place is eased.
        mind_forearm: whether the elbow goes where the forearm stays out of trunk and other arm.
    """
    inside = partial(forearm_depth, side.around) if mind_forearm else None
    points = hand_points(side.arm.hand, fingers)
    path = np.einsum("tab,tb->ta", side.around.trunk, stroke.path) * side.arm.length
    path += off_skin(path, place.normal) if touching else 0.0
    goal = place.point + path + (stroke.gap[:, None] * place.normal if touching else 0.0)
    held_palm, wrist = palm, place.point
    for _ in range(4):
        in_space = np.einsum("tab,tkb->tka", held_palm, points)
        wrist = goal + smooth(_touch(in_space, place.normal) if touching else -_centre(in_space), ease_frames / 2.0)
        if own_half:
            push = to_own_half(side.around, wrist[:, None] + in_space, stroke.gap)
            wrist = wrist + smooth(push, ease_frames / 2.0)
        push = push_out(side.around, wrist[:, None] + in_space, 0.8 * SKIN_M)
        wrist = wrist + smooth(push, ease_frames / 2.0)
        swivel = smooth(choose_swivel(side.arm, side.carrier, wrist, palm, inside), ease_frames)
        swivel = swivel + np.deg2rad(side.style.elbow_out_deg)
        straight = pose_arm(side.arm, side.carrier, wrist, swivel, np.zeros_like(wrist))
        hold = _steady(hold_of(straight.fore_frame, palm), ease_frames)
        posed = pose_arm(side.arm, side.carrier, wrist, swivel, hold + stroke.turn)
        held_palm = posed.palm
    return Track(wrist, swivel, posed.hold, fingers)


def _steady(hold: Reals, ease_frames: float) -> Reals:
    """A hold within its limits, eased, whose pronation does not jump where it is half a turn from what it can be."""
    if ease_frames <= 0.0:
        return np.clip(hold, *HOLD_LIMITS.T)
    usual = np.arctan2(np.sin(hold[:, 0]).mean(), np.cos(hold[:, 0]).mean())
    near = usual + np.angle(np.exp(1j * (hold[:, 0] - usual)))
    limited = np.clip(np.concatenate([near[:, None], hold[:, 1:]], axis=-1), *HOLD_LIMITS.T)
    return smooth(limited, ease_frames / 2.0)


def meant_palm(style: SignerStyle, trunk: Reals, orientation: Orientation) -> Reals:
    """[T, 3, 3] frame of a palm held in an orientation, turned as this signer does."""
    own = pitch_yaw_roll(np.deg2rad(np.array([style.turn_deg])))[0]
    palm: Reals = trunk @ own @ palm_axes(orientation)
    return palm


def off_skin(path: Reals, normal: Reals) -> Reals:
    """What lifts a path off the skin it would enter: the whole path, along the normal."""
    inward = np.minimum((path * normal).sum(axis=-1).min(), 0.0)
    lift: Reals = -inward * normal
    return lift


def _centre(points: Reals) -> Reals:
    """The middle of a hand: between wrist and the ends of the fingers."""
    centre: Reals = 0.5 * points[:, 9] + 0.25 * points[:, [8, 12, 16]].mean(axis=1)
    return centre


def _touch(points: Reals, normal: Reals) -> Reals:
    """Where the wrist is, from the place, when the part of the hand that is nearest the skin lies on it.

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


def to_own_half(around: Surroundings, points: Reals, gap: Reals | float = 0.0) -> Reals:
    """What keeps a hand on its own side of the body's middle plane, so that two hands meet there and never cross."""
    out = around.trunk[:, :, 0]
    nearest = np.einsum("tkb,tb->tk", points - around.shoulders[:, None], out).min(axis=1)
    push: Reals = np.maximum(_MIDLINE_M + gap - nearest, 0.0)[:, None] * out
    return push


def off_shoulder(side: Side, shoulder: Reals, wrist: Reals) -> Reals:
    """What takes a wrist to the front that is nearer to its shoulder than an arm folds, or straight above it.

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
    folded = _to_front(away, side.around.trunk[:, :, 2], nearest)
    above = np.maximum((away + folded) @ POLE, 0.0)
    beside = away + folded - above[:, None] * POLE
    return folded + _to_front(beside, np.broadcast_to(_BEFORE_POLE, away.shape), POLE_SLOPE * above)


def _to_front(away: Reals, forward: Reals, radius: Reals) -> Reals:
    """What takes points out of a ball to its front, and those behind it too, [T, 3].

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


def place_base(side: Side, location: Location, fingers: Reals, *, mind_forearm: bool = True) -> Track:
    """Hold a hand still before the trunk, for the other hand to act on it or on its arm.

    Args:
        side: of the base hand, [T].
        location: one that has a base.
        fingers: [T, 21] radians.
        mind_forearm: see `place_hand`.
    """
    orientation = location.base or location.natural
    around, on_hand = side.around, location.region == "hand"
    out = side.arm.length * (0.30 if on_hand else 0.26)
    across = around.width * (0.06 if on_hand else -0.12)
    local = np.array([across, -0.62 * around.width, around.girth[: GIRTH_STEPS // 2 + 1, 0].max() + out])
    place = Place(around.shoulders + around.trunk @ local, around.trunk[:, :, 2])
    palm = meant_palm(side.style, around.trunk, orientation)
    place = meant_place(side.style, place, around)
    return place_hand(
        side, place, palm, still(len(palm)), fingers, touching=False, own_half=False, mind_forearm=mind_forearm
    )


def still(num_frames: int) -> Stroke:
    """No movement."""
    return held_at_end(make_stroke(Movement("HELD"), 2), num_frames)


def held_at_end(stroke: Stroke, num_frames: int) -> Stroke:
    """A stroke and then its last frame, over and over."""

    def longer(values: Reals) -> Reals:
        return np.concatenate([values, values[-1:].repeat(num_frames - len(values), axis=0)])

    return Stroke(*(longer(getattr(stroke, name)) for name in ("path", "turn", "shut", "wiggle", "gap")))


def meant_place(style: SignerStyle, place: Place, around: Surroundings) -> Place:
    """A location where this signer puts it."""
    return Place(place.point + around.trunk @ np.array(style.place_m), place.normal)
