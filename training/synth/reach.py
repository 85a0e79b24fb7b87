"""What arms can do at all: measured on a middling adult who stands, before any real body performs a sign."""

from dataclasses import replace
from functools import cache

import numpy as np

from model.skeleton.elbow import natural_swivel
from model.skeleton.kinematics import forward, standard_proportions, standing
from model.skeleton.rotations import Reals
from training.synth.arms import measure_arm, pose_arm
from training.synth.hands import finger_frames, hand_points, named_angles
from training.synth.handshapes import HANDSHAPES
from training.synth.phonology import DIRECTIONS, LOCATIONS, Movement, Orientation, direction
from training.synth.places import Place, Surroundings, find_place, push_out, usual_girth
from training.synth.placing import Side, meant_palm, off_skin, place_base, place_hand, still
from training.synth.retarget import PosedArm, posed_points, with_right_arm
from training.synth.stroke import make_stroke
from training.synth.style import SignerStyle

MAX_STRAIN_DEG = 15.0
"""How far a hand may end up from how it was meant to be held, elbows raised beyond `EASY_SWIVEL_DEG` counted in."""
EASY_SWIVEL_DEG = 40.0
"""How far from where elbows naturally are an elbow goes without strain."""
MAX_MISS_M = 0.015
"""How far a wrist may end up from where it was meant to be, and into the body."""
SHOULDER_PLAY_M = 0.02
"""How much farther a shoulder lets a hand reach by coming along."""
NEAREST = 0.25
"""How near to its shoulder an arm can bring its wrist, in arm lengths."""


def orientations() -> tuple[Orientation, ...]:
    """Every pair of a finger direction and a palm direction at a right angle to it."""
    return tuple(
        Orientation(fingers, palm)
        for fingers in DIRECTIONS
        for palm in DIRECTIONS
        if np.dot(direction(fingers), direction(palm)) == 0
    )


@cache
def strain_deg(location: str, orientation: Orientation, handshape: str) -> float:
    """How far from the meant orientation the nearest possible one is, degrees; infinite where the arm does not reach.

    Args:
        location: name.
        orientation: how the hand is meant to be held.
        handshape: name; only whether its fingers are extended or folded counts.
    """
    bends = HANDSHAPES[handshape].bends
    extended = any(sum(bend) < 90.0 for bend in bends)
    return _strains(location, "FLAT-HAND" if extended else "FIST")[orientation]


@cache
def _strains(location: str, handshape: str) -> dict[Orientation, float]:
    """`strain_deg` of every orientation."""
    meant = orientations()
    side, place = _leading_side(location, len(meant))
    palms = np.concatenate([meant_palm(side.style, side.around.trunk[:1], orientation) for orientation in meant])
    fingers = np.tile(named_angles(side.arm.hand, handshape), (len(meant), 1))
    stroke = make_stroke(Movement("HELD"), len(meant))
    touching = LOCATIONS[location].touchable
    track = place_hand(
        side, place, palms, stroke, fingers, touching=touching, own_half=False, ease_frames=0.0, mind_forearm=False
    )
    pose = pose_arm(side.arm, side.carrier, track.wrist, track.swivel, track.hold)
    cosine = 0.5 * (np.einsum("tab,tab->t", pose.palm, palms) - 1.0)
    usual = natural_swivel(side.arm.shoulder, track.wrist, side.arm.length)
    raised = np.maximum(np.rad2deg(np.abs(track.swivel - usual)) - EASY_SWIVEL_DEG, 0.0)
    strain = np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))) + raised
    points = pose.wrist[:, None] + np.einsum("tab,tkb->tka", pose.palm, hand_points(side.arm.hand, fingers))
    inside = np.linalg.norm(push_out(side.around, points, 0.0), axis=-1)
    strain[(np.linalg.norm(pose.wrist - track.wrist, axis=-1) > MAX_MISS_M) | (inside > MAX_MISS_M)] = np.inf
    return {orientation: float(degrees) for orientation, degrees in zip(meant, strain, strict=True)}


@cache
def possible_orientations(location: str, handshape: str) -> tuple[Orientation, ...]:
    """Every orientation a hand can be held in there."""
    return tuple(held for held in orientations() if strain_deg(location, held, handshape) <= MAX_STRAIN_DEG)


def miss_m(location: str, orientation: Orientation, movement: Movement) -> float:
    """How far a movement at a location would take the wrist beyond the arm's reach, or too near, metres; 0 within."""
    wrist, shoulder, normal, length = _held_wrist(location, orientation)
    path = make_stroke(movement, 25).path * length
    path += off_skin(path, normal) if LOCATIONS[location].touchable else 0.0
    distance = np.linalg.norm(wrist + path - shoulder, axis=-1)
    return max(float(distance.max()) - length - SHOULDER_PLAY_M, NEAREST * length - float(distance.min()), 0.0)


@cache
def _held_wrist(location: str, orientation: Orientation) -> tuple[Reals, Reals, Reals, float]:
    """Wrist [3], shoulder [3], normal of the place [3] and arm length for a flat hand held at a location."""
    side, place = _leading_side(location, 2)
    palm = meant_palm(side.style, side.around.trunk, orientation)
    fingers = np.tile(named_angles(side.arm.hand, "FLAT-HAND"), (2, 1))
    touching = LOCATIONS[location].touchable
    track = place_hand(
        side, place, palm, still(2), fingers, touching=touching, own_half=False, ease_frames=0.0, mind_forearm=False
    )
    return track.wrist[0], side.arm.shoulder, place.normal[0], side.arm.length


def _leading_side(location: str, num_frames: int) -> tuple[Side, Place]:
    """The middling adult's leading arm and a location on them, the base hand in its place if there is one."""
    points = forward(standing(), standard_proportions())
    upright = np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1)
    carrier = np.broadcast_to(upright, (num_frames, 3, 4))
    around = Surroundings(np.tile(points, (num_frames, 1, 1)), usual_girth(points))
    side = Side(measure_arm(points), around, carrier, SignerStyle(), 25.0)
    if LOCATIONS[location].base:
        fingers = np.tile(named_angles(side.arm.hand, "FLAT-HAND"), (num_frames, 1))
        # The body is symmetric: this is the other arm, mirrored.
        track = place_base(side, LOCATIONS[location], fingers, mind_forearm=False)
        pose = pose_arm(side.arm, carrier, track.wrist, track.swivel, track.hold)
        other = posed_points(PosedArm(side.arm, pose, finger_frames(side.arm.hand, fingers)))
        side = replace(side, around=replace(around, points=with_right_arm(around.points, other), other_arm_known=True))
    return side, find_place(location, side.around)
