"""Facial expression: gaze, blinks, mouth opening."""

import numpy as np

from model.encoder import Floats
from training.synth.people.rig import Performance, Rig

JAW_OPEN_RAD = 0.30
LID_CLOSED_RAD = 0.42
LID_FOLLOWS = 0.5
"""Share of the gaze's pitch the upper lids follow."""
BLINK_S = 0.26
BLINKS_EVERY_S = 3.5


def with_face(performance: Performance, rig: Rig, rng: np.random.Generator) -> Floats:
    """The rotations of a performance with gaze, blinks and mouth put on the face's bones.

    Args:
        performance: what the body does.
        rig: whose face.
        rng: samples when to blink.

    Returns:
        [T, J, 3, 3], a copy.
    """
    rotations = performance.rotations.astype(np.float32, copy=True)
    num_frames = performance.num_frames
    gaze = np.zeros((num_frames, 2), np.float32) if performance.gaze is None else performance.gaze
    closed = blinks(num_frames, performance.fps, rng)
    lids = closed * LID_CLOSED_RAD - LID_FOLLOWS * gaze[:, 1] * (1 - closed)
    for side in "LR":
        _turn(rotations, rig, f"eye.{side}", about_y(gaze[:, 0]) @ about_x(-gaze[:, 1]))
        _turn(rotations, rig, f"orbicularis03.{side}", about_x(lids))
        _turn(rotations, rig, f"orbicularis04.{side}", about_x(-0.18 * closed))
    if performance.mouth_open is not None:
        _turn(rotations, rig, "jaw", about_x(JAW_OPEN_RAD * performance.mouth_open))
    return rotations


def _turn(rotations: Floats, rig: Rig, bone: str, turns: Floats) -> None:
    """Turn a bone further, frame by frame. Changes `rotations`."""
    row = rig.bone(bone)
    rotations[:, row] = rotations[:, row] @ turns


def blinks(num_frames: int, fps: float, rng: np.random.Generator) -> Floats:
    """Closure of the lids, [T] 0 to 1: a blink every few seconds, quick down and slower up."""
    time = np.arange(num_frames) / fps
    closed = np.zeros(num_frames, np.float32)
    start = float(rng.uniform(0, BLINKS_EVERY_S))
    while start < num_frames / fps:
        phase = (time - start) / BLINK_S
        lid = np.clip(np.minimum(phase / 0.35, (1 - phase) / 0.55), 0, 1)
        closed = np.maximum(closed, lid).astype(np.float32)
        start += BLINK_S + float(rng.exponential(BLINKS_EVERY_S))
    return closed


def about_x(angles: Floats) -> Floats:
    """[T, 3, 3] turns about x: positive tips what points forward down."""
    c, s, zero, one = np.cos(angles), np.sin(angles), np.zeros_like(angles), np.ones_like(angles)
    return np.stack([one, zero, zero, zero, c, -s, zero, s, c], -1).reshape(-1, 3, 3).astype(np.float32)


def about_y(angles: Floats) -> Floats:
    """[T, 3, 3] turns about y: positive swings what points forward to the person's left."""
    c, s, zero, one = np.cos(angles), np.sin(angles), np.zeros_like(angles), np.ones_like(angles)
    return np.stack([c, zero, s, zero, one, zero, -s, zero, c], -1).reshape(-1, 3, 3).astype(np.float32)
