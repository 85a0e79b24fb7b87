"""What a pose estimator would see of a performance, without drawing it: exact keypoints made as inexact as MediaPipe's.

The figures are those of MediaPipe Holistic on 100 clips of `asl_train`: raised hands are found in 95 of 100 frames and
lost for one or two, low hands are found in 11 of 100, hips in 42, shoulders always; a hand's depth varies a third as
much as its width and height (0.013 against 0.035 and 0.043 m), and a keypoint jitters by 0.014 shoulder widths.
"""

from dataclasses import dataclass

import numpy as np

from model.skeleton.kinematics import L_HIP, L_WRIST, LEFT_HAND, R_HIP, R_WRIST, RIGHT_HAND
from model.skeleton.rotations import Reals, pitch_yaw_roll
from training.synth.timing import unrest

MID_TORSO = (0, 3, R_HIP, L_HIP)
RAISED_LOST, LOW_FOUND, HIPS_FOUND = 0.05, 0.11, 0.42
LOST_FRAMES = 2.0
HAND_DEPTH = (0.2, 0.7)
"""Share of a hand's depth that the estimator gives it, drawn per clip."""
JITTER_M = 0.003
WANDER_M = 0.006
"""Slow error, in which whole hands take part."""


@dataclass(frozen=True)
class Filming:
    """How one clip is seen."""

    turn: Reals
    """[3] radians: pitch, yaw, roll of the signer before the camera."""
    size: float
    """Of everything, 1 as it is."""
    body_depth: float
    """Share of the body's depth that is seen."""
    hand_depth: float
    hips: bool
    """The hips are in the picture."""


def random_filming(rng: np.random.Generator) -> Filming:
    """A camera and an estimator's mood for one clip."""
    turn = np.deg2rad(np.clip(rng.standard_normal(3), -2.0, 2.0) * (4.0, 8.0, 1.5))
    return Filming(
        turn,
        float(np.exp(rng.normal(0.0, 0.06))),
        float(rng.uniform(0.6, 1.2)),
        float(rng.uniform(*HAND_DEPTH)),
        bool(rng.random() < HIPS_FOUND),
    )


def see(world: Reals, filming: Filming, rng: np.random.Generator, fps: float) -> tuple[Reals, Reals]:
    """Keypoints and confidence as `training.landmarks.observe` would give them.

    Args:
        world: [T, 61, 3] metres, exact.
        filming: of the clip.
        rng: draws errors and losses.
        fps: frames per second.

    Returns:
        [T, 61, 3] metres from between the hips, NaN where a hand is not found; [T, 61] confidence.
    """
    origin = world[:, [L_HIP, R_HIP]].mean(axis=1, keepdims=True)
    seen = (world - origin) @ pitch_yaw_roll(filming.turn).T * filming.size
    seen[..., 2] *= filming.body_depth
    num_frames = len(seen)
    for hand, wrist in ((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST)):
        flat = seen[:, wrist, 2, None]
        seen[:, hand, 2] = flat + (seen[:, hand, 2] - flat) * filming.hand_depth / filming.body_depth
        seen[:, hand] += WANDER_M * unrest(rng, num_frames, 3, 0.4, fps)[:, None]
    seen += rng.normal(0.0, JITTER_M, seen.shape) * (1.0, 1.0, 2.0)
    confidence = np.ones(seen.shape[:2])
    confidence[:, [R_HIP, L_HIP]] = float(filming.hips)
    middle = seen[:, MID_TORSO, 1].mean(axis=1)
    for hand, wrist in ((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST)):
        lost = _lost(seen[:, wrist, 1] > middle, rng)
        seen[:, hand.start] = seen[:, wrist]
        seen[lost, hand.start + 1 : hand.stop] = np.nan
        confidence[lost, hand.start + 1 : hand.stop] = 0.0
    return seen, confidence


def _lost(raised: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T] frames in which a hand is not found: stretches of a few frames while it is raised, most of the rest."""
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
