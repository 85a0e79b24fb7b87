"""Reachability: which locations and orientations arms of several builds can reach, before any body performs a sign."""

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np

from model.skeleton.elbow import natural_swivel
from model.skeleton.kinematics import L_SHOULDER, R_SHOULDER, forward, standard_proportions, standing
from model.skeleton.rotations import Reals
from training.synth.kinematics.arms import measure_arm, pose_arm
from training.synth.kinematics.body_locations import BodyLocation, find_location
from training.synth.kinematics.collisions import push_out
from training.synth.kinematics.hands import finger_frames, hand_points, named_angles
from training.synth.kinematics.posed_body import PosedBody, usual_girth
from training.synth.kinematics.retarget import PosedArm, posed_points, with_right_arm
from training.synth.language.handshapes import HANDSHAPES
from training.synth.language.phonology import DIRECTIONS, LOCATIONS, Movement, Orientation, Sign, direction
from training.synth.motion.hand_placement import BodySide, intended_palm, place_base, place_hand
from training.synth.motion.stroke import make_stroke
from training.synth.motion.style import SignerStyle

MAX_STRAIN_DEG = 15.0
"""Greatest angle between a hand and its intended orientation, elbows raised beyond `EASY_SWIVEL_DEG` counted in."""
MAX_MOVING_STRAIN_DEG = 20.0
"""The same in passing, at the ends of a movement."""
EASY_SWIVEL_DEG = 40.0
"""Greatest swivel of an elbow from its natural position without strain."""
MAX_MISS_M = 0.015
"""Greatest distance of a wrist from its target, and of a hand into the body."""
MOMENTS = 5
"""Of a movement, at which it is asked."""
_NUM_TRUNK = 7
"""Lengths of the trunk, which come first in `Proportions`; then both arms', two each, and the hands'."""


@dataclass(frozen=True)
class Build:
    """Lengths of somebody's arm, in shoulder widths."""

    upper: float
    fore: float
    hand: float
    """From the wrist to the middle fingertip."""
    girth: float
    """Factor on the trunk's usual depth and width."""


BUILDS = (Build(0.64, 0.61, 0.48, 1.2), Build(0.77, 0.74, 0.70, 1.0))
"""Short and long: arms and hands are the tenth and nine tenths of forty random people (see
`training.synth.people.identity`); girths are decisions."""


def orientations() -> tuple[Orientation, ...]:
    """Every pair of a finger direction and a palm direction at a right angle to it."""
    return tuple(
        Orientation(fingers, palm)
        for fingers in DIRECTIONS
        for palm in DIRECTIONS
        if np.dot(direction(fingers), direction(palm)) == 0
    )


def strain_deg(sign: Sign) -> float:
    """Angle between the hand and its intended orientation, at the worst moment and for the worst of `BUILDS`.

    Args:
        sign: of its handshape only whether fingers are extended or folded counts; turns of the hand itself do not.

    Returns:
        degrees; infinite where an arm does not reach, or only through the body.
    """
    still = held_strain_deg(sign)
    if still > MAX_STRAIN_DEG or not make_stroke(sign.movement, MOMENTS).path.any():
        return still
    return max(
        still, _moved_strain(sign.location, sign.orientation, _alike(sign.handshape), sign.movement, _own_half(sign))
    )


def held_strain_deg(sign: Sign) -> float:
    """`strain_deg` as if the hand did not move."""
    return _held_strains(sign.location, _alike(sign.handshape), _own_half(sign))[sign.orientation]


def possible_orientations(location: str, handshape: str, most_deg: float) -> tuple[Orientation, ...]:
    """Every orientation a hand can be held in there, without moving, with so much strain at most."""
    strains = _held_strains(location, _alike(handshape), False)
    return tuple(orientation for orientation, degrees in strains.items() if degrees <= most_deg)


@lru_cache(maxsize=65536)
def _moved_strain(location: str, orientation: Orientation, handshape: str, movement: Movement, own_half: bool) -> float:
    intended = (orientation,) * MOMENTS
    return max(float(_strains(build, location, intended, handshape, movement, own_half).max()) for build in BUILDS)


