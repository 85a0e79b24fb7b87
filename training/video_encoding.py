"""Encoding frames as video files in memory, and the compression artefacts of a recording."""

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from model.encoder import Frames
from training.errors import SceneError

Container = Literal["mp4", "webm"]


def encode(batches: Iterable[Frames], fps: float, *, container: Container = "mp4", crf: int = 23) -> bytes:
    """A video file's bytes.

    Args:
        batches: frames in pieces, each uint8 [N, H, W, 3]; even width and height.
        fps: frames a second.
        container: mp4 holds H.264, webm holds VP9.
        crf: quality; lower is better and larger.

    Raises:
        SceneError: an odd width or height, which the colour format can't hold.
    """
    buffer = io.BytesIO()
    codec, options = _codec(container, crf)
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = _video_stream(output, codec, fps, options)
        for batch in batches:
            if batch.shape[1] % 2 or batch.shape[2] % 2:
                raise SceneError(f"frames of {batch.shape[2]} x {batch.shape[1]} pixels; a video needs even sides")
            if not stream.codec_context.is_open:
                stream.height, stream.width = batch.shape[1:3]
            for frame in batch:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    return buffer.getvalue()


def _video_stream(output: OutputContainer, codec: str, fps: float, options: dict[str, str]) -> VideoStream:
    stream = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
    assert isinstance(stream, VideoStream)
    stream.pix_fmt = "yuv420p"
    stream.thread_count = 1  # the same bytes on every run
    return stream


def _codec(container: Container, crf: int) -> tuple[str, dict[str, str]]:
    if container == "webm":
        return "libvpx-vp9", {"crf": str(crf), "b": "0", "cpu-used": "4", "deadline": "good", "flags": "+bitexact"}
    # x264's macroblock tree reads memory it never wrote: with it, small pictures give other bytes on every run.
    return "libx264", {"crf": str(crf), "preset": "medium", "flags": "+bitexact", "x264-params": "mbtree=0"}


def compress(frames: Frames, crf: int, fps: float = 25.0) -> Frames:
    """Frames as they come back from a video of a quality, uint8 [T, H, W, 3]; sides must be even."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="nut") as output:
        options = {"crf": str(crf), "preset": "ultrafast", "tune": "fastdecode"}
        stream = _video_stream(output, "libx264", fps, options)
        stream.height, stream.width = frames.shape[1:3]
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer, "r") as source:
        source.streams.video[0].thread_count = 1
        return np.stack([np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in source.decode(video=0)])
