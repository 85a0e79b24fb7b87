"""Two-bone inverse kinematics of an arm: where the elbow goes when the wrist reaches for a point."""

import numpy as np

from model.skeleton.rotations import Reals, cross, unit

MIN_ELBOW, MAX_ELBOW = 5.0, 150.0
"""Degrees an elbow is bent by when an arm is stretched or folded."""


def bend_arm(
    shoulder: Reals, target: Reals, upper: Reals | float, fore: Reals | float, swivel: Reals
) -> tuple[Reals, Reals]:
    """Where elbow and wrist are when the wrist reaches for a point: two bones, one swivel.

    The elbow lies on a circle about the line from shoulder to wrist; `swivel` says where: 0 lets it hang lowest, and
    growing angles lift it to the arm's own side.

    Args:
        shoulder: [..., 3] of a left arm; mirror a right one.
        target: [..., 3] where the wrist should be. One out of reach is approached in a straight line as far as the arm,
            bent by five degrees, goes; one too near is kept off by what an elbow bent by 150 degrees leaves.
        upper: length of the upper arm.
        fore: length of the forearm.
        swivel: [...] radians.

    Returns:
        elbow [..., 3], wrist [..., 3].
    """
    reach = target - shoulder
    distance = np.linalg.norm(reach, axis=-1)
    nearest, farthest = (_opposite_side(upper, fore, np.deg2rad(inner)) for inner in (180 - MAX_ELBOW, 180 - MIN_ELBOW))
    held = np.clip(distance, nearest, farthest)
    axis = unit(reach)
    along = (held**2 + np.square(upper) - np.square(fore)) / (2.0 * held)
    radius = np.sqrt(np.maximum(np.square(upper) - along**2, 0.0))
    lowest, outward = _swivel_axes(axis)
    spoke = np.cos(swivel)[..., None] * lowest + np.sin(swivel)[..., None] * outward
    elbow = shoulder + along[..., None] * axis + radius[..., None] * spoke
    return elbow, shoulder + held[..., None] * axis


def natural_swivel(shoulder: Reals, target: Reals, arm_length: Reals | float) -> Reals:
    """The swivel most people's elbow takes: hanging a little outward, more so for a hand that is high or across.

    Args:
        shoulder: [..., 3] of a left arm.
        target: [..., 3] where the wrist goes.
        arm_length: of both bones together.

    Returns:
        [...] radians.
    """
    reach = (target - shoulder) / np.asarray(arm_length)[..., None]
    height = np.clip(reach[..., 1], -1.0, 1.0)
    across = np.clip(-reach[..., 0], 0.0, 1.0)
    swivel: Reals = np.deg2rad(18.0 + 22.0 * np.clip(height + 0.4, 0.0, 1.0) + 30.0 * across)
    return swivel


def _opposite_side(a: Reals | float, b: Reals | float, angle: float) -> Reals:
    """Third side of a triangle: the law of cosines."""
    side: Reals = np.sqrt(np.square(a) + np.square(b) - 2.0 * np.asarray(a) * b * np.cos(angle))
    return side


def _swivel_axes(axis: Reals) -> tuple[Reals, Reals]:
    """Two directions that span the elbow's circle: the lowest point, and the one to the left arm's outside.

    An arm that hangs straight down has no lowest point; there the elbow's zero lies behind, as the blend makes it.
    """
    down = np.array([0.0, -1.0, -0.25]) / np.hypot(1.0, 0.25)
    lowest = unit(down - (axis @ down)[..., None] * axis)
    outward = cross(axis, lowest)
    return lowest, outward
