"""Ambient occlusion by hands: fingers darken each other, and the face or chest they come near.

A shadow picture is too coarse for fingers. Here every bone of a hand is a capsule as thick as its flesh, and the light
from all around that reaches a point is less by what the capsules hide of it: for one capsule, the cosine under which
the point sees it times the square of its thickness over its distance.
"""

from dataclasses import dataclass

import numpy as np

from model.encoder import Floats, Ints
from training.synth.people.body import Body

FINGER_BONES = tuple(f"finger{finger}-{bone}" for finger in range(1, 6) for bone in (1, 2, 3))
HAND_BONES = ("lowerarm02", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4", *FINGER_BONES)
REACH_M = 0.12
"""Farther from a hand than this its capsules have no effect."""
USUAL_RADIUS_M = 0.009


@dataclass(frozen=True)
class HandCapsules:
    """The bones of both hands at rest, the left one first: K capsules."""

    bones: Ints
    """[K] rows of the rig."""
    heads: Floats
    """[K, 3] metres."""
    tails: Floats
    """[K, 3] metres."""
    radii: Floats
    """[K] metres."""


def hand_capsules(body: Body) -> HandCapsules:
    """The capsules of a body's hands, each as thick as what its bone moves."""
    bones = np.array([body.rig.bone(f"{name}.{side}") for side in "LR" for name in HAND_BONES])
    strongest = body.bones[np.arange(len(body.bones)), body.weights.argmax(1)]
    heads, tails = body.rig.heads[bones], body.rig.tails[bones]
    radii = [
        _thickness(body.vertices[strongest == bone], head, tail)
        for bone, head, tail in zip(bones, heads, tails, strict=True)
    ]
    return HandCapsules(bones, heads, tails, np.array(radii, np.float32))


def _thickness(points: Floats, head: Floats, tail: Floats) -> float:
    """Median distance of points from the line of a bone, metres."""
    if not len(points):
        return USUAL_RADIUS_M
    along = (tail - head) / np.linalg.norm(tail - head)
    away = points - head
    return float(np.median(np.linalg.norm(away - (away @ along)[:, None] * along, axis=1)))


def finger_ends(capsules: HandCapsules, transforms: Floats) -> Floats:
    """The far ends of the capsules of posed bodies: [N, K, 3] metres."""
    moved = transforms[:, capsules.bones]
    ends: Floats = np.einsum("nkab,kb->nka", moved[..., :3], capsules.tails) + moved[..., 3]
    return ends


def posed_capsules(capsules: HandCapsules, transforms: Floats) -> Floats:
    """The capsules of posed bodies, as `light.comp` reads them.

    Args:
        capsules: of the body at rest.
        transforms: [N, J, 3, 4] from `pose_bones`.

    Returns:
        [N, 2, 1 + K / 2, 2, 4] float32, per hand first the ball outside which it has no effect (centre, radius,
        nothing), then the capsules (head, radius; tail, nothing).
    """
    num, half = len(transforms), len(capsules.bones) // 2
    moved = transforms[:, capsules.bones]
    ends = np.stack([capsules.heads, capsules.tails], axis=1)
    placed = np.einsum("nkab,keb->nkea", moved[..., :3], ends) + moved[:, :, None, :, 3]
    table = np.zeros((num, 2, 1 + half, 2, 4), np.float32)
    table[:, :, 1:, :, :3] = placed.reshape(num, 2, half, 2, 3)
    table[:, :, 1:, 0, 3] = capsules.radii.reshape(2, half)
    middle = table[:, :, 1:, :, :3].mean((2, 3))
    far = np.linalg.norm(table[:, :, 1:, :, :3] - middle[:, :, None, None], axis=-1).max((2, 3))
    table[:, :, 0, 0, :3], table[:, :, 0, 0, 3] = middle, far + REACH_M
    return table
