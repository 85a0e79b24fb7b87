"""Locations of signs as points on a posed body.

Everything is seen from a leading left hand (+x is its own side); a right one is the mirror image. Heights and depths
come from the body's landmarks and from its girth, so that a hand meets a broad trunk earlier than a slim one.
"""

from dataclasses import dataclass

import numpy as np

from model.skeleton.kinematics import (
    L_EAR,
    L_ELBOW,
    L_SHOULDER,
    MOUTH_L,
    MOUTH_R,
    NOSE,
    R_EAR,
    R_ELBOW,
    R_SHOULDER,
    RIGHT_HAND,
    head_frame,
    mirror_points,
)
from model.skeleton.rotations import Reals, unit
from training.synth.kinematics.hands import palm_frame
from training.synth.kinematics.posed_body import PosedBody, girth_at
from training.synth.people.rig import GIRTH_STEPS

_EYE_INNER, _EYE, _EYE_OUTER = 9, 10, 11


@dataclass(frozen=True)
class BodyLocation:
    """A location at every moment."""

    point: Reals
    """[T, 3] metres, on the skin where there is skin."""
    normal: Reals
    """[T, 3] unit, away from the body."""


def find_location(name: str, posed_body: PosedBody) -> BodyLocation:
    """A location on a posed body, at every moment.

    Args:
        name: one of the lexicon's locations.
        posed_body: the body; for places on the other arm and hand its right arm stands where it will be.
    """
    if name in _HEAD:
        return _on_head(name, posed_body)
    if name in _TRUNK:
        return _on_trunk(posed_body, *_TRUNK[name])
    if name in _SPACE:
        return _in_space(posed_body, *_SPACE[name])
    return _on_other_arm(name, posed_body)


# Offsets from a point of the face in distances between the ears (x to the leading side, y up, z forward), and the
# direction away from the skin.
_HEAD: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "FOREHEAD": ((0.0, 0.36, -0.04), (0.0, 0.25, 1.0)),
    "TEMPLE": ((0.06, 0.16, -0.02), (0.85, 0.15, 0.5)),
    "EYE": ((0.03, -0.17, 0.02), (0.25, 0.0, 1.0)),
    "NOSE": ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "EAR": ((0.08, 0.02, 0.02), (1.0, 0.0, 0.1)),
    "CHEEK": ((0.05, 0.0, 0.06), (0.75, 0.0, 0.66)),
    "MOUTH": ((0.0, 0.0, 0.03), (0.0, 0.0, 1.0)),
    "CHIN": ((0.0, -0.27, 0.0), (0.0, -0.25, 1.0)),
}
# Height as the share of the way from the shoulders to the hips, and the side as the share of the half width (of the
# shoulder's half width for SHOULDER-ACROSS), positive on the leading side.
_TRUNK: dict[str, tuple[float, float]] = {
    "NECK": (-0.16, 0.35),
    "SHOULDER-ACROSS": (0.03, -0.95),
    "CHEST": (0.22, 0.0),
    "CHEST-ASIDE": (0.24, 0.55),
    "CHEST-ACROSS": (0.24, -0.6),
    "BELLY": (0.72, 0.0),
    "WAIST": (0.80, 0.8),
}
# From between the shoulders in shoulder widths (side, up) and in front of the chest in arm lengths.
_SPACE: dict[str, tuple[float, float, float]] = {
    "SPACE": (0.50, -0.38, 0.36),
    "SPACE-MIDDLE": (0.02, -0.35, 0.32),
    "SPACE-ACROSS": (-0.45, -0.40, 0.33),
    "SPACE-HIGH": (0.62, 0.62, 0.36),
    "SPACE-LOW": (0.32, -1.00, 0.36),
    "SPACE-ASIDE": (0.92, 0.02, 0.26),
    "SPACE-FAR": (0.40, -0.05, 0.62),
}


