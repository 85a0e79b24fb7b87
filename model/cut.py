"""From a video to the windows worth encoding: decode, cut, gate. The half of embedding that needs no encoder."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from model.config import NUM_KEYPOINTS, EncoderConfig, Form
from model.encoder import EncoderInfo, Floats, Ints
from model.motion import block_means, motion
from model.video import FrameStream, VideoFacts, VideoLimits, VideoSource, open_frames
from model.windows import Window, slide, window_starts

STILL = 3.0
"""Windows whose most restless block varies by less, grey levels, are not encoded: docs/decisions/motion-gate.md."""

CONTEXT = 16
"""Frames over which motion is measured at least: in a moment even a moving hand stands nearly still."""

MAX_SIDE = 720
"""Pixels of the shorter side that pictures are reduced to before skeletons are found: the estimator sees 256."""

CUT_VERSION = 2
"""Raise it when the same video gives other windows than before: what was kept of them is then not used any more."""

DEFAULT_LIMITS = VideoLimits()

MovingWindow = tuple[Window, float]
"""A window and its motion in grey levels."""


@dataclass(frozen=True)
class Cutting:
    """How clips are cut into windows for one encoder."""

    fps: float
    """Frames per second at which the video is sampled."""
    num_frames: int
    """Frames in a window."""
    size: int
    """Rows and columns of a frame, pixels; of pictures in which skeletons are found, the most of the shorter side."""
    stride_frames: int
    """Frames between window starts."""
    still: float = STILL
    """Windows with less motion than this are left out, grey levels; 0 keeps all."""
    form: Form = Form.PICTURES
    """What windows are made of."""

    @classmethod
    def of(cls, info: EncoderInfo, *, stride_frames: int | None = None, still: float = STILL) -> "Cutting":
        """What an encoder asks for; the stride may be another than it was meant for."""
        config = info.config
        sees_pictures = isinstance(config, EncoderConfig)
        return cls(
            fps=info.fps,
            num_frames=config.num_frames,
            size=config.image_size if isinstance(config, EncoderConfig) else MAX_SIDE,
            stride_frames=stride_frames or info.stride_frames,
            still=still if sees_pictures else 0.0,
            form=config.form,
        )

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Of one frame of a window."""
        return (self.size, self.size, 3) if self.form == Form.PICTURES else (NUM_KEYPOINTS, 4)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a window."""
        return np.dtype(np.uint8 if self.form == Form.PICTURES else np.float32)

    @property
    def neighbours(self) -> int:
        """Windows before and after one that its motion is measured over as well."""
        return -(-max(0, CONTEXT - self.num_frames) // (2 * self.stride_frames))

    @property
    def window_s(self) -> float:
        """Seconds that a window shows."""
        return self.num_frames / self.fps


@dataclass(frozen=True)
class Seen:
    """What was learnt of a clip while it was cut."""

    start_s: float
    """Where the stretch begins in the video, seconds."""
    facts: VideoFacts
    warnings: tuple[str, ...]
    """Sentences for whoever sent the clip."""

    def starts(self, cutting: Cutting) -> Ints:
        """[N] start frame of every window of the clip, the still ones included."""
        return window_starts(self.facts.num_frames, cutting.num_frames, cutting.stride_frames)

    def window_start_s(self, cutting: Cutting) -> Floats:
        """[N] start of every window in the video, seconds."""
        return np.asarray(self.start_s + self.starts(cutting) / cutting.fps, np.float32)


class ClipStream(Iterator[MovingWindow], Protocol):
    """The windows of one clip that are worth encoding."""

    @property
    def seen(self) -> Seen:
        """What was learnt of the clip; known once every window was read."""
        ...


class WindowStream(Iterator[MovingWindow]):
    """The pictures of one clip as windows in which something moves, with how much. Not to be shared between threads.

    Reading raises what reading frames raises, see `model.video.FrameStream`.
    """

    def __init__(self, frames: FrameStream, cutting: Cutting, start_s: float) -> None:
        self._frames = frames
        self._start_s = start_s
        windows = slide(frames, cutting.num_frames, cutting.stride_frames)
        self._windows = moving(with_motion(windows, cutting.neighbours), cutting.still)

    def __next__(self) -> MovingWindow:
        return next(self._windows)

    @property
    def seen(self) -> Seen:
        """What was learnt of the clip; known once every window was read."""
        return Seen(self._start_s, self._frames.facts, tuple(self._frames.warnings))


@contextmanager
def open_windows(
    source: VideoSource,
    cutting: Cutting,
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Iterator[WindowStream]:
    """Open a clip for reading its windows.

    Args:
        source: a path, or a seekable binary file object.
        cutting: how it is cut.
        limits: what is refused.
        start_s: where the stretch begins, seconds.
        end_s: where it ends; None for the end of the video.

    Raises:
        VideoError: the video can't be used, and why; here or while reading.
    """
    frames = open_frames(source, fps=cutting.fps, size=cutting.size, limits=limits, start_s=start_s, end_s=end_s)
    with frames:
        yield WindowStream(frames, cutting, start_s)


def with_motion(windows: Iterable[Window], neighbours: int) -> Iterator[MovingWindow]:
    """Every window with the motion around it.

    Args:
        windows: of one clip, in order.
        neighbours: as many before and after count too.
    """
    held: deque[tuple[Window, Floats]] = deque(maxlen=2 * neighbours + 1)
    num_held = num_told = 0
    for window in windows:
        held.append((window, block_means(window.frames)))
        num_held += 1
        if num_held > neighbours:
            yield _told(held, num_told - num_held)
            num_told += 1
    for number in range(num_told, num_held):
        while number - neighbours > num_held - len(held):
            held.popleft()
        yield _told(held, number - num_held)


def _told(held: Sequence[tuple[Window, Floats]], place: int) -> MovingWindow:
    return held[place][0], motion(np.concatenate([means for _, means in held]))


def moving(windows: Iterable[MovingWindow], still: float) -> Iterator[MovingWindow]:
    """The windows in which something moves; where nothing does anywhere, the least still one.

    Args:
        windows: of one clip, in order, with their motion.
        still: grey levels; windows with less motion are left out.
    """
    passed, best = False, None
    for window, amount in windows:
        if amount >= still:
            passed = True
            yield window, amount
        elif not passed and (best is None or amount > best[1]):
            best = (window, amount)
    if not passed and best is not None:
        yield best
