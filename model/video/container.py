"""A video file as timed pictures: opened without trusting it, decoded in display order."""

import itertools
import math
import os
import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NoReturn

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from model.errors import NotAVideoError, VideoBrokenError, VideoTooLargeError, VideoTooLongError
from model.video.info import VideoLimits, VideoSource

# Demuxers that read one file and nothing else: no playlists, no lists of files, no image sequences, no devices.
FORMATS = "mov,matroska,webm,avi,gif,mpegts,mpeg,ogg,asf"
FORMATS_IN_WORDS = "MP4, MOV, WebM, MKV, AVI, GIF, MPEG, Ogg and WMV"
SEEKABLE = ("mov", "matroska")
"""Formats whose index leads to a picture that decodes on its own, with the same clock as when read from the start."""
DECLARES_DURATION = ("mov", "matroska", "avi", "gif", "ogg", "asf")
"""Formats that write their duration down. For the MPEG streams FFmpeg guesses it, sometimes from the bit rate."""
SEEK_MARGIN_S = 1.0
"""An index is in decoding order; pictures are shown up to some frames later."""
SIGNATURES = ((4, b"ftyp", "MP4"), (4, b"moov", "MOV"), (0, b"\x1a\x45\xdf\xa3", "WebM"), (8, b"AVI ", "AVI"))


@dataclass(frozen=True)
class TimedPicture:
    """A decoded picture and when it is on display, in seconds from the video's first picture."""

    picture: VideoFrame
    start_s: float
    end_s: float
    damaged_from_s: float
    """From here on it shows, or stands in for, what could not be decoded; infinite for an intact picture."""


class Clock:
    """Makes the display times of pictures increase, whatever the file says."""

    def __init__(self, nominal_step_s: float) -> None:
        self._nominal_s = nominal_step_s
        self._steps: deque[float] = deque(maxlen=25)
        self.now_s: float | None = None

    @property
    def step_s(self) -> float:
        """The usual time from one picture to the next."""
        return statistics.median(self._steps) if self._steps else self._nominal_s

    def tick(self, time_s: float | None) -> float:
        """The display time of the next picture.

        A missing time, or one that does not lead forward, is taken as one step after the last.
        """
        if self.now_s is None:
            self.now_s = 0.0 if time_s is None else time_s
        elif time_s is None or time_s <= self.now_s:
            # A file may name steps so small that they vanish beside the time they are added to.
            self.now_s = max(self.now_s + self.step_s, math.nextafter(self.now_s, math.inf))
        else:
            self._steps.append(time_s - self.now_s)
            self.now_s = time_s
        return self.now_s

    def last_duration(self, declared_s: float) -> float:
        """How long the last picture is on display, given the duration that the file declares for it (0: none).

        Browsers' recorders declare one tick of the file's clock, which is no duration of a picture.
        """
        return declared_s if declared_s >= self.step_s / 2 else self.step_s


