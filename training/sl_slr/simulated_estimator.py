"""Simulated output of a pose estimator, without rendering: exact keypoints made as inexact as those of MediaPipe.

The figures are those of MediaPipe Holistic on 100 clips of `asl_train`: raised hands are found in 95 of 100 frames and
lost for one or two, low hands are found in 11 of 100, hips in 42, shoulders always; a hand's depth varies a third as
much as its width and height (0.013 against 0.035 and 0.043 m), and a keypoint jitters by 0.014 shoulder widths.
"""

from dataclasses import dataclass

import numpy as np

from model.skeleton.kinematics import L_HIP, L_WRIST, LEFT_HAND, R_HIP, R_WRIST, RIGHT_HAND
from model.skeleton.rotations import Reals, pitch_yaw_roll
from training.synth.motion.timing import smooth_noise

MID_TORSO = (0, 3, R_HIP, L_HIP)
RAISED_LOST, LOW_FOUND, HIPS_FOUND = 0.05, 0.11, 0.42
LOST_FRAMES = 2.0
HAND_DEPTH = (0.2, 0.7)
"""Share of a hand's depth that the estimator reports, sampled per clip."""
JITTER_M = 0.003
WANDER_M = 0.006
"""Slow error, in which whole hands take part."""


@dataclass(frozen=True)
class RecordingConditions:
    """Camera and estimator of one clip."""

    turn: Reals
    """[3] radians: pitch, yaw, roll of the signer before the camera."""
    size: float
    """Of everything, 1 as it is."""
    body_depth: float
    """Share of the body's depth that is reported."""
    hand_depth: float
    hips: bool
    """The hips are in the picture."""


def random_conditions(rng: np.random.Generator) -> RecordingConditions:
    """Random conditions of one clip."""
    turn = np.deg2rad(np.clip(rng.standard_normal(3), -2.0, 2.0) * (4.0, 8.0, 1.5))
    return RecordingConditions(
        turn,
        float(np.exp(rng.normal(0.0, 0.06))),
        float(rng.uniform(0.6, 1.2)),
        float(rng.uniform(*HAND_DEPTH)),
        bool(rng.random() < HIPS_FOUND),
    )


def simulate_estimator(
    world: Reals, conditions: RecordingConditions, rng: np.random.Generator, fps: float
) -> tuple[Reals, Reals]:
    """Keypoints and confidence as `model.skeleton.landmarks.observe` would give them.

    Args:
        world: [T, 61, 3] metres, exact.
        conditions: of the clip.
        rng: of errors and losses.
        fps: frames per second.

    Returns:
        [T, 61, 3] metres from between the hips, NaN where a hand is not found; [T, 61] confidence.
    """
    origin = world[:, [L_HIP, R_HIP]].mean(axis=1, keepdims=True)
    keypoints = (world - origin) @ pitch_yaw_roll(conditions.turn).T * conditions.size
    keypoints[..., 2] *= conditions.body_depth
    num_frames = len(keypoints)
    for hand, wrist in ((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST)):
        flat = keypoints[:, wrist, 2, None]
        keypoints[:, hand, 2] = flat + (keypoints[:, hand, 2] - flat) * conditions.hand_depth / conditions.body_depth
        keypoints[:, hand] += WANDER_M * smooth_noise(rng, num_frames, 3, 0.4, fps)[:, None]
    keypoints += rng.normal(0.0, JITTER_M, keypoints.shape) * (1.0, 1.0, 2.0)
    confidence = np.ones(keypoints.shape[:2])
    confidence[:, [R_HIP, L_HIP]] = float(conditions.hips)
    middle = keypoints[:, MID_TORSO, 1].mean(axis=1)
    for hand, wrist in ((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST)):
        lost = _lost(keypoints[:, wrist, 1] > middle, rng)
        keypoints[:, hand.start] = keypoints[:, wrist]
        keypoints[lost, hand.start + 1 : hand.stop] = np.nan
        confidence[lost, hand.start + 1 : hand.stop] = 0.0
    return keypoints, confidence


def _lost(raised: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T] frames in which a hand is not found: a few frames at a time while it is raised, most of the rest."""
    share = np.where(raised, RAISED_LOST, 1.0 - LOW_FOUND)
    lost = np.zeros(len(raised), bool)
    now = bool(rng.random() < share[0])
    for frame, wanted in enumerate(share):
        # A chain of two states whose long-run share is `wanted` and whose losses last `LOST_FRAMES` on average.
        leave = 1.0 / LOST_FRAMES if wanted < 0.5 else 0.1
        enter = min(1.0, leave * wanted / (1.0 - wanted))
        now = bool(rng.random() >= leave) if now else bool(rng.random() < enter)
        lost[frame] = now
    return lost
