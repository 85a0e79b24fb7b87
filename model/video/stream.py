"""Sampling a video by time: frames at the encoder's rate, cut to a square that keeps the signer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from model.encoder import Frames
from model.errors import VideoBrokenError, VideoTooLongError, VideoTooShortError
from model.video.container import TimedPicture, VideoReader
from model.video.crop import cropped
from model.video.info import VideoInfo, VideoLimits, VideoSource
from model.video.picture import Reducer

TIME_TOLERANCE_S = 0.0006
"""Containers round times, WebM to milliseconds: a picture that starts this much later still counts as on display."""
MAX_DAMAGED_SHARE = 0.5
"""A time range with more of it lost or damaged is refused; with less it is used, with a warning."""
MIN_MISSING_S = 0.25
"""Declared durations are not exact to the picture; less than this is not worth a word."""
LATEST_START_S = 86_400.0
"""A time range that begins later is refused: no sign does, and the formats' numbers come to their ends."""

DEFAULT_LIMITS = VideoLimits()


@dataclass(frozen=True)
class Sampling:
    """Which frames are wanted of a video."""

    fps: float
    size: int
    """Rows and columns, pixels."""
    start_s: float
    end_s: float
    """Infinite: up to the video's end."""
    square: bool = True
    enlarge: bool = True


def open_frames(
    source: VideoSource,
    *,
    fps: float,
    size: int,
    limits: VideoLimits = DEFAULT_LIMITS,
    start_s: float = 0.0,
    end_s: float | None = None,
    threads: int = 1,
    square: bool = True,
    enlarge: bool = True,
) -> "FrameStream":
    """Open a video for reading frames: frame k shows the picture that is on display at `start_s + k / fps`.

    Time counts from the video's first picture. What can be refused without decoding is refused here, the rest while
    reading. Close the stream, or use it as a context manager; a file object that was handed in is left open.

    Args:
        source: a path, or a seekable binary file object, which is read from its beginning.
        fps: frames per second to give out.
        size: rows and columns of a frame, pixels.
        limits: what is refused.
        start_s: where it starts, seconds.
        end_s: where it ends; None or anything later than the video's end: there.
        threads: for decoding. 1 where several clips are decoded side by side; more help a single large clip, and hold
            as many more decoded pictures.
        square: False gives whole frames, of which the shorter side is `size`: for whoever knows better where to cut.
        enlarge: False leaves whole frames that are smaller as they are.

    Raises:
        NotAVideoError: there is no video in these bytes.
        VideoTooLargeError: too many bytes or pixels.
        VideoTooLongError: the time range lasts too long, by what the file declares.
        VideoTooShortError: the time range is empty.
        VideoBrokenError: the file starts as a video but its index is missing.
    """
    sampling = Sampling(fps, size, start_s, math.inf if end_s is None else end_s, square, enlarge)
    _check_stretch(sampling)
    return FrameStream(VideoReader(source, limits, threads), sampling, limits)