class VideoReader:
    """An open video: checked against the limits, its pictures in display order.

    Attributes:
        declared_exactly: the declared duration is that of the picture track, not merely of the longest track.
        num_decoded: pictures decoded so far.
        num_bad_packets: packets so far that did not decode.
        broke_off: the file ended in the middle of something.
        until_s: when the last picture so far goes off display.
    """

    def __init__(self, source: VideoSource, limits: VideoLimits, threads: int = 1) -> None:
        self._limits = limits
        self._threads = threads
        self._file, self._owned = _open_file(source)
        try:
            _check_bytes(self._file, limits)
            self._open()
        except BaseException:
            self.close()
            raise
        self._declared_s, self.declared_exactly = _declared_duration(self._container, self._stream)
        self._begins_s = float((self._stream.start_time or 0) * (self._stream.time_base or 0))
        self.num_decoded = 0
        self.num_bad_packets = 0
        self.broke_off = False
        self.until_s = 0.0
        self._max_pictures = 0

    def _open(self) -> None:
        self._container = _open_container(self._file, self._limits)
        self._stream = _picture_stream(self._container)
        _check_pixels(self._stream, self._limits)
        self._stream.codec_context.options = {"max_pixels": str(self._limits.max_pixels)}
        self._stream.codec_context.thread_count = self._threads
        self._stream.thread_type = "FRAME" if self._threads > 1 else "NONE"

    def _reopen(self) -> None:
        """Begin again: a demuxer whose seek went wrong may not find back to the beginning either."""
        self._container.close()
        self.num_decoded = self.num_bad_packets = 0
        self.broke_off = False
        self._open()

    @property
    def format_name(self) -> str:
        """FFmpeg's name of the container."""
        return self._container.format.name

    @property
    def codec_name(self) -> str:
        """FFmpeg's name of the codec."""
        return self._stream.codec.canonical_name

    @property
    def sample_aspect(self) -> float:
        """Width of a coded pixel over its height."""
        return float(self._stream.sample_aspect_ratio or 1)

    @property
    def declared_s(self) -> float | None:
        """The duration the file declares, None where it does not.

        Matroska's counts from its clock's zero. Where its pictures begin may be known only once the first was read.
        """
        if self._declared_s is None or not self.format_name.startswith("matroska"):
            return self._declared_s
        return self._declared_s - self._begins_s

    def close(self) -> None:
        """Close what was opened here; a file object that was handed in stays open."""
        if container := getattr(self, "_container", None):
            container.close()
        if self._owned:
            self._file.close()

    def pictures(self, start_s: float = 0.0) -> Iterator[TimedPicture]:
        """The pictures from the one on display at `start_s` to the last. Call once.

        Raises:
            VideoTooLongError: more pictures per second than allowed.
        """
        self._max_pictures = math.ceil(self._limits.max_source_fps * (start_s + self._limits.max_duration_s)) + 1
        origin_s = self._seek(start_s)
        timed = self._timed(origin_s)
        if origin_s is not None:
            first = next(timed, None)
            if first is not None and first.start_s <= start_s:
                timed = itertools.chain([first], timed)
            else:
                self._reopen()
                timed = self._timed(None)
        return (shown for shown in timed if shown.end_s > start_s)

    def _seek(self, start_s: float) -> float | None:
        """Go near `start_s` where the format allows it.

        Returns:
            The file's time of the first picture, or None: nothing was done, read from the beginning.
        """
        first, tick = self._stream.start_time, self._stream.time_base
        if start_s <= SEEK_MARGIN_S or first is None or tick is None or not self.format_name.startswith(SEEKABLE):
            return None
        try:
            self._container.seek(first + round((start_s - SEEK_MARGIN_S) / tick), stream=self._stream)
        except av.FFmpegError:
            self._reopen()
            return None
        return float(first * tick)

    def _timed(self, origin_s: float | None) -> Iterator[TimedPicture]:
        """Decoded pictures with their time on display; where `origin_s` is None the first one starts at 0."""
        clock = Clock(_nominal_step(self._stream))
        damage = Damage()
        waiting: tuple[VideoFrame, float] | None = None
        for picture in self._decoded(damage):
            file_s = _seconds(picture)
            if origin_s is None:
                origin_s = self._begins_s = file_s or 0.0
            now_s = clock.tick(None if file_s is None else file_s - origin_s)
            if waiting:
                yield self._shown(waiting, now_s, damage.from_s - origin_s)
            damage.see(picture, now_s + origin_s)
            waiting = picture, now_s
        if waiting:
            declared_s = float(waiting[0].duration * (waiting[0].time_base or 0))
            end_s = waiting[1] + clock.last_duration(declared_s)
            yield self._shown(waiting, end_s, damage.from_s - (origin_s or 0.0))

    def _shown(self, waiting: tuple[VideoFrame, float], end_s: float, damaged_from_s: float) -> TimedPicture:
        self.until_s = end_s
        return TimedPicture(*waiting, end_s, damaged_from_s)

    def _decoded(self, damage: "Damage") -> Iterator[VideoFrame]:
        for packet in self._packets():
            try:
                pictures = self._stream.decode(packet)
            except MemoryError:  # also FFmpeg's own: no fault of the packet
                raise
            except av.FFmpegError:
                self.num_bad_packets += 1
                damage.lose(_seconds(packet) if packet else None)
                continue
            self.num_decoded += len(pictures)
            if self.num_decoded > self._max_pictures:
                raise VideoTooLongError(
                    f"the video has more than {self._max_pictures} pictures; allowed are "
                    f"{self._limits.max_source_fps:g} per second: export it at an ordinary frame rate"
                )
            yield from pictures

    def _packets(self) -> Iterator["Packet[VideoStream] | None"]:
        """Packets of the picture track; at the end an empty one, which makes the decoder give out what it holds."""
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError:
            self.broke_off = True
            yield None


