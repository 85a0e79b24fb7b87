"""Fingers: from a handshape to the directions of fifteen bones in the frame of the palm.

Everything here is a left hand; a right one is its mirror image. The palm's frame: y from the wrist to the middle
knuckle, x towards the little finger, z out of the palm. A pose of the fingers is 21 angles in radians:

    0-15   index, middle, ring, little finger: bend of the first joint, sway (towards the thumb), bend of the others
    16-20  thumb: aside, forward, roll, bend of the first joint, of the last
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from model.skeleton.kinematics import KNUCKLES
from model.skeleton.rotations import Reals, cross, turn, turn_y, unit
from training.synth.language.handshapes import FINGER_ROWS, HANDSHAPES, REST_SHAPE, Handshape

NUM_FINGER_ANGLES = 21
THUMB = slice(16, 21)
PAD_M = 0.006
"""From the line of a finger's last bone to the skin of its pad."""

FINGER_LIMITS = np.deg2rad(
    np.array(4 * [(-20.0, 95.0), (-25.0, 25.0), (-5.0, 115.0), (-10.0, 80.0)])
)  # bend, sway, bend, bend
THUMB_LIMITS = np.deg2rad(np.array([(-12.0, 65.0), (-5.0, 72.0), (-25.0, 60.0), (-15.0, 65.0), (-20.0, 85.0)]))
LIMITS: Reals = np.concatenate([FINGER_LIMITS, THUMB_LIMITS])
"""[21, 2] least and greatest of every angle."""


@dataclass(frozen=True, eq=False)
class Hand:
    """The build of one left hand: what stays the same whatever the fingers do.

    Equal only to itself, so that what is worked out for a hand can be kept.
    """

    palm: Reals
    """[3, 3] its frame in the rest pose, in space."""
    bases: Reals
    """[5, 3] metres from the wrist to where each finger starts (thumb first), in the palm's frame."""
    lengths: Reals
    """[5, 3] of the fingers' bones, metres."""
    rays: Reals
    """[4, 3, 3] frame of the metacarpal of index to little finger in the palm's frame; y along it."""
    rest: Reals
    """[5, 3, 3, 3] frame of every finger bone in the rest pose, in the palm's frame."""


def measure_hand(points: Reals) -> Hand:
    """The build of a left hand.

    Args:
        points: [21, 3] metres, its keypoints in the rest pose; mirror those of a right hand.
    """
    return _measured(np.ascontiguousarray(points, float).tobytes())


@lru_cache(maxsize=1024)
def _measured(points_bytes: bytes) -> Hand:
    points = np.frombuffer(points_bytes).reshape(21, 3)
    palm = palm_frame(points)
    local = (points - points[0]) @ palm
    chains = local[1:].reshape(5, 4, 3)
    steps = np.diff(chains, axis=1)
    lengths = np.linalg.norm(steps, axis=-1)
    rays = frames_along(np.eye(3), local[list(KNUCKLES)])
    directions = steps / lengths[..., None]
    rest = np.empty((5, 3, 3, 3))
    rest[0, 0] = thumb_frame(directions[0, 0], 0.0)
    rest[1:, 0] = frames_along(rays, directions[1:, 0])
    for bone in (1, 2):
        rest[:, bone] = frames_along(rest[:, bone - 1], directions[:, bone])
    return Hand(palm, chains[:, 0], lengths, rays, rest)


def palm_frame(points: Reals) -> Reals:
    """The frame of a left palm: [..., 21, 3] keypoints to [..., 3, 3], one axis per column."""
    y = unit(points[..., KNUCKLES[1], :] - points[..., 0, :])
    ulnar = points[..., KNUCKLES[3], :] - points[..., KNUCKLES[0], :]
    z = unit(cross(ulnar, y))
    return np.stack([cross(y, z), y, z], axis=-1)


def frames_along(base: Reals, directions: Reals) -> Reals:
    """A frame turned, by a bend and then a sway, until its y axis lies along a direction: [..., 3, 3]."""
    x, y, z = np.moveaxis(np.einsum("...ba,...b->...a", base, unit(directions)), -1, 0)
    return base @ turn(np.arctan2(z, y), np.arctan2(-x, np.hypot(y, z)))


def thumb_frame(direction: Reals, roll: Reals | float) -> Reals:
    """The frame of the thumb's first bone: y along it, z where its pad faces.

    Bending the thumb sweeps its tip across the palm, so the pad faces the little finger's side and a little out of the
    palm; opposing it rolls the pad towards the fingertips.

    Args:
        direction: [..., 3] of length one, in the palm's frame.
        roll: [...] radians.
    """
    pad = np.array([0.87, 0.0, 0.5])
    z = unit(pad - (direction @ pad)[..., None] * direction)
    frame = np.stack([cross(direction, z), direction, z], axis=-1)
    return frame @ turn_y(np.asarray(roll, float))


def finger_frames(hand: Hand, angles: Reals) -> Reals:
    """The frame of every finger bone in the palm's frame.

    Args:
        hand: its build.
        angles: [..., 21] radians.

    Returns:
        [..., 5, 3, 3, 3]: finger (thumb first), bone, matrix with one axis per column; y is along the bone.
    """
    lead = angles.shape[:-1]
    frames = np.empty((*lead, 5, 3, 3, 3))
    bends = angles[..., :16].reshape(*lead, 4, 4)
    zero = np.zeros((*lead, 4))
    frames[..., 1:, 0, :, :] = hand.rays @ turn(bends[..., 0], bends[..., 1])
    frames[..., 1:, 1, :, :] = frames[..., 1:, 0, :, :] @ turn(bends[..., 2], zero)
    frames[..., 1:, 2, :, :] = frames[..., 1:, 1, :, :] @ turn(bends[..., 3], zero)
    aside, forward, roll, first, last = np.moveaxis(angles[..., THUMB], -1, 0)
    frames[..., 0, 0, :, :] = thumb_frame(turn(forward, aside)[..., :, 1], roll)
    frames[..., 0, 1, :, :] = frames[..., 0, 0, :, :] @ turn(first, np.zeros(lead))
    frames[..., 0, 2, :, :] = frames[..., 0, 1, :, :] @ turn(last, np.zeros(lead))
    return frames


