"""What human joints allow: the oracle for made and measured movements."""

import numpy as np

from model.skeleton.kinematics import L_SHOULDER, R_SHOULDER, Angles
from model.skeleton.rotations import Reals, unit


def limit_excess(angles: Angles) -> Angles:
    """By how much each angle is beyond what joints allow: 0 within the limits, else radians, signed.

    The limits are those of the clinical literature on active range of motion (American Academy of Orthopaedic
    Surgeons), widened by ten degrees for the spread among people and for fingers pressed against something.
    """

    def excess(values: Reals, limits: Reals) -> Reals:
        return values - np.clip(values, limits[:, 0], limits[:, 1])

    return Angles(excess(angles.body, BODY_LIMITS), excess(angles.left, HAND_LIMITS), excess(angles.right, HAND_LIMITS))


def elbow_angle(points: Reals, side: str) -> Reals:
    """Flexion of the elbow: 0 with the arm straight, about 150 degrees fully bent, in radians [...]."""
    shoulder = {"left": L_SHOULDER, "right": R_SHOULDER}[side]
    upper = unit(points[..., shoulder + 1, :] - points[..., shoulder, :])
    fore = unit(points[..., shoulder + 2, :] - points[..., shoulder + 1, :])
    angle: Reals = np.arccos(np.clip((upper * fore).sum(axis=-1), -1.0, 1.0))
    return angle


def _degrees(rows: list[tuple[float, float]]) -> Reals:
    limits: Reals = np.deg2rad(np.array(rows))
    return limits


def _hand_limits() -> Reals:
    palm = [(-90.0, 100.0), (-60.0, 60.0)]
    thumb = [(-80.0, 100.0), (-75.0, 90.0)] + 3 * [(-90.0, 100.0), (-60.0, 60.0)]
    finger = [*palm, (-45.0, 105.0), (-45.0, 45.0), (-25.0, 125.0), (-40.0, 40.0), (-30.0, 100.0), (-40.0, 40.0)]
    return _degrees([*thumb, *finger, *finger, *finger, *finger, (-135.0, 135.0)])


def _body_limits() -> Reals:
    trunk = [(-45.0, 45.0), (-45.0, 45.0)]
    arm = [(-70.0, 190.0), (-70.0, 90.0), (-25.0, 180.0), (-89.0, 89.0)]
    return _degrees([*(3 * trunk), (-60.0, 60.0), (-50.0, 50.0), *(3 * [(-80.0, 80.0), (-60.0, 60.0)]), *arm, *arm])


HAND_LIMITS: Reals = _hand_limits()
"""[41, 2] least and greatest of every angle of a hand, radians."""
BODY_LIMITS: Reals = _body_limits()
"""[22, 2] likewise of the body."""
