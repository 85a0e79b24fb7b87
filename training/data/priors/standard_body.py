"""The standard body: every bone at its median length over a data set, both sides alike."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from model.skeleton.kinematics import (
    BONES,
    L_SHOULDER,
    R_SHOULDER,
    Proportions,
    measure,
    median_proportions,
    mirror_points,
    standard_proportions,
)
from model.skeleton.normalisation import MIN_CONFIDENCE, normalise, regenerate
from model.skeleton.rotations import Reals
from training.errors import TrainingError


def standard_body(clips: Iterable[tuple[Reals, Reals]]) -> Proportions:
    """The median proportions of a data set, both sides alike; bones that nobody shows are scaled from a middling adult.

    Args:
        clips: keypoints [T, 61, 3] in metres and confidence [T, 61] of each clip. Every clip counts by its median, so
            that long ones do not decide.
    """
    measured = []
    for keypoints, confidence in clips:
        seen = np.where((confidence >= MIN_CONFIDENCE)[..., None], keypoints, np.nan)
        measured.append(_quiet_median(measure(np.concatenate([seen, mirror_points(seen)]))))
    if not measured:
        return standard_proportions()
    found = _quiet_median(
        Proportions(np.stack([one.lengths for one in measured]), np.stack([one.face for one in measured]))
    )
    usual = standard_proportions()
    ratio = np.nanmedian(found.lengths / usual.lengths) if np.isfinite(found.lengths).any() else 1.0
    return Proportions(
        np.where(np.isfinite(found.lengths), found.lengths, ratio * usual.lengths),
        np.where(np.isfinite(found.face), found.face, ratio * usual.face),
    )


def _quiet_median(proportions: Proportions) -> Proportions:
    """The medians; NaN, without a warning, for what is nowhere known."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        return median_proportions(proportions)


def write_body(path: Path, body: Proportions) -> None:
    """Write a standard body as JSON, its bones by name."""
    lengths = {bone.name: round(float(length), 5) for bone, length in zip(BONES, body.lengths, strict=True)}
    path.write_text(json.dumps({"unit": "m", "lengths": lengths, "face": body.face.round(5).tolist()}, indent=1) + "\n")


def read_body(path: Path) -> Proportions:
    """Read what `write_body` wrote.

    Raises:
        TrainingError: the file is not a standard body.
    """
    try:
        stored = json.loads(path.read_text())
        return Proportions(np.array([stored["lengths"][bone.name] for bone in BONES]), np.array(stored["face"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} is not a standard body ({error}); `python -m training.data priors measure` writes one"
        ) from error


def regeneration_error(keypoints: Reals, confidence: Reals, body: Proportions | None) -> Reals:
    """[T, 61, 3] from every known keypoint to itself regenerated, in shoulder widths; NaN where unknown.

    Args:
        keypoints: [T, 61, 3] metres.
        confidence: [T, 61].
        body: whose bones; None for the clip's own medians.
    """
    own = standard_body([(keypoints, confidence)])
    body = own if body is None else body
    pose = normalise(keypoints, confidence)
    centred = keypoints - (keypoints[:, L_SHOULDER, None] + keypoints[:, R_SHOULDER, None]) / 2.0
    made, seen = (points / (2.0 * one.lengths[2]) for points, one in ((regenerate(pose, body), body), (centred, own)))
    away: Reals = np.where(pose.known[..., None], made - seen, np.nan)
    return away
