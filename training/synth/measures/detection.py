"""Detection: what MediaPipe finds in rendered clips, against the exact keypoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.skeleton.kinematics import (
    L_HIP,
    L_SHOULDER,
    L_WRIST,
    LEFT_HAND,
    R_HIP,
    R_SHOULDER,
    R_WRIST,
    RIGHT_HAND,
)
from model.skeleton.rotations import Reals
from training.errors import PoseError
from training.synth.measures.fidelity import error_summary
from training.synth.reenactment.clip_landmarks import read_clip_landmarks


@dataclass(frozen=True)
class Detection:
    """MediaPipe Holistic's detections in rendered clips against the exact keypoints.

    A hand counts as active in a frame where its wrist is above the middle of the trunk and all of it is in the picture.
    Errors are in the picture, in shoulder widths; where the detector sees a joint differs from where the skeleton has
    it, so a part of every error is the same in every frame.
    """

    num_clips: int
    num_active_frames: int
    body_found: float
    """Share of the frames with an active hand in which the body was found."""
    hands_found: float
    """Share of active hands that were found."""
    real_hands_found: float
    """Share found of the active hands of the real clips, where the wrist of the body the detector found tells which are
    active and in the picture; NaN where no real clips were given."""
    arm_error: Reals
    """[3] median, mean and 90th percentile over shoulders, elbows and wrists."""
    hand_error: Reals
    """[3] likewise over the 21 keypoints of active hands that were found."""
    hand_shape_error: Reals
    """[3] likewise with the wrists put together."""
    jitter: Reals
    """[2] of the detector over the rendered and over the real clips: median distance of an active hand's keypoint from
    the middle of where it was a frame before and a frame after; the latter NaN where no real clips were given."""


def measure_detection(truths: Sequence[Path], found: Sequence[Path], real: Sequence[Path] = ()) -> Detection:
    """Compare a detector's landmarks with the exact keypoints.

    Args:
        truths: exact keypoints of rendered clips (.npz: world, pixels, inside).
        found: the landmarks of the same clips, in the same order (.npz as `read_clip_landmarks` takes).
        real: landmarks of real clips, for the detector's own jitter.

    Raises:
        PoseError: there are no clips, their numbers differ, or landmarks are missing or damaged.
    """
    if not truths or len(truths) != len(found):
        raise PoseError(
            f"{len(truths)} clips with keypoints and {len(found)} with landmarks; wanted are the same, one at least"
        )
    columns: dict[str, list[Reals]] = {}
    for truth, landmarks in zip(truths, found, strict=True):
        for name, values in _detected(truth, landmarks).items():
            columns.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    others = float(np.median(np.concatenate([_real_jitter(file) for file in real]))) if real else np.nan
    real_found = float(np.concatenate([_real_found(file) for file in real]).mean()) if real else np.nan
    return Detection(
        len(truths),
        len(joined["body_found"]),
        float(joined["body_found"].mean()),
        float(joined["hand_found"].mean()),
        real_found,
        error_summary(joined["arm_error"]),
        error_summary(joined["hand_error"]),
        error_summary(joined["hand_shape_error"]),
        np.array([np.median(joined["jitter"]), others]),
    )


def _detected(truth: Path, landmarks: Path) -> dict[str, Reals]:
    with np.load(truth) as arrays:
        pixels, inside, size = arrays["pixels"].astype(float), arrays["inside"], arrays["size"]
    clip = read_clip_landmarks(landmarks, (int(size[0]), int(size[1])))
    num_frames = min(len(pixels), clip.num_frames)
    pixels, inside = pixels[:num_frames] * np.array([1.0, -1.0]), inside[:num_frames]
    width = float(np.median(np.linalg.norm(pixels[:, L_SHOULDER] - pixels[:, R_SHOULDER], axis=-1)))
    middle = pixels[:, [L_SHOULDER, R_SHOULDER, L_HIP, R_HIP], 1].mean(axis=1)
    body = ~np.isnan(clip.body[:num_frames, 0, 0])
    arms = np.linalg.norm(clip.image[:num_frames][:, [12, 14, 16, 11, 13, 15]] - pixels[:, :6], axis=-1)
    result: dict[str, list[Reals]] = {name: [] for name in ("hand_found", "hand_error", "hand_shape_error", "jitter")}
    any_active = np.zeros(num_frames, bool)
    for hand, part, wrist in ((clip.left, LEFT_HAND, L_WRIST), (clip.right, RIGHT_HAND, R_WRIST)):
        active = (pixels[:, wrist, 1] > middle) & inside[:, part].all(axis=1)
        any_active |= active
        seen = hand[:num_frames, :, :2]
        there = active & ~np.isnan(seen[:, 0, 0])
        away = seen - pixels[:, part]
        result["hand_found"].append(there[active].astype(float))
        result["hand_error"].append(np.linalg.norm(away[there], axis=-1).ravel() / width)
        result["hand_shape_error"].append(np.linalg.norm(away - away[:, :1], axis=-1)[there].ravel() / width)
        result["jitter"].append(_jitter(np.where(active[:, None, None], seen, np.nan)) / width)
    joined = {name: np.concatenate(values) for name, values in result.items()}
    return joined | {
        "body_found": body[any_active].astype(float),
        "arm_error": arms[any_active & body].ravel() / width,
    }


def _real_found(file: Path) -> Reals:
    """For every active hand of a real clip 1 if it was found, 0 if not."""
    clip = read_clip_landmarks(file)
    with np.load(file) as arrays:
        size = arrays["size"].astype(float)
    middle = clip.image[:, [11, 12, 23, 24], 1].mean(axis=1)
    found = []
    for hand, row in ((clip.left, 15), (clip.right, 16)):
        wrist = clip.image[:, row] * np.array([1.0, -1.0])
        active = (clip.image[:, row, 1] > middle) & ((wrist >= 0) & (wrist < size)).all(axis=-1)
        found.append(~np.isnan(hand[active, 0, 0]))
    return np.concatenate(found).astype(float)


def _real_jitter(file: Path) -> Reals:
    clip = read_clip_landmarks(file)
    shoulders = clip.image[:, 11] - clip.image[:, 12]
    middle = clip.image[:, [11, 12, 23, 24], 1].mean(axis=1)
    width = float(np.nanmedian(np.linalg.norm(shoulders, axis=-1)))
    moved = [
        _jitter(np.where((clip.image[:, wrist, 1] > middle)[:, None, None], hand[..., :2], np.nan))
        for hand, wrist in ((clip.left, 15), (clip.right, 16))
    ]
    return np.concatenate(moved) / width


def _jitter(points: Reals) -> Reals:
    """Distance of every point from the middle of where it was before and is after, where all three are known."""
    away = np.linalg.norm(points[1:-1] - 0.5 * (points[:-2] + points[2:]), axis=-1)
    known: Reals = away[~np.isnan(away)]
    return known
