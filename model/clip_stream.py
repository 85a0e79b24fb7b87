"""From a video to the windows worth encoding: decode, slide, gate by motion. Needs no encoder."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from model.config import NUM_KEYPOINTS, EncoderConfig, WindowForm
from model.encoder import EncoderInfo, Floats, Ints
from model.motion import block_means, motion
from model.video import FrameStream, VideoInfo, VideoLimits, VideoSource, open_frames
from model.windows import Window, slide, window_starts

STILL = 3.0
"""Windows whose most restless block varies by less, grey levels, are not encoded: docs/decisions/motion-gate.md."""

MIN_MOTION_FRAMES = 16
"""Frames over which motion is measured at least: in a moment even a moving hand stands nearly still."""

MAX_SIDE = 720
"""Pixels of the shorter side that pictures are reduced to before skeletons are estimated: the estimator sees 256."""

WINDOWING_VERSION = 2
"""Raise it when the same video gives other windows than before: cached embeddings are then no longer used."""

DEFAULT_LIMITS = VideoLimits()

MovingWindow = tuple[Window, float]
"""A window and its motion in grey levels."""


@dataclass(frozen=True)
class WindowingConfig:
    """How clips become windows for one encoder."""

    fps: float
    """Frames per second at which the video is sampled."""
    num_frames: int
    """Frames in a window."""
    size: int
    """Rows and columns of a frame, pixels; for skeletons, the most of the pictures' shorter side."""
    stride_frames: int
    """Frames between window starts."""
    still: float = STILL
    """Windows with less motion than this are left out, grey levels; 0 keeps all."""
    form: WindowForm = WindowForm.PICTURES
    """What windows are made of."""

    @classmethod
    def of(cls, info: EncoderInfo, *, stride_frames: int | None = None, still: float = STILL) -> Self:
        """The windows that an encoder takes, by default at the stride it was made for."""
        config = info.config
        takes_pictures = isinstance(config, EncoderConfig)
        return cls(
            fps=info.fps,
            num_frames=config.num_frames,
            size=config.image_size if isinstance(config, EncoderConfig) else MAX_SIDE,
            stride_frames=stride_frames or info.stride_frames,
            still=still if takes_pictures else 0.0,
            form=config.form,
        )

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of one frame of a window."""
        return (self.size, self.size, 3) if self.form == WindowForm.PICTURES else (NUM_KEYPOINTS, 4)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a window's values."""
        return np.dtype(np.uint8 if self.form == WindowForm.PICTURES else np.float32)

    @property
    def num_neighbours(self) -> int:
        """Windows on either side of one over which its motion is measured too."""
        return -(-max(0, MIN_MOTION_FRAMES - self.num_frames) // (2 * self.stride_frames))

    @property
    def window_s(self) -> float:
        """Duration of a window, seconds."""
        return self.num_frames / self.fps


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip once all of it was read."""

    start_s: float
    """Where the clip starts in the video, seconds."""
    video_info: VideoInfo
    warnings: tuple[str, ...]
    """Sentences for whoever sent the clip."""

    def starts(self, windowing: WindowingConfig) -> Ints:
        """[N] start frame of every window of the clip, the still ones included."""
        return window_starts(self.video_info.num_frames, windowing.num_frames, windowing.stride_frames)

    def window_start_s(self, windowing: WindowingConfig) -> Floats:
        """[N] start of every window in the video, seconds."""
        return np.asarray(self.start_s + self.starts(windowing) / windowing.fps, np.float32)


class ClipStream(Iterator[MovingWindow], Protocol):
    """The windows of one clip that are worth encoding."""

    @property
    def info(self) -> ClipInfo:
        """What is known of the clip; only after the last window was read."""
        ...


class PictureStream(Iterator[MovingWindow]):
    """The windows of one clip's pictures in which something moves, with how much. Not to be shared between threads.

    Reading raises what reading frames raises, see `model.video.FrameStream`.
    """

    def __init__(self, frames: FrameStream, windowing: WindowingConfig, start_s: float) -> None:
        self._frames = frames
        self._start_s = start_s
        windows = slide(frames, windowing.num_frames, windowing.stride_frames)
        self._windows = moving_windows(with_motion(windows, windowing.num_neighbours), windowing.still)

    def __next__(self) -> MovingWindow:
        return next(self._windows)

    @property
    def info(self) -> ClipInfo:
        """See `ClipStream`."""
        return ClipInfo(self._start_s, self._frames.info, tuple(self._frames.warnings))


@contextmanager
def open_pictures(
    source: VideoSource,
    windowing: WindowingConfig,
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Iterator[PictureStream]:
    """Open a clip for reading windows of its pictures.

    Args:
        source: a path, or a seekable binary file object.
        windowing: the windows to make.
        limits: what is refused.
        start_s: where the clip starts in the video, seconds.
        end_s: where it ends; None for the end of the video.

    Raises:
        VideoError: the video can't be used, and why; here or while reading.
    """
    frames = open_frames(source, fps=windowing.fps, size=windowing.size, limits=limits, start_s=start_s, end_s=end_s)
    with frames:
        yield PictureStream(frames, windowing, start_s)


def with_motion(windows: Iterable[Window], num_neighbours: int) -> Iterator[MovingWindow]:
    """Every window with its motion, measured over its neighbours too.

    Args:
        windows: of one clip, in order.
        num_neighbours: how many windows before and as many after count.
    """
    held: deque[tuple[Window, Floats]] = deque(maxlen=2 * num_neighbours + 1)
    num_read = num_given = 0
    for window in windows:
        held.append((window, block_means(window.frames)))
        num_read += 1
        if num_read > num_neighbours:
            yield _with_motion_over(held, num_given - num_read)
            num_given += 1
    for number in range(num_given, num_read):
        while number - num_neighbours > num_read - len(held):
            held.popleft()
        yield _with_motion_over(held, number - num_read)


def _with_motion_over(held: Sequence[tuple[Window, Floats]], position: int) -> MovingWindow:
    """The window at a position, with the motion over all that are held."""
    return held[position][0], motion(np.concatenate([means for _, means in held]))


def moving_windows(windows: Iterable[MovingWindow], still: float) -> Iterator[MovingWindow]:
    """The windows in which something moves; where nothing does in any, the one that moves most.

    Args:
        windows: of one clip, in order, with their motion.
        still: grey levels; windows with less motion are left out.
    """
    any_moves, best = False, None
    for window, amount in windows:
        if amount >= still:
            any_moves = True
            yield window, amount
        elif not any_moves and (best is None or amount > best[1]):
            best = (window, amount)
    if not any_moves and best is not None:
        yield best
