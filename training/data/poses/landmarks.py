"""Landmarks of clips on disk, one .npz per clip; see `model.skeleton.landmarks` for what they are."""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model.errors import NoSignerError
from model.skeleton.landmarks import Landmarks
from training.errors import LandmarksError, LengthMismatchError

ARRAYS = {"pose": (33, 4), "world": (33, 4), "left": (21, 4), "right": (21, 4)}
MAX_LENGTH_SHARE = 0.02
"""Clip and landmarks may differ by this share of their frames: re-encoding drops or doubles one at times."""


def read_landmarks(file: Path) -> Landmarks:
    """The landmarks of one clip from an .npz: pose, world, left, right, fps, size, and times_s where rates vary.

    Raises:
        LandmarksError: the file is missing or damaged, or an array has another shape.
        NoSignerError: no body was found in any frame.
    """
    try:
        with np.load(file) as stored:
            arrays: dict[str, NDArray[Any]] = {name: np.asarray(stored[name], np.float64) for name in ARRAYS}
            fps, size = float(stored["fps"]), stored["size"].tolist()
            times_s = stored["times_s"].astype(np.float64) if "times_s" in stored else None
    except FileNotFoundError as error:
        raise LandmarksError(f"{file} is not there; `python -m training.data pose` writes landmarks") from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise LandmarksError(
            f"{file} holds no landmarks ({error}); wanted are {', '.join(ARRAYS)}, fps and size: delete it and run "
            "`python -m training.data pose` again"
        ) from error
    num_frames = len(arrays["pose"])
    seen = {name: array.shape for name, array in arrays.items()}
    if seen != {name: (num_frames, *shape) for name, shape in ARRAYS.items()} or num_frames == 0:
        raise LandmarksError(f"{file} has arrays of shapes {seen}; wanted are [T, *] with {ARRAYS}, T at least 1")
    if not np.isfinite(arrays["world"][:, 0, 0]).any():
        raise NoSignerError(f"nobody was found in any of the {num_frames} frames of {file}")
    times_s = np.arange(num_frames) / fps if times_s is None else times_s
    return Landmarks(**arrays, fps=fps, size=(size[0], size[1]), times_s=times_s)


def check_length(num_pictures: int, landmarks: Landmarks) -> None:
    """Make sure that landmarks are of this clip.

    Raises:
        LengthMismatchError: they have another number of frames.
    """
    if abs(num_pictures - landmarks.num_frames) > max(1, MAX_LENGTH_SHARE * num_pictures):
        raise LengthMismatchError(
            f"the clip has {num_pictures} frames, its landmarks {landmarks.num_frames}; they may differ by "
            f"{MAX_LENGTH_SHARE:.0%}: run `python -m training.data pose` on this clip again"
        )


def save_landmarks(file: BinaryIO, landmarks: Landmarks) -> None:
    """Write an .npz that `read_landmarks` reads, in half precision: about what the estimator is exact to."""
    np.savez_compressed(
        file,
        pose=landmarks.pose.astype(np.float16),
        world=landmarks.world.astype(np.float16),
        left=landmarks.left.astype(np.float16),
        right=landmarks.right.astype(np.float16),
        fps=np.float64(landmarks.fps),
        size=np.array(landmarks.size),
        times_s=landmarks.times_s.astype(np.float32),
    )
