"""Where a location lies on this very body, and what of the body a hand must not enter.

Everything is seen from a leading left hand (+x is its own side); a right one is the mirror image. Heights and depths
come from the body's landmarks and from its girth, so that a hand meets a broad trunk earlier than a slim one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.skeleton.kinematics import (
    L_EAR,
    L_ELBOW,
    L_HIP,
    L_SHOULDER,
    MOUTH_L,
    MOUTH_R,
    NOSE,
    R_EAR,
    R_ELBOW,
    R_HIP,
    R_SHOULDER,
    RIGHT_HAND,
    head_frame,
    mirror_points,
)
from model.skeleton.rotations import Reals, cross, unit
from training.synth.hands import palm_frame
from training.synth.rig import GIRTH_STEPS

# Front, back and half width of a dressed adult's trunk in shoulder widths, seen from the joints of the shoulders.
_USUAL_GIRTH = np.array([[0.36, -0.25, 0.45]]).repeat(GIRTH_STEPS, axis=0)
FOREARM_M = 0.028
"""Half the thickness of a forearm."""
_EYE_INNER, _EYE, _EYE_OUTER = 9, 10, 11


@dataclass(frozen=True)
class Place:
    """A location at every moment."""

    point: Reals
    """[T, 3] metres, on the skin where there is skin."""
    normal: Reals
    """[T, 3] unit, away from the body."""


@dataclass(frozen=True)
class Surroundings:
    """The posed body without the leading arm, as far as a hand has to know it."""

    points: Reals
    """[T, 61, 3] keypoints."""
    girth: Reals
    """[8, 3] metres: front, back (negative) and half width of the trunk, from the shoulders down to the hips, seen from
    the line from between the shoulders to between the hips."""
    other_arm_known: bool = False
    """Whether the right arm stands where it will be, so that the left hand can keep out of it."""

    @property
    def trunk(self) -> Reals:
        """[T, 3, 3] axes of the trunk: x to the left shoulder, y up, z forward."""
        across = self.points[:, L_SHOULDER] - self.points[:, R_SHOULDER]
        return trunk_frame(across, self.shoulders - self.hips)

    @property
    def shoulders(self) -> Reals:
        """[T, 3] between the shoulders."""
        return (self.points[:, L_SHOULDER] + self.points[:, R_SHOULDER]) / 2.0

    @property
    def hips(self) -> Reals:
        """[T, 3] between the hips."""
        return (self.points[:, L_HIP] + self.points[:, R_HIP]) / 2.0

    @property
    def width(self) -> float:
        """Metres between the shoulders."""
        return float(np.median(np.linalg.norm(self.points[:, L_SHOULDER] - self.points[:, R_SHOULDER], axis=-1)))


def trunk_frame(across: Reals, up: Reals) -> Reals:
    """The axes of a trunk from its shoulder line and its spine: [..., 3, 3], one per column."""
    z = unit(cross(across, up))
    y = unit(up)
    return np.stack([cross(y, z), y, z], axis=-1)


def usual_girth(landmarks: Reals) -> Reals:
    """The girth of somebody of whom only the landmarks are known: [8, 3] metres."""
    return _USUAL_GIRTH * float(np.linalg.norm(landmarks[L_SHOULDER] - landmarks[R_SHOULDER]))


def find_place(name: str, around: Surroundings) -> Place:
    """A location on a posed body, at every moment.

    Args:
        name: one of the lexicon's locations.
        around: the body; for places on the other arm and hand its right arm stands where it will be.
    """
    if name in _HEAD:
        return _on_head(name, around)
    if name in _TRUNK:
        return _on_trunk(around, *_TRUNK[name])
    if name in _SPACE:
        return _in_space(around, *_SPACE[name])
    return _on_other_arm(name, around)


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


def _on_head(name: str, around: Surroundings) -> Place:
    points = around.points
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
    return Place(face + size * (frame @ np.array(offset)), unit(frame @ np.array(normal)))


def _on_trunk(around: Surroundings, share: float, side: float) -> Place:
    """A point on the front of the trunk's ellipse at some height."""
    front, back, half_width = _girth_at(around, np.array([share]))[0]
    if share < 0.1:  # above the ribs: the neck, or the shoulder
        half_width = around.width * (0.2 if share < 0 else 0.5)
        front, back = (front * 0.55, back * 0.6) if share < 0 else (front * 0.6, back * 0.5)
    depth, middle = (front - back) / 2.0, (front + back) / 2.0
    z = np.sqrt(1.0 - side**2)
    local = np.array([side * half_width, 0.0, middle + depth * z])
    normal = np.array([side / half_width, 0.35 if 0 <= share < 0.1 else 0.0, z / depth])
    origin = around.shoulders + share * (around.hips - around.shoulders)
    return Place(origin + around.trunk @ local, unit(around.trunk @ normal))


