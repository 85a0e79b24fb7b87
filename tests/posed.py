"""A person of known keypoints, as MediaPipe would see them, with a clip to go with it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.skeleton.kinematics import (
    LEFT_HAND,
    RIGHT_HAND,
    Angles,
    Proportions,
    forward,
    standard_proportions,
    standing,
)
from model.skeleton.landmarks import BODY_LANDMARKS, Landmarks
from tests.clips import moving_square, write_clip
from training.data.poses.landmarks import save_landmarks

Points = NDArray[np.float64]
SIZE = (320, 240)


def raised_arm(num_frames: int = 40, *, bend_deg: float = 120.0, move_deg: float = 15.0) -> Angles:
    """Standing, the right forearm lifted in front of the chest and waving, its fingers closing and opening."""
    rest = standing()
    body = np.tile(rest.body, (num_frames, 1))
    right = np.tile(rest.right, (num_frames, 1))
    phase = np.sin(np.arange(num_frames) / 4.0)
    body[:, 14] += np.deg2rad(20.0)  # the upper arm forward
    body[:, 16] += np.deg2rad(bend_deg) + np.deg2rad(move_deg) * phase
    for finger in range(4):
        right[:, 10 + 8 * finger] += np.deg2rad(30.0) * (1.0 + phase)
    return Angles(body, np.tile(rest.left, (num_frames, 1)), right)


def keypoints_of(angles: Angles, proportions: Proportions | None = None) -> Points:
    """[T, 61, 3] metres from between the hips."""
    return forward(angles, proportions or standard_proportions())


def landmarks_of(keypoints: Points, *, fps: float = 25.0, widths_per_m: float = 0.45) -> Landmarks:
    """What a far camera, and an estimator without error, would make of keypoints."""
    width, height = SIZE
    to_shares = np.array([widths_per_m, -widths_per_m * width / height, -widths_per_m])
    shares = keypoints * to_shares + np.array([0.5, 0.75, 0.0])
    seen = np.ones((*keypoints.shape[:2], 1))
    pose, world = np.zeros((2, len(keypoints), 33, 4))
    pose[:, BODY_LANDMARKS] = np.concatenate([shares, seen], axis=-1)[:, :19]
    world[:, BODY_LANDMARKS] = np.concatenate([keypoints * [1.0, -1.0, -1.0], seen], axis=-1)[:, :19]
    hands = []
    for rows in (LEFT_HAND, RIGHT_HAND):
        hand = np.concatenate([shares[:, rows], 0.0 * seen[:, rows]], axis=-1)
        hand[..., 2] -= hand[:, :1, 2]
        hands.append(hand)
    return Landmarks(pose, world, *hands, fps=fps, size=SIZE, times_s=np.arange(len(keypoints)) / fps)


def write_posed_clip(video: Path, landmarks: Path, seen: Landmarks, *, num_frames: int | None = None) -> None:
    """A clip of something that moves, and its landmarks."""
    video.parent.mkdir(parents=True, exist_ok=True)
    landmarks.parent.mkdir(parents=True, exist_ok=True)
    count = num_frames or seen.num_frames
    write_clip(video, moving_square(count, width=SIZE[0], height=SIZE[1], centre=(160, 120)), fps=seen.fps)
    with landmarks.open("wb") as file:
        save_landmarks(file, seen)
