"""From a video to the windows worth encoding: decode, cut, gate. The half of embedding that needs no encoder."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from model.encoder import EncoderInfo, Floats, Ints
from model.motion import window_motion
from model.video import FrameStream, VideoFacts, VideoLimits, VideoSource, open_frames
from model.windows import Window, slide, window_starts

STILL = 3.0
"""Windows whose most restless block varies by less, grey levels, are not encoded: docs/decisions/motion-gate.md."""

CUT_VERSION = 1
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
    """Rows and columns of a frame, pixels."""
    stride_frames: int
    """Frames between window starts."""
    still: float = STILL
    """Windows with less motion than this are left out, grey levels; 0 keeps all."""

    @classmethod
    def of(cls, info: EncoderInfo, *, stride_frames: int | None = None, still: float = STILL) -> "Cutting":
        """What an encoder asks for; the stride may be another than it was meant for."""
        config = info.config
        stride = stride_frames or info.stride_frames
        return cls(
            fps=info.fps, num_frames=config.num_frames, size=config.image_size, stride_frames=stride, still=still
        )

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


class WindowStream(Iterator[MovingWindow]):
    """The windows of one clip in which something moves, with how much. Not to be shared between threads.

    Reading raises what reading frames raises, see `model.video.FrameStream`.
    """

    def __init__(self, frames: FrameStream, cutting: Cutting, start_s: float) -> None:
        self._frames = frames
        self._start_s = start_s
        self._windows = moving(slide(frames, cutting.num_frames, cutting.stride_frames), cutting.still)

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


def moving(windows: Iterable[Window], still: float) -> Iterator[MovingWindow]:
    """The windows in which something moves, with how much; where nothing does anywhere, the least still one.

    Args:
        windows: of one clip, in order.
        still: grey levels; windows with less motion are left out.
    """
    passed, best = False, None
    for window in windows:
        motion = window_motion(window.frames)
        if motion >= still:
            passed = True
            yield window, motion
        elif not passed and (best is None or motion > best[1]):
            best = (window, motion)
    if not passed and best is not None:
        yield best