class FrameStream(Iterator[Frames]):
    """An iterator of uint8 [size, size, 3] RGB frames, contiguous, or of whole ones. Not to be shared between threads.

    Reading raises the errors of `open_frames` too, where only decoding tells: most often `VideoBrokenError` at the end,
    when it is known that most of the time range could not be decoded. A frame on display for longer than 1 / fps may be
    given out as one and the same array several times; don't write into it.
    """

    def __init__(self, reader: VideoReader, sampling: Sampling, limits: VideoLimits) -> None:
        self._reader = reader
        self._sampling = sampling
        self._limits = limits
        self._until_s = sampling.start_s
        self._damaged_s = 0.0
        self._num_pictures = 0
        self._num_frames = 0
        self._reducer: Reducer | None = None
        self._info: VideoInfo | None = None
        self._warnings: tuple[str, ...] = ()
        try:
            self._check_declared()
        except BaseException:
            self.close()
            raise
        self._frames = self._read()

    def __next__(self) -> Frames:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        if frames := getattr(self, "_frames", None):
            frames.close()
        self._reader.close()

    @property
    def info(self) -> VideoInfo:
        """Properties of the video; known once every frame was read.

        Raises:
            RuntimeError: there are frames left to read.
        """
        if self._info is None:
            raise RuntimeError("the properties of a video are known once all its frames were read; read on to the end")
        return self._info

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for whoever sent the video; known once every frame was read.

        Raises:
            RuntimeError: there are frames left to read.
        """
        if self._info is None:
            raise RuntimeError("the warnings about a video are known once all its frames were read; read on to the end")
        return self._warnings

    def _read(self) -> Iterator[Frames]:
        try:
            wanted, frames = self._sampling, self._sampled()
            yield from cropped(frames, wanted.size, wanted.fps) if wanted.square else map(np.ascontiguousarray, frames)
            self._finish()
        finally:
            self._reader.close()

    def _sampled(self) -> Iterator[Frames]:
        """Reduced frames at the wanted rate."""
        for shown in self._reader.pictures(self._sampling.start_s):
            if shown.start_s >= self._sampling.end_s:
                break
            self._take_note(shown)
            due = self._due_frames()
            if due:
                frame = self._reduce(shown)
                self._num_frames += due
                yield from [frame] * due

    def _take_note(self, shown: TimedPicture) -> None:
        """Count a picture into the time range, and stop where the time range gets too long."""
        end_s = min(shown.end_s, self._sampling.end_s)
        lost_from_s = max(shown.start_s, shown.damaged_from_s, self._sampling.start_s)
        self._damaged_s += max(0.0, end_s - lost_from_s)
        self._until_s = end_s
        self._num_pictures += 1
        if self._until_s - self._sampling.start_s > self._limits.max_duration_s:
            raise self._too_long(f"more than {self._limits.max_duration_s:g}")

    def _due_frames(self) -> int:
        """How many frames show the picture that was noted last."""
        due = math.ceil((self._until_s - TIME_TOLERANCE_S - self._sampling.start_s) * self._sampling.fps)
        return max(0, due - self._num_frames)

    def _reduce(self, shown: TimedPicture) -> Frames:
        if self._reducer is None:
            size = self._sampling.size
            if not self._sampling.enlarge:
                size = min(size, shown.picture.width, shown.picture.height)
            self._reducer = Reducer(shown.picture, self._reader.sample_aspect, size)
        return self._reducer(shown.picture)

    def _check_declared(self) -> None:
        declared_s = self._reader.declared_s
        if declared_s is None:
            return
        stretch_s = min(self._sampling.end_s, declared_s) - self._sampling.start_s
        if stretch_s > self._limits.max_duration_s:
            raise self._too_long(f"{stretch_s:.1f}")

    def _too_long(self, seen: str) -> VideoTooLongError:
        what = (
            "the video"
            if self._sampling.start_s == 0 and math.isinf(self._sampling.end_s)
            else "the requested time range"
        )
        return VideoTooLongError(
            f"{what} lasts {seen} s; the limit is {self._limits.max_duration_s:g} s: "
            "cut it, or give the start and end of the sign"
        )

    def _finish(self) -> None:
        """Judge what was read, and write it down.

        Raises:
            VideoBrokenError: most of the time range could not be decoded.
            VideoTooShortError: the time range holds no frame.
        """
        missing_s = self._missing_s()
        if self._num_frames == 0 and missing_s == 0 and self._reader.num_decoded > 0:
            raise VideoTooShortError(
                f"there is no frame between {self._sampling.start_s:g} and {self._sampling.end_s:g} s; the video lasts "
                f"{self._reader.until_s:.2f} s: choose a time range inside it"
            )
        duration_s = self._until_s - self._sampling.start_s
        bad_s = self._damaged_s + missing_s
        if self._reducer is None or bad_s > MAX_DAMAGED_SHARE * (duration_s + missing_s):
            raise self._broken(bad_s, duration_s + missing_s)
        self._info = VideoInfo(
            container=self._reader.format_name,
            codec=self._reader.codec_name,
            width=self._reducer.width,
            height=self._reducer.height,
            rotation_deg=self._reducer.orientation.rotation_deg,
            source_fps=self._num_pictures / duration_s,
            duration_s=duration_s,
            num_frames=self._num_frames,
        )
        self._warnings = tuple(self._warn(self._reducer, missing_s))

    def _missing_s(self) -> float:
        """What the file declares of the time range but does not hold, seconds; 0 where it is too little to tell."""
        if self._reader.declared_s is None or not self._reader.declared_exactly:
            return 0.0
        missing_s = min(self._sampling.end_s, self._reader.declared_s) - max(self._until_s, self._sampling.start_s)
        return missing_s if missing_s > MIN_MISSING_S else 0.0

    def _broken(self, bad_s: float, whole_s: float) -> VideoBrokenError:
        if self._reader.num_decoded == 0:
            return VideoBrokenError(
                f"not one picture could be decoded ({self._reader.num_bad_packets} packets were unreadable): "
                "record or export the video again"
            )
        return VideoBrokenError(
            f"{bad_s:.1f} of {whole_s:.1f} s of the video are lost or damaged; up to half is accepted: "
            "record it again or send the original file"
        )

    def _warn(self, reducer: Reducer, missing_s: float) -> Iterator[str]:
        if self._damaged_s > 0:
            yield (
                f"{self._damaged_s:.1f} of {self._until_s - self._sampling.start_s:.1f} s of the video are damaged "
                "and may show wrong pictures; if the result is poor, record it again."
            )
        if missing_s > 0:
            yield f"The video breaks off {missing_s:.1f} s before its declared end; the result is for what is there."
        elif self._reader.broke_off:
            yield f"The file is cut off; its pictures end at {self._reader.until_s:.1f} s."
        if reducer.was_hdr:
            yield "The video is HDR; its colours were converted to the standard range."
        if reducer.shape_changed:
            yield "The pictures change their shape on the way; all were fitted to the shape of the first."


def _check_stretch(sampling: Sampling) -> None:
    start_s, end_s = sampling.start_s, sampling.end_s
    if not 0 <= start_s <= LATEST_START_S:
        raise VideoTooShortError(
            f"the requested time range starts at {start_s:g} s; allowed is 0 to {LATEST_START_S:g} s"
        )
    if not end_s > start_s:
        raise VideoTooShortError(f"the requested time range ends at {end_s:g} s; allowed is later than {start_s:g} s")