@cache
def _held_strains(location: str, handshape: str, own_half: bool) -> dict[Orientation, float]:
    intended, held = orientations(), Movement("HELD")
    worst = np.max([_strains(build, location, intended, handshape, held, own_half) for build in BUILDS], axis=0)
    return {orientation: float(degrees) for orientation, degrees in zip(intended, worst, strict=True)}


def _own_half(sign: Sign) -> bool:
    return sign.arrangement in ("SYMMETRIC", "ALTERNATING")


def _alike(handshape: str) -> str:
    """One that reaches as far."""
    return "FLAT-HAND" if any(sum(bend) < 90.0 for bend in HANDSHAPES[handshape].bends) else "FIST"


def _strains(
    build: Build, location: str, intended: tuple[Orientation, ...], handshape: str, movement: Movement, own_half: bool
) -> Reals:
    """[T] `strain_deg` of every moment by itself, of as many as orientations are given."""
    side, place = _leading_side(build, location, len(intended))
    palms = np.concatenate(
        [intended_palm(side.style, side.posed_body.trunk[:1], orientation) for orientation in intended]
    )
    fingers = np.tile(named_angles(side.arm.hand, handshape), (len(intended), 1))
    stroke = make_stroke(movement, len(intended))
    stroke = replace(stroke, turn=np.zeros_like(stroke.turn))
    touching = LOCATIONS[location].touchable
    track = place_hand(side, place, palms, stroke, fingers, touching=touching, own_half=own_half, ease_frames=0.0)
    pose = pose_arm(side.arm, side.carrier, track.wrist, track.swivel, track.hold)
    cosine = 0.5 * (np.einsum("tab,tab->t", pose.palm, palms) - 1.0)
    usual = natural_swivel(side.arm.shoulder, track.wrist, side.arm.length)
    raised = np.maximum(np.rad2deg(np.abs(track.swivel - usual)) - EASY_SWIVEL_DEG, 0.0)
    strain: Reals = np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))) + raised
    points = pose.wrist[:, None] + np.einsum("tab,tkb->tka", pose.palm, hand_points(side.arm.hand, fingers))
    inside = np.linalg.norm(push_out(side.posed_body, points, 0.0), axis=-1)
    strain[(np.linalg.norm(pose.wrist - track.wrist, axis=-1) > MAX_MISS_M) | (inside > MAX_MISS_M)] = np.inf
    return strain


@cache
def _leading_side(build: Build, location: str, num_frames: int) -> tuple[BodySide, BodyLocation]:
    """The leading arm of somebody built so and a location on them, the base hand in its place if there is one."""
    points = _standing(build)
    upright = np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1)
    carrier = np.broadcast_to(upright, (num_frames, 3, 4))
    posed_body = PosedBody(np.tile(points, (num_frames, 1, 1)), build.girth * usual_girth(points))
    side = BodySide(measure_arm(points), posed_body, carrier, SignerStyle(), 25.0)
    if LOCATIONS[location].base:
        fingers = np.tile(named_angles(side.arm.hand, "FLAT-HAND"), (num_frames, 1))
        # The body is symmetric: this is the other arm, mirrored.
        track = place_base(side, LOCATIONS[location], fingers)
        pose = pose_arm(side.arm, carrier, track.wrist, track.swivel, track.hold)
        other = posed_points(PosedArm(side.arm, pose, finger_frames(side.arm.hand, fingers)))
        side = replace(
            side, posed_body=replace(posed_body, points=with_right_arm(posed_body.points, other), other_arm_known=True)
        )
    return side, find_location(location, side.posed_body)


def _standing(build: Build) -> Reals:
    """[61, 3] metres: a middling adult with other arms and hands."""
    usual = standard_proportions()
    points = forward(standing(), usual)
    width = float(np.linalg.norm(points[L_SHOULDER] - points[R_SHOULDER]))
    lengths = usual.lengths.copy()
    arm, hand = _NUM_TRUNK, _NUM_TRUNK + 4
    lengths[arm:hand] = width * np.array([build.upper, build.fore] * 2)
    middle = lengths[hand + 8 : hand + 12].sum()
    lengths[hand:] *= build.hand * width / middle
    return forward(standing(), replace(usual, lengths=lengths))
