"""Directions and rotations, on any leading axes: what kinematics is computed with."""

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
"""Kinematics is done in double precision."""


def unit(vectors: Reals) -> Reals:
    """Vectors [..., 3] at length one; NaN where there is no direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 1e-9, length, np.nan)


def cross(a: Reals, b: Reals) -> Reals:
    """Cross products of vectors [..., 3]: several times as fast as numpy's for the few vectors of a frame."""
    x, y, z = a[..., 0], a[..., 1], a[..., 2]
    u, v, w = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def frame_from(x: Reals, near_z: Reals) -> Reals:
    """The frame whose x axis is given and whose z axis leans towards a direction.

    Args:
        x: [..., 3] of length one.
        near_z: [..., 3] of any length, not along x.

    Returns:
        [..., 3, 3], one axis per column.
    """
    y = unit(cross(near_z, x))
    return np.stack([x, y, cross(x, y)], axis=-1)


def turn_y(angle: Reals) -> Reals:
    """Rotations about y: [...] radians to [..., 3, 3]."""
    c, s = np.cos(angle), np.sin(angle)
    zero, one = np.zeros_like(c), np.ones_like(c)
    return _matrix([[c, zero, s], [zero, one, zero], [-s, zero, c]])


def pitch_yaw_roll(angles: Reals) -> Reals:
    """How trunk and head are turned: [..., 3] radians forward, to the left, to the right, to [..., 3, 3]."""
    pitch, yaw, roll = np.moveaxis(angles, -1, 0)
    return turn_y(yaw) @ turn_about(0, pitch) @ turn_about(2, -roll)


def turn_about(axis: int, angle: Reals) -> Reals:
    """Rotations about a coordinate axis: [..., 3, 3]."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turned = np.zeros((*angle.shape, 3, 3))
    turned[..., axis, axis] = 1.0
    turned[..., first, first] = turned[..., second, second] = np.cos(angle)
    turned[..., first, second], turned[..., second, first] = -np.sin(angle), np.sin(angle)
    return turned


def turn(bend: Reals, sway: Reals) -> Reals:
    """R_x(bend) R_z(sway): [..., 3, 3]."""
    cb, sb, cs, ss = np.cos(bend), np.sin(bend), np.cos(sway), np.sin(sway)
    return _matrix([[cs, -ss, np.zeros_like(cs)], [cb * ss, cb * cs, -sb], [sb * ss, sb * cs, cb]])


def _matrix(rows: list[list[Reals]]) -> Reals:
    matrix = np.empty((*rows[0][0].shape, 3, 3))
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            matrix[..., row, column] = value
    return matrix