def _in_space(around: Surroundings, side: float, height: float, out: float) -> Place:
    chest = float(around.girth[: GIRTH_STEPS // 2, 0].max())
    arm = _arm_length(around.points)
    local = np.array([side * around.width, height * around.width, chest + out * arm])
    return Place(around.shoulders + around.trunk @ local, around.trunk[:, :, 2])


def _arm_length(points: Reals) -> float:
    arm = [points[0, row + 1] - points[0, row] for row in (L_SHOULDER, L_ELBOW)]
    return float(sum(np.linalg.norm(bone) for bone in arm))


def _on_other_arm(name: str, around: Surroundings) -> Place:
    points = around.points
    shoulder, elbow, wrist = (points[:, row] for row in (R_SHOULDER, R_ELBOW, R_ELBOW + 1))
    radius = 0.13 * around.width
    if name == "UPPER-ARM":
        outward = unit(0.8 * -around.trunk[:, :, 0] + 0.75 * around.trunk[:, :, 2])
        return Place(0.55 * shoulder + 0.45 * elbow + radius * outward, outward)
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
    return Place(middle + thickness * normal, normal)


def _other_palm(points: Reals) -> Reals:
    """The frame of the other palm, in space: x towards its little finger, y to its knuckles, z out of the palm."""
    mirrored = palm_frame(mirror_points(points)[:, 40:61])
    flip = np.array([-1.0, 1.0, 1.0])
    palm: Reals = mirrored * flip[:, None]
    return palm


# ------------------------------------------------------------------------------------------------ keeping hands out


def _girth_at(around: Surroundings, share: Reals) -> Reals:
    """Front, back and half width [..., 3] at heights given as the share of the way from shoulders to hips."""
    steps = np.linspace(0.0, 1.0, GIRTH_STEPS)
    return np.stack([np.interp(share, steps, around.girth[:, column]) for column in range(3)], axis=-1)


def push_out(around: Surroundings, points: Reals, margin: float) -> Reals:
    """How far to move a hand so that none of its points is inside head, neck, trunk or the other hand.

    Args:
        around: the body.
        points: [T, K, 3] of the hand.
        margin: metres to keep from the body's surface: half a finger's thickness.

    Returns:
        [T, 3] metres, out along the surface where the deepest point lies; zero where nothing is inside.
    """
    pushes = _deepest([out(around, points, margin) for out in (_out_of_head, _out_of_trunk, _out_of_neck)])
    if around.other_arm_known:  # what keeps out of the body comes first
        aside = _deepest([_out_of_other_hand(around, points, margin)])
        pushes = np.where(np.any(pushes != 0.0, axis=-1, keepdims=True), pushes, aside)
    return pushes


def forearm_depth(around: Surroundings, points: Reals) -> Reals:
    """How deep points of the left forearm's middle line are where its flesh would be inside trunk or other arm.

    Args:
        around: the body.
        points: [T, K, 3].

    Returns:
        [T, K] metres, 0 outside.
    """
    depth: Reals = np.linalg.norm(_out_of_trunk(around, points, 0.012), axis=-1)
    if around.other_arm_known:
        depth = np.maximum(depth, np.linalg.norm(_out_of_other_arm(around, points), axis=-1))
    return depth


def push_forearm_out(around: Surroundings, points: Reals) -> Reals:
    """How far to move a forearm, [T, 3] metres, so that none of its points [T, K, 3] is as `forearm_depth` measures."""
    push = _deepest([_out_of_trunk(around, points, FOREARM_M)])
    if around.other_arm_known:
        aside = _deepest([_out_of_other_arm(around, points)])
        push = np.where(np.any(push != 0.0, axis=-1, keepdims=True), push, aside)
    return push


def _out_of_other_arm(around: Surroundings, points: Reals) -> Reals:
    """Away from the bones of the other arm, [T, K, 3], where nearer than two forearms are thick."""
    body = around.points
    best = np.zeros(points.shape)
    for start, end in ((R_SHOULDER, R_ELBOW), (R_ELBOW, R_ELBOW + 1)):
        bone = (body[:, end] - body[:, start])[:, None]
        away = points - body[:, start][:, None]
        share = np.clip((away * bone).sum(axis=-1) / (bone**2).sum(axis=-1), 0.25 if start == R_SHOULDER else 0.0, 1.0)
        away = away - share[..., None] * bone
        distance = np.linalg.norm(away, axis=-1, keepdims=True)
        push = away / np.maximum(distance, 1e-6) * np.maximum(2.0 * FOREARM_M - distance, 0.0)
        longer = np.linalg.norm(push, axis=-1) > np.linalg.norm(best, axis=-1)
        best = np.where(longer[..., None], push, best)
    return best


def _deepest(pushes: Sequence[Reals]) -> Reals:
    """The longest of several sets of pushes [T, K, 3] at every moment: [T, 3]."""
    joined = np.concatenate(pushes, axis=1)
    longest = np.argmax(np.linalg.norm(joined, axis=-1), axis=1)
    push: Reals = joined[np.arange(len(joined)), longest]
    return push


def _out_of_ellipse(local: Reals, radii: Reals) -> Reals:
    """The way out of an ellipse or ellipsoid along its slope: [..., n] in its axes; zero outside."""
    scaled = local / radii
    slope = unit(scaled / radii + 1e-9)
    a = np.square(slope / radii).sum(axis=-1)
    b = 2.0 * (scaled * slope / radii).sum(axis=-1)
    c = np.square(scaled).sum(axis=-1) - 1.0
    way = (np.sqrt(np.maximum(b**2 - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
    return np.where(c < 0.0, way, 0.0)[..., None] * slope


def _out_of_head(around: Surroundings, points: Reals, margin: float) -> Reals:
    body = around.points
    size = float(np.median(np.linalg.norm(body[:, L_EAR] - body[:, R_EAR], axis=-1)))
    frame = head_frame(body)
    centre = (body[:, L_EAR] + body[:, R_EAR]) / 2.0
    local = np.einsum("tba,tkb->tka", frame, points - centre[:, None])
    radii = size * np.array([0.53, 0.74, 0.60]) + margin
    out: Reals = np.einsum("tab,tkb->tka", frame, _out_of_ellipse(local, radii))
    return out


def _out_of_trunk(around: Surroundings, points: Reals, margin: float) -> Reals:
    frame, top, down = around.trunk, around.shoulders, around.hips - around.shoulders
    share = np.einsum("tkb,tb->tk", points - top[:, None], down) / (down**2).sum(axis=-1)[:, None]
    centre = top[:, None] + share[..., None] * down[:, None]
    local = np.einsum("tba,tkb->tka", frame, points - centre)[..., [0, 2]]
    front, back, half_width = np.moveaxis(_girth_at(around, share), -1, 0)
    local[..., 1] -= (front + back) / 2.0
    radii = np.stack([half_width, (front - back) / 2.0], axis=-1) + margin
    out = _out_of_ellipse(local, radii) * ((share > -0.02) & (share < 1.3))[..., None]
    push: Reals = np.einsum("tab,tkb->tka", frame[:, :, [0, 2]], out)
    return push


def _out_of_neck(around: Surroundings, points: Reals, margin: float) -> Reals:
    """The neck and the slope to the shoulders, as a cone about the line to the head."""
    top = (around.points[:, L_EAR] + around.points[:, R_EAR]) / 2.0
    axis = top - around.shoulders
    share = np.einsum("tkb,tb->tk", points - around.shoulders[:, None], axis) / (axis**2).sum(axis=-1)[:, None]
    away = points - around.shoulders[:, None] - share[..., None] * axis[:, None]
    distance = np.linalg.norm(away, axis=-1)
    radius = around.width * (0.17 + 0.12 * np.clip(0.45 - share, 0.0, 0.45)) + margin
    depth = np.where((share > 0.0) & (share < 0.8), np.maximum(radius - distance, 0.0), 0.0)
    push: Reals = away / np.maximum(distance, 1e-6)[..., None] * depth[..., None]
    return push


def _out_of_other_hand(around: Surroundings, points: Reals, margin: float) -> Reals:
    """Away from the nearest point of the other hand and forearm, where nearer than the two are thick."""
    body = around.points
    along = np.linspace(0.35, 1.0, 5)[:, None]
    forearm = body[:, None, R_ELBOW] + along * (body[:, R_ELBOW + 1] - body[:, R_ELBOW])[:, None]
    others = np.concatenate([body[:, RIGHT_HAND], forearm], axis=1)
    radii = np.concatenate([np.full(21, margin), np.linspace(0.11, 0.07, 5) * around.width])
    apart = points[:, :, None] - others[:, None]
    distance = np.linalg.norm(apart, axis=-1)
    depth = np.maximum(radii + margin - distance, 0.0)
    deepest = depth.argmax(axis=2)[..., None]
    way = np.take_along_axis(apart, deepest[..., None], axis=2)[:, :, 0]
    push: Reals = unit(way + 1e-9) * np.take_along_axis(depth, deepest, axis=2)
    return push
