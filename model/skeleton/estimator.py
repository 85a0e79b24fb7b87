"""What finds the landmarks of a signer in a picture: MediaPipe Holistic, and the seam before it.

An estimator follows one person from picture to picture, so the pictures of a clip are given to it in order, and it is
told where another clip begins: then what it gives does not depend on what it has seen before.

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

MEDIAPIPE = "model.skeleton.estimator:open_mediapipe"
"""Name of the estimator that serves."""
HOW_TO_INSTALL = (
    "install the dependency group `pose`, in an environment without torch: `make .venv-pose/.ready`, or"
    " UV_PROJECT_ENVIRONMENT=.venv-pose uv sync --no-default-groups --group cpu --group pose, and on Debian the"
    " packages libgl1 and libegl1"
)


@dataclass(frozen=True)
class Found:
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

    def begin(self) -> None:
        """Forget what was seen: the next picture is the first of another clip."""
        ...

    def find(self, picture: Frames) -> Found:
        """The landmarks of the next picture of a clip, [H, W, 3] uint8 RGB."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


@dataclass(frozen=True)
class Options:
    """How MediaPipe looks."""

    complexity: int = 1
    """Of its pose network: 0, 1 or 2. 2 is not in the wheel."""
    confidence: float = 0.5
    """What its detector and its tracker must reach."""


Opener = Callable[[Options], Estimator]


def open_estimator(name: str) -> Estimator:
    """The estimator of a name, `module:function`.

    Raises:
        EstimatorError: it is not installed, or does not start.
    """
    module, _, function = name.partition(":")
    opened: Estimator = getattr(importlib.import_module(module), function)()
    return opened


class SharedEstimator:
    """The estimator of a process, opened when it is first needed. Threads take turns: it follows one clip at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._turn = threading.Lock()
        self._opened: Estimator | None = None

    @contextmanager
    def taken(self) -> Iterator[Estimator]:
        """Have it to oneself.

        Raises:
            EstimatorError: it is not installed, or does not start.
        """
        with self._turn:
            if self._opened is None:
                self._opened = open_estimator(self._name)
            yield self._opened


@functools.cache
def shared_estimator(name: str) -> SharedEstimator:
    """The one of this process: opening one takes seconds, and hundreds of megabytes."""
    return SharedEstimator(name)


def require_mediapipe() -> None:
    """Make sure that MediaPipe is installed, without the seconds that loading it takes.

    Raises:
        EstimatorError: it is not, and how to install it.
    """
    if find_spec("mediapipe") is None:
        raise EstimatorError(f"finding skeletons in videos needs MediaPipe, which is not installed: {HOW_TO_INSTALL}")


def landmarks_of(found: Sequence[Found], times_s: Sequence[float], *, fps: float, size: tuple[int, int]) -> Landmarks:
    """What was found in the pictures of a clip.

    Args:
        found: per picture, at least one.
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
        """What is seen in the next picture."""
        ...

    def reset(self) -> None:
        """Begin again."""
        ...

    def close(self) -> None:
        """End."""
        ...


class MediaPipe:
    """MediaPipe Holistic as an `Estimator`."""

    def __init__(self, holistic: Holistic) -> None:
        self._holistic = holistic

    def begin(self) -> None:
        """See `Estimator`."""
        self._holistic.reset()

    def find(self, picture: Frames) -> Found:
        """See `Estimator`."""
        result = self._holistic.process(picture)
        return Found(
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


def open_mediapipe(options: Options = Options()) -> MediaPipe:
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
        min_detection_confidence=options.confidence,
        min_tracking_confidence=options.confidence,
    )
    holistic.process(np.zeros((64, 64, 3), np.uint8))  # networks are loaded at the first picture
    return MediaPipe(holistic)


def _mute() -> None:
    """Send nowhere what C++ libraries write to the error stream; Python's own words still arrive.

    MediaPipe writes lines for every network at every clip, and its log can't be turned down before it starts.
    """
    with contextlib.suppress(OSError):  # a stream that is no file is not theirs to write to
        if sys.stderr.fileno() == 2:
            sys.stderr.flush()
            sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