def hand_points(hand: Hand, angles: Reals) -> Reals:
    """The 21 keypoints in the palm's frame, from the wrist: [..., 21] radians to [..., 21, 3] metres."""
    steps = finger_frames(hand, angles)[..., :, 1] * hand.lengths[..., None]
    ends = hand.bases[:, None, :] + np.cumsum(steps, axis=-2)
    starts = np.broadcast_to(hand.bases[:, None, :], (*ends.shape[:-2], 1, 3))
    chains = np.concatenate([starts, ends], axis=-2).reshape(*angles.shape[:-1], 20, 3)
    return np.concatenate([np.zeros((*angles.shape[:-1], 1, 3)), chains], axis=-2)


@lru_cache(maxsize=16384)
def shape_angles(hand: Hand, shape: Handshape) -> Reals:
    """The 21 angles of a handshape on one hand: [21] radians within `LIMITS`.

    Fingers held together lie parallel, spread ones fan out from the middle finger; both the less, the more their first
    joint is bent, for a bent joint does not spread. A thumb that touches a finger is brought to it on this very hand.
    """
    bends = np.deg2rad(np.array(shape.bends))
    rays = np.arctan2(-hand.rays[:, 0, 1], hand.rays[:, 1, 1])
    fan = np.deg2rad(shape.spread) * np.array([1.0, 0.0, -1.0, -2.0]) if shape.spread else -0.12 * (rays - rays[1])
    sways = (fan + rays[1] - rays) * np.cos(bends[:, 0]).clip(0.0) ** 2
    if shape.crossed:
        sways[:2] += np.deg2rad([-9.0, 13.0])
        bends[1, 0] += np.deg2rad(16.0)
    fingers = np.stack([bends[:, 0], sways, bends[:, 1], bends[:, 2]], axis=-1).reshape(16)
    thumb = shape.thumb
    angles = np.concatenate([fingers, np.deg2rad([thumb.aside, thumb.forward, thumb.roll, thumb.first, thumb.last])])
    angles = np.clip(angles, *LIMITS.T)
    settled = _settled(hand, angles, shape) if shape.touches or shape.rests else angles
    settled.flags.writeable = False  # it is kept, and handed out again
    return settled


def named_angles(hand: Hand, name: str) -> Reals:
    """`shape_angles` of a handshape of the inventory, or of the hand at rest for the name REST."""
    return shape_angles(hand, REST_SHAPE if name == REST_SHAPE.name else HANDSHAPES[name])


def _settled(hand: Hand, angles: Reals, shape: Handshape) -> Reals:
    """Move the thumb to the finger it meets, on this very hand: least squares over the joints that do so in life.

    Tip to tip both give way, and the finger takes along its neighbours that are bent alike, as in a rounded hand. Laid
    over a folded finger, the thumb alone moves.
    """
    row = FINGER_ROWS[shape.touches or shape.rests]
    bends = angles[:16].reshape(4, 4)
    alike = [other for other in range(4) if np.abs(bends[other] - bends[row])[[0, 2, 3]].max() < 1e-6]
    columns = [16, 17, 18, 19, 20, *([4 * row, 4 * row + 2, 4 * row + 3] if shape.touches else [])]

    def moved(changes: Reals) -> Reals:
        result = np.repeat(angles[None], len(changes), axis=0)
        result[:, columns] += changes
        for other in alike if shape.touches else []:
            result[:, [4 * other, 4 * other + 2, 4 * other + 3]] += changes[:, 5:]
        return np.clip(result, *LIMITS.T)

    def residual(changes: Reals) -> Reals:
        now = moved(changes)
        frames, points = finger_frames(hand, now), hand_points(hand, now)
        thumb, tip, middle = frames[:, 0, 2, :, 2], frames[:, 1 + row, 2, :, 2], frames[:, 1 + row, 1, :, 2]
        pad = points[:, 4] + PAD_M * thumb
        if shape.touches:
            goal, inward = points[:, 8 + 4 * row] + PAD_M * tip, -tip
        else:
            goal, inward = points[:, [6 + 4 * row, 7 + 4 * row]].mean(axis=1) - PAD_M * middle, middle
        return np.concatenate([pad - goal, 0.0015 * (thumb - inward), _STIFFNESS[: len(columns)] * changes], axis=-1)

    settled: Reals = moved(_least_squares(residual, len(columns))[None])[0]
    return settled


def _least_squares(residual: Callable[[Reals], Reals], size: int, rounds: int = 14) -> Reals:
    """The change that makes a residual least, starting from none: Levenberg and Marquardt's method.

    Args:
        residual: [K, size] changes to [K, R] residuals.
        size: how many numbers may change.
        rounds: how often to step.
    """
    change, damping, probes = np.zeros(size), 1e-6, 1e-4 * np.eye(size)
    here = residual(change[None])[0]
    for _ in range(rounds):
        slope = (residual(change + probes) - here).T / 1e-4
        step = np.linalg.solve(slope.T @ slope + damping * np.eye(size), slope.T @ here)
        there = residual((change - step)[None])[0]
        if there @ there < here @ here:
            change, here, damping = change - step, there, damping * 0.3
        else:
            damping *= 8.0
    return change


_STIFFNESS = 0.002 * np.array([0.8, 0.8, 0.5, 1.0, 1.0, 1.4, 1.8, 1.8])
