"""Fidelity of re-enactment: how far a performance by another body is from the clip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.skeleton.kinematics import (
    L_SHOULDER,
    R_SHOULDER,
)
from model.skeleton.rotations import Reals, unit
from training.errors import PoseError
from training.synth.kinematics.hands import palm_frame
from training.synth.kinematics.retarget import MIRROR_X
from training.synth.people.rig import Rig, performance_landmarks
from training.synth.reenactment.clip_landmarks import ClipLandmarks, read_clip_landmarks
from training.synth.reenactment.reenact import reenact


@dataclass(frozen=True)
class Fidelity:
    """Errors of re-enactment by other bodies.

    Errors are those of keypoints, in the performing body's shoulder widths, against the clip's own bone directions, as
    the detector gave them frame by frame, put on the performing body's bone lengths from its shoulders on. So they hold
    what limits of joints, smoothing and keeping hands out of the body cost, and not that people are built differently.
    """

    num_clips: int
    num_frames: int
    arm_error: Reals
    """[3] median, mean and 90th percentile over elbows and wrists."""
    hand_error: Reals
    """[3] likewise over the 42 keypoints of hands that the detector found, in place: what the arm is off counts."""
    hand_shape_error: Reals
    """[3] likewise with both wrists put together."""
    arm_degrees: Reals
    """[3] likewise of the directions of upper arms and forearms."""
    finger_degrees: Reals
    """[3] likewise of the directions of finger bones."""
    jitter: Reals
    """[2] unrest of the clips and of the performances: median length of a wrist's second difference over time, in
    shoulder widths."""


def measure_reenactment(
    files: Sequence[Path], rigs: Sequence[Rig], *, advance: Callable[[], None] = lambda: None
) -> Fidelity:
    """Perform clips, each by one of the bodies in turn, and compare.

    Args:
        files: landmarks of clips.
        rigs: bodies.
        advance: called once per clip.

    Raises:
        PoseError: there are no clips, or one can't be read.
    """
    if not files:
        raise PoseError("no clips to perform; give files of landmarks (.npz)")
    columns: dict[str, list[Reals]] = {}
    num_frames = 0
    for number, file in enumerate(files):
        clip, rig = read_clip_landmarks(file), rigs[number % len(rigs)]
        for name, values in _errors(clip, rig).items():
            columns.setdefault(name, []).append(values)
        num_frames += clip.num_frames
        advance()
    found = {name: np.concatenate(values) for name, values in columns.items()}
    summary = {name: error_summary(found[name]) for name in found if not name.startswith("jitter")}
    jitter = np.array([np.median(found["jitter_before"]), np.median(found["jitter_after"])])
    return Fidelity(len(files), num_frames, jitter=jitter, **summary)


def error_summary(values: Reals) -> Reals:
    """[3] median, mean and 90th percentile."""
    return np.array([np.median(values), values.mean(), np.percentile(values, 90)])


def _errors(clip: ClipLandmarks, rig: Rig) -> dict[str, Reals]:
    performed = performance_landmarks(reenact(clip, rig, "clip"), rig)
    width = float(np.linalg.norm(rig.landmarks[L_SHOULDER] - rig.landmarks[R_SHOULDER]))
    resting = rig.landmarks.astype(float)
    parts = [
        _side_errors(clip.body[:, [11, 13, 15]], clip.left, performed[:, 3:6], performed[:, 40:61], resting[40:61]),
        _side_errors(
            clip.body[:, [12, 14, 16]] * MIRROR_X,
            clip.right * MIRROR_X,
            performed[:, 0:3] * MIRROR_X,
            performed[:, 19:40] * MIRROR_X,
            resting[19:40] * MIRROR_X,
        ),
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: values if name.endswith("degrees") else values / width for name, values in joined.items()}


def _side_errors(arm: Reals, hand: Reals, performed: Reals, fingers: Reals, resting: Reals) -> dict[str, Reals]:
    """Errors of a left arm, metres and degrees.

    Args:
        arm: [T, 3, 3] shoulder, elbow, wrist of the clip.
        hand: [T, 21, 3] of the clip, NaN where not found.
        performed: [T, 3, 3] the arm as performed.
        fingers: [T, 21, 3] the hand as performed.
        resting: [21, 3] the performing hand at rest.
    """
    lengths = np.linalg.norm(np.diff(performed, axis=1), axis=-1)
    wanted = unit(np.diff(arm, axis=1))
    elbow = performed[:, 0] + lengths[:, :1] * wanted[:, 0]
    wrist = elbow + lengths[:, 1:] * wanted[:, 1]
    found = ~np.isnan(hand[:, 0, 0])
    shape = _built_like(hand[found], resting)
    in_place = np.linalg.norm(wrist[found, None] + shape - fingers[found], axis=-1)
    own = np.linalg.norm(shape - (fingers[found] - fingers[found, :1]), axis=-1)
    intended, done = (np.diff(points[:, 1:].reshape(-1, 5, 4, 3), axis=2) for points in (hand[found], fingers[found]))
    before = np.diff((wrist - performed[:, 0]), 2, axis=0)
    after = np.diff((performed[:, 2] - performed[:, 0]), 2, axis=0)
    return {
        "arm_error": np.linalg.norm(np.stack([elbow, wrist], axis=1) - performed[:, 1:], axis=-1).ravel(),
        "hand_error": in_place[:, 1:].ravel(),
        "hand_shape_error": own[:, 1:].ravel(),
        "arm_degrees": _degrees_between(wanted, np.diff(performed, axis=1)).ravel(),
        "finger_degrees": _degrees_between(intended, done).ravel(),
        "jitter_before": np.linalg.norm(before, axis=-1),
        "jitter_after": np.linalg.norm(after, axis=-1),
    }


def _built_like(hand: Reals, resting: Reals) -> Reals:
    """A hand's pose on another hand's bones, from its wrist: palm as a whole, fingers bone by bone, [N, 21, 3]."""
    palm = palm_frame(resting)
    local = (resting - resting[0]) @ palm
    starts = np.einsum("nab,fb->nfa", palm_frame(hand), local[1::4])
    lengths = np.linalg.norm(np.diff(local[1:].reshape(5, 4, 3), axis=1), axis=-1)
    steps = unit(np.diff(hand[:, 1:].reshape(-1, 5, 4, 3), axis=2)) * lengths[..., None]
    chain = np.concatenate([starts[:, :, None], starts[:, :, None] + np.cumsum(steps, axis=2)], axis=2)
    return np.concatenate([np.zeros((len(hand), 1, 3)), chain.reshape(-1, 20, 3)], axis=1)


def _degrees_between(a: Reals, b: Reals) -> Reals:
    degrees: Reals = np.rad2deg(np.arccos(np.clip((unit(a) * unit(b)).sum(axis=-1), -1.0, 1.0)))
    return degrees
