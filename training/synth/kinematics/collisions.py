"""Collisions: how far hands and forearms are inside head, neck, trunk or other arm, and the way out."""

from collections.abc import Sequence

import numpy as np

from model.skeleton.kinematics import (
    L_EAR,
    R_EAR,
    R_ELBOW,
    R_SHOULDER,
    RIGHT_HAND,
    head_frame,
)
from model.skeleton.rotations import Reals, unit
from training.synth.kinematics.posed_body import PosedBody, girth_at

FOREARM_M = 0.028
"""Half the thickness of a forearm."""


def push_out(posed_body: PosedBody, points: Reals, margin: float) -> Reals:
    """Displacement of a hand so that none of its points is inside head, neck, trunk or the other hand.

    Args:
        posed_body: the body.
        points: [T, K, 3] of the hand.
        margin: metres to keep from the body's surface: half a finger's thickness.

    Returns:
        [T, 3] metres, out along the surface where the deepest point lies; zero where nothing is inside.
    """
    pushes = _deepest([out(posed_body, points, margin) for out in (_out_of_head, _out_of_trunk, _out_of_neck)])
    if posed_body.other_arm_known:  # what keeps out of the body comes first
        aside = _deepest([_out_of_other_hand(posed_body, points, margin)])
        pushes = np.where(np.any(pushes != 0.0, axis=-1, keepdims=True), pushes, aside)
    return pushes


def forearm_depth(posed_body: PosedBody, points: Reals) -> Reals:
    """Penetration depth of points of the left forearm's middle line into trunk or other arm, counting its flesh.

    Args:
        posed_body: the body.
        points: [T, K, 3].

    Returns:
        [T, K] metres, 0 outside.
    """
    depth: Reals = np.linalg.norm(_out_of_trunk(posed_body, points, 0.012), axis=-1)
    if posed_body.other_arm_known:
        depth = np.maximum(depth, np.linalg.norm(_out_of_other_arm(posed_body, points), axis=-1))
    return depth


def push_forearm_out(posed_body: PosedBody, points: Reals) -> Reals:
    """Displacement of a forearm, [T, 3] metres, so that none of its points [T, K, 3] penetrates (`forearm_depth`)."""
    push = _deepest([_out_of_trunk(posed_body, points, FOREARM_M)])
    if posed_body.other_arm_known:
        aside = _deepest([_out_of_other_arm(posed_body, points)])
        push = np.where(np.any(push != 0.0, axis=-1, keepdims=True), push, aside)
    return push


def _out_of_other_arm(posed_body: PosedBody, points: Reals) -> Reals:
    """Away from the bones of the other arm, [T, K, 3], where nearer than two forearms are thick."""
    body = posed_body.points
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


def _out_of_head(posed_body: PosedBody, points: Reals, margin: float) -> Reals:
    body = posed_body.points
    size = float(np.median(np.linalg.norm(body[:, L_EAR] - body[:, R_EAR], axis=-1)))
    frame = head_frame(body)
    centre = (body[:, L_EAR] + body[:, R_EAR]) / 2.0
    local = np.einsum("tba,tkb->tka", frame, points - centre[:, None])
    radii = size * np.array([0.53, 0.74, 0.60]) + margin
    out: Reals = np.einsum("tab,tkb->tka", frame, _out_of_ellipse(local, radii))
    return out


def _out_of_trunk(posed_body: PosedBody, points: Reals, margin: float) -> Reals:
    frame, top, down = posed_body.trunk, posed_body.shoulders, posed_body.hips - posed_body.shoulders
    share = np.einsum("tkb,tb->tk", points - top[:, None], down) / (down**2).sum(axis=-1)[:, None]
    centre = top[:, None] + share[..., None] * down[:, None]
    local = np.einsum("tba,tkb->tka", frame, points - centre)[..., [0, 2]]
    front, back, half_width = np.moveaxis(girth_at(posed_body, share), -1, 0)
    local[..., 1] -= (front + back) / 2.0
    radii = np.stack([half_width, (front - back) / 2.0], axis=-1) + margin
    out = _out_of_ellipse(local, radii) * ((share > -0.02) & (share < 1.3))[..., None]
    push: Reals = np.einsum("tab,tkb->tka", frame[:, :, [0, 2]], out)
    return push


def _out_of_neck(posed_body: PosedBody, points: Reals, margin: float) -> Reals:
    """The neck and the slope to the shoulders, as a cone about the line to the head."""
    top = (posed_body.points[:, L_EAR] + posed_body.points[:, R_EAR]) / 2.0
    axis = top - posed_body.shoulders
    share = np.einsum("tkb,tb->tk", points - posed_body.shoulders[:, None], axis) / (axis**2).sum(axis=-1)[:, None]
    away = points - posed_body.shoulders[:, None] - share[..., None] * axis[:, None]
    distance = np.linalg.norm(away, axis=-1)
    radius = posed_body.width * (0.17 + 0.12 * np.clip(0.45 - share, 0.0, 0.45)) + margin
    depth = np.where((share > 0.0) & (share < 0.8), np.maximum(radius - distance, 0.0), 0.0)
    push: Reals = away / np.maximum(distance, 1e-6)[..., None] * depth[..., None]
    return push


def _out_of_other_hand(posed_body: PosedBody, points: Reals, margin: float) -> Reals:
    """Away from the nearest point of the other hand and forearm, where nearer than the two are thick."""
    body = posed_body.points
    along = np.linspace(0.35, 1.0, 5)[:, None]
    forearm = body[:, None, R_ELBOW] + along * (body[:, R_ELBOW + 1] - body[:, R_ELBOW])[:, None]
    others = np.concatenate([body[:, RIGHT_HAND], forearm], axis=1)
    radii = np.concatenate([np.full(21, margin), np.linspace(0.11, 0.07, 5) * posed_body.width])
    apart = points[:, :, None] - others[:, None]
    distance = np.linalg.norm(apart, axis=-1)
    depth = np.maximum(radii + margin - distance, 0.0)
    deepest = depth.argmax(axis=2)[..., None]
    way = np.take_along_axis(apart, deepest[..., None], axis=2)[:, :, 0]
    push: Reals = unit(way + 1e-9) * np.take_along_axis(depth, deepest, axis=2)
    return push