class Damage:
    """From which moment on the pictures are not what was filmed.

    What could not be decoded spoils every picture predicted from it: until an intact picture that stands on its own.
    """

    def __init__(self) -> None:
        self.from_s = math.inf
        self._seen_s = -math.inf

    def lose(self, time_s: float | None) -> None:
        """A packet did not decode; where it has no time, it belongs after the last picture seen."""
        self.from_s = min(self.from_s, self._seen_s if time_s is None else time_s)

    def see(self, picture: VideoFrame, time_s: float) -> None:
        """Take note of the next picture on display."""
        self._seen_s = time_s
        if picture.is_corrupt:
            self.from_s = min(self.from_s, time_s)
        elif picture.key_frame and time_s > self.from_s:
            self.from_s = math.inf


def _seconds(timed: "VideoFrame | Packet[VideoStream]") -> float | None:
    ticks = timed.pts if timed.pts is not None else timed.dts
    return None if ticks is None or timed.time_base is None else float(ticks * timed.time_base)


def _open_file(source: VideoSource) -> tuple[BinaryIO, bool]:
    """The file object to read, and whether it was opened here. Paths become file objects too: FFmpeg sees no names."""
    if not isinstance(source, Path):
        return source, False
    try:
        return source.open("rb"), True
    except OSError as error:
        raise NotAVideoError(f"{source} can't be opened: {error.strerror}") from error


def _check_bytes(file: BinaryIO, limits: VideoLimits) -> None:
    num_bytes = file.seek(0, os.SEEK_END)
    if num_bytes == 0:
        raise NotAVideoError("the file is empty (0 bytes): record or upload it again")
    if num_bytes > limits.max_bytes:
        raise VideoTooLargeError(
            f"the video has {num_bytes / 1e6:.1f} MB; the limit is {limits.max_bytes / 1e6:.1f} MB: "
            "cut it to the sign or export it smaller"
        )


def _open_container(file: BinaryIO, limits: VideoLimits) -> InputContainer:
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "max_pixels": str(limits.max_pixels)}
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    try:
        return av.open(file, mode="r", options=options, io_open=_refuse_to_open, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        for offset, signature, name in SIGNATURES:
            if head[offset:].startswith(signature):
                raise VideoBrokenError(
                    f"the file starts as {name} but its index of pictures is missing or damaged; recordings that were "
                    "interrupted and uploads that were cut off look like this: send the whole file or record again"
                ) from error
        raise NotAVideoError(
            f"the file is not a video of a kind that is read here ({error.strerror}); allowed are {FORMATS_IN_WORDS}"
        ) from error


def _refuse_to_open(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """Files that a video refers to are not read, whatever the demuxer thinks of it."""
    raise PermissionError(f"a video may not refer to other files, this one to {url!r}")


def _picture_stream(container: InputContainer) -> VideoStream:
    """The track of moving pictures; cover art is none."""
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        kinds = " and ".join(sorted({track.type for track in container.streams})) or "nothing"
        raise NotAVideoError(f"the file has no picture track, only {kinds}: send a recording with the camera on")
    best = container.streams.best("video")
    track = best if isinstance(best, VideoStream) and best in tracks else tracks[0]
    if track.codec_context is None:
        raise NotAVideoError("the pictures are in a format that can't be decoded: export the video as H.264 or VP9")
    return track


def _check_pixels(stream: VideoStream, limits: VideoLimits) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        raise VideoTooLargeError(
            f"the pictures have {width} x {height} = {width * height} pixels; the limit is {limits.max_pixels}: "
            "export the video smaller, 720 rows are plenty"
        )


def _declared_duration(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    if not container.format.name.startswith(DECLARES_DURATION):
        return None, False
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base), True
    if container.duration is not None:
        return container.duration / av.time_base, len(container.streams) == 1
    return None, False


def _nominal_step(stream: VideoStream) -> float:
    """Seconds per picture as declared; 1/25 where the declaration is the file's clock rather than a frame rate."""
    rate = stream.average_rate or stream.base_rate or Fraction(25)
    return float(1 / rate) if 1 <= rate <= 240 else 1 / 25