def _on_head(name: str, posed_body: PosedBody) -> BodyLocation:
    points = posed_body.points
    face = {
        "FOREHEAD": points[:, [_EYE_INNER, _EYE_INNER + 3]].mean(axis=1),
        "TEMPLE": 0.6 * points[:, _EYE_OUTER] + 0.4 * points[:, L_EAR],
        "EYE": points[:, _EYE],
        "NOSE": points[:, NOSE],
        "EAR": points[:, L_EAR],
        "CHEEK": 0.25 * points[:, _EYE_OUTER] + 0.45 * points[:, MOUTH_L] + 0.3 * points[:, L_EAR],
        "MOUTH": points[:, [MOUTH_L, MOUTH_R]].mean(axis=1),
        "CHIN": points[:, [MOUTH_L, MOUTH_R]].mean(axis=1),
    }[name]
    offset, normal = _HEAD[name]
    frame = head_frame(points)
    size = np.linalg.norm(points[:, L_EAR] - points[:, R_EAR], axis=-1, keepdims=True)
    return BodyLocation(face + size * (frame @ np.array(offset)), unit(frame @ np.array(normal)))


def _on_trunk(posed_body: PosedBody, share: float, side: float) -> BodyLocation:
    """A point on the front of the trunk's ellipse at some height."""
    front, back, half_width = girth_at(posed_body, np.array([share]))[0]
    if share < 0.1:  # above the ribs: the neck, or the shoulder
        half_width = posed_body.width * (0.2 if share < 0 else 0.5)
        front, back = (front * 0.55, back * 0.6) if share < 0 else (front * 0.6, back * 0.5)
    depth, middle = (front - back) / 2.0, (front + back) / 2.0
    z = np.sqrt(1.0 - side**2)
    local = np.array([side * half_width, 0.0, middle + depth * z])
    normal = np.array([side / half_width, 0.35 if 0 <= share < 0.1 else 0.0, z / depth])
    origin = posed_body.shoulders + share * (posed_body.hips - posed_body.shoulders)
    return BodyLocation(origin + posed_body.trunk @ local, unit(posed_body.trunk @ normal))


def _in_space(posed_body: PosedBody, side: float, height: float, out: float) -> BodyLocation:
    chest = float(posed_body.girth[: GIRTH_STEPS // 2, 0].max())
    arm = _arm_length(posed_body.points)
    local = np.array([side * posed_body.width, height * posed_body.width, chest + out * arm])
    return BodyLocation(posed_body.shoulders + posed_body.trunk @ local, posed_body.trunk[:, :, 2])


def _arm_length(points: Reals) -> float:
    arm = [points[0, row + 1] - points[0, row] for row in (L_SHOULDER, L_ELBOW)]
    return float(sum(np.linalg.norm(bone) for bone in arm))


def _on_other_arm(name: str, posed_body: PosedBody) -> BodyLocation:
    points = posed_body.points
    shoulder, elbow, wrist = (points[:, row] for row in (R_SHOULDER, R_ELBOW, R_ELBOW + 1))
    radius = 0.13 * posed_body.width
    if name == "UPPER-ARM":
        outward = unit(0.8 * -posed_body.trunk[:, :, 0] + 0.75 * posed_body.trunk[:, :, 2])
        return BodyLocation(0.55 * shoulder + 0.45 * elbow + radius * outward, outward)
    palm, hand = _other_palm(points), points[:, RIGHT_HAND]
    centre = hand[:, [0, 5, 9, 13, 17]].mean(axis=1)
    tips = hand[:, [8, 12, 16]].mean(axis=1)
    back, edge, pointing = -palm[:, :, 2], -palm[:, :, 0], unit(tips - hand[:, [5, 9, 13]].mean(axis=1))
    middle, thickness, normal = {
        "FOREARM": (0.45 * elbow + 0.55 * wrist, 0.85 * radius, back),
        "WRIST": (wrist, 0.65 * radius, back),
        "HAND-PALM": (centre, 0.016, -back),
        "HAND-BACK": (centre, 0.016, back),
        "HAND-EDGE": (hand[:, [5, 6]].mean(axis=1), 0.012, edge),
        "HAND-TIPS": (tips, 0.010, pointing),
    }[name]
    return BodyLocation(middle + thickness * normal, normal)


def _other_palm(points: Reals) -> Reals:
    """The frame of the other palm, in space: x towards its little finger, y to its knuckles, z out of the palm."""
    mirrored = palm_frame(mirror_points(points)[:, 40:61])
    flip = np.array([-1.0, 1.0, 1.0])
    palm: Reals = mirrored * flip[:, None]
    return palm


# ------------------------------------------------------------------------------------------------ keeping hands out
