"""Pose estimators, which find the landmarks of a signer in pictures: the seam, and MediaPipe Holistic behind it.

An estimator tracks one person from picture to picture, so the pictures of a clip are given to it in order, and
`start_clip` says where another clip starts: then its results do not depend on the clips before.

MediaPipe is in the dependency group `pose`, which no other part of the project needs; on Debian it wants the packages
libgl1 and libegl1. An estimator crosses process borders by its name, `module:function`.
"""

import contextlib
import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from model.encoder import Frames
from model.errors import EstimatorError, NoSignerError
from model.skeleton.landmarks import Landmarks
from model.skeleton.rotations import Reals

MIN_TRACKING_CONFIDENCE = 0.5
"""What MediaPipe's detector and its tracker must reach."""
HOW_TO_INSTALL = (
    "install the dependency group `pose`, in an environment without torch: `make .venv-pose/.ready`, or"
    " UV_PROJECT_ENVIRONMENT=.venv-pose uv sync --no-default-groups --group cpu --group pose, and on Debian the"
    " packages libgl1 and libegl1"
)


@dataclass(frozen=True)
class FrameLandmarks:
    """The landmarks of one picture; NaN where nothing was found."""

    pose: Reals
    """[33, 4]; like those of `Landmarks`."""
    world: Reals
    """[33, 4]."""
    left: Reals
    """[21, 4]."""
    right: Reals
    """[21, 4]."""


class Estimator(Protocol):
    """Finds landmarks, picture after picture. Belongs to one thread."""

    def start_clip(self) -> None:
        """Forget the clip before: the next picture is the first of another one."""
        ...

    def find(self, picture: Frames) -> FrameLandmarks:
        """The landmarks of the next picture of a clip, [H, W, 3] uint8 RGB."""
        ...

    def close(self) -> None:
        """Free its resources."""
        ...


@dataclass(frozen=True)
class MediaPipeOptions:
    """Options of MediaPipe Holistic."""

    complexity: int = 1
    """Of its pose network: 0, 1 or 2. 2 is not in the wheel."""


EstimatorFactory = Callable[[MediaPipeOptions], Estimator]


def open_estimator(name: str) -> Estimator:
    """The estimator of a name, `module:function`.

    Raises:
        EstimatorError: it is not installed, or does not start.
    """
    module, _, function = name.partition(":")
    opened: Estimator = getattr(importlib.import_module(module), function)()
    return opened


class SharedEstimator:
    """The estimator of a process, opened when first needed. Threads take turns: it tracks one clip at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._opened: Estimator | None = None

    @contextmanager
    def acquire(self) -> Iterator[Estimator]:
        """The estimator, for this thread alone.

        Raises:
            EstimatorError: it is not installed, or does not start.
        """
        with self._lock:
            if self._opened is None:
                self._opened = open_estimator(self._name)
            yield self._opened


@functools.cache
def shared_estimator(name: str) -> SharedEstimator:
    """This process's only one: opening one takes seconds, and hundreds of megabytes."""
    return SharedEstimator(name)


def require_mediapipe() -> None:
    """Make sure that MediaPipe is installed, without the seconds that loading it takes.

    Raises:
        EstimatorError: it is not, and how to install it.
    """
    if find_spec("mediapipe") is None:
        raise EstimatorError(f"finding skeletons in videos needs MediaPipe, which is not installed: {HOW_TO_INSTALL}")


def stack_landmarks(
    found: Sequence[FrameLandmarks], times_s: Sequence[float], *, fps: float, size: tuple[int, int]
) -> Landmarks:
    """The landmarks of a clip, from those of its pictures.

    Args:
        found: of each picture, at least one.
        times_s: when each came on display, from the first one on.
        fps: pictures per second, on average.
        size: width and height of the pictures.

    Raises:
        NoSignerError: nobody was found in any picture.
    """
    arrays = {name: np.stack([getattr(one, name) for one in found]) for name in ("pose", "world", "left", "right")}
    if not np.isfinite(arrays["world"][:, 0, 0]).any():
        raise NoSignerError(f"nobody was found in any of the {len(found)} frames: is a signer in the picture?")
    return Landmarks(**arrays, fps=fps, size=size, times_s=np.asarray(times_s, np.float64))


# ---------------------------------------------------------------------------------------------------------- MediaPipe


class _Landmark(Protocol):
    x: float
    y: float
    z: float
    visibility: float


class _Landmarks(Protocol):
    landmark: Sequence[_Landmark]


class _Result(Protocol):
    pose_landmarks: _Landmarks | None
    pose_world_landmarks: _Landmarks | None
    left_hand_landmarks: _Landmarks | None
    right_hand_landmarks: _Landmarks | None


class Holistic(Protocol):
    """What is used of MediaPipe, which has no types."""

    def process(self, image: Frames) -> _Result:
        """The landmarks of the next picture."""
        ...

    def reset(self) -> None:
        """Forget the person tracked so far."""
        ...

    def close(self) -> None:
        """Free its resources."""
        ...


class MediaPipeEstimator:
    """MediaPipe Holistic as an `Estimator`."""

    def __init__(self, holistic: Holistic) -> None:
        self._holistic = holistic

    def start_clip(self) -> None:
        """See `Estimator`."""
        self._holistic.reset()

    def find(self, picture: Frames) -> FrameLandmarks:
        """See `Estimator`."""
        result = self._holistic.process(picture)
        return FrameLandmarks(
            _array(result.pose_landmarks, 33),
            _array(result.pose_world_landmarks, 33),
            _array(result.left_hand_landmarks, 21),
            _array(result.right_hand_landmarks, 21),
        )

    def close(self) -> None:
        """See `Estimator`."""
        self._holistic.close()


def _array(found: _Landmarks | None, count: int) -> Reals:
    """[count, 4] x, y, z, visibility; NaN where nothing was found."""
    if found is None:
        return np.full((count, 4), np.nan)
    return np.array([[mark.x, mark.y, mark.z, mark.visibility] for mark in found.landmark])


def open_mediapipe(options: MediaPipeOptions = MediaPipeOptions()) -> MediaPipeEstimator:
    """MediaPipe Holistic, its networks loaded.

    Raises:
        EstimatorError: it is not installed, or a library of the system is missing.
    """
    require_mediapipe()
    _mute()
    try:
        from mediapipe.python.solutions.holistic import Holistic
    except ImportError as error:
        raise EstimatorError(f"MediaPipe can't be loaded ({error}): {HOW_TO_INSTALL}") from error
    holistic = Holistic(
        model_complexity=options.complexity,
        min_detection_confidence=MIN_TRACKING_CONFIDENCE,
        min_tracking_confidence=MIN_TRACKING_CONFIDENCE,
    )
    holistic.process(np.zeros((64, 64, 3), np.uint8))  # networks are loaded at the first picture
    return MediaPipeEstimator(holistic)


def _mute() -> None:
    """Discard what C++ libraries write to the error stream; Python's own output still arrives.

    MediaPipe writes lines for every network at every clip, and its log can't be turned down before it starts.
    """
    with contextlib.suppress(OSError):  # a stream that is no file is not theirs to write to
        if sys.stderr.fileno() == 2:
            sys.stderr.flush()
            sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
