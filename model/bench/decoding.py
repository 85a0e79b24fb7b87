"""How long decoding, resizing and cropping take, and which share the resize has."""

import io
import time
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Literal

import av
import numpy as np

from model.video.container import VideoReader
from model.video.info import VideoLimits
from model.video.stream import open_frames

Codec = Literal["libx264", "libvpx"]


@dataclass(frozen=True)
class DecodeCost:
    """Milliseconds of computing per second of video."""

    codec: str
    width: int
    height: int
    threads: int
    total_ms: float
    """From bytes to square frames."""
    decode_ms: float
    """Of it: reading and decoding every picture, nothing else."""

    @property
    def resize_share(self) -> float:
        """Part of the total that is resizing, colour conversion and cropping."""
        return 1 - self.decode_ms / self.total_ms


def measure_decode(
    codec: Codec, *, width: int = 1280, height: int = 720, seconds: int = 4, threads: int = 1, repeats: int = 3
) -> DecodeCost:
    """Measure on a generated clip of 30 pictures per second, read at 25 frames of 224 pixels; medians of `repeats`."""
    file = generate_clip(codec, width, height, seconds)
    totals, decodes = zip(*(_measure(file, threads) for _ in range(repeats)), strict=True)
    return DecodeCost(
        codec,
        width,
        height,
        threads,
        total_ms=1e3 * median(totals) / seconds,
        decode_ms=1e3 * median(decodes) / seconds,
    )


def _measure(file: io.BytesIO, threads: int) -> tuple[float, float]:
    """Seconds for the whole way, and for decoding alone."""
    started = time.perf_counter()
    with open_frames(file, fps=25, size=224, threads=threads) as frames:
        for _ in frames:
            pass
    between = time.perf_counter()
    reader = VideoReader(file, VideoLimits(), threads)
    for _ in reader.pictures():
        pass
    reader.close()
    return between - started, time.perf_counter() - between


def generate_clip(codec: Codec, width: int, height: int, seconds: int) -> io.BytesIO:
    """A bright disc circling over a textured background, with sensor noise: about what a webcam's clip costs."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    wall = 110 + 40 * np.sin(columns / 90) + 30 * np.cos(rows / 60)
    noise = rng.normal(0, 3, (8, height, width)).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4" if codec == "libx264" else "webm") as out:
        options = {"preset": "veryfast"} if codec == "libx264" else {"deadline": "realtime", "cpu-used": "8"}
        stream = out.add_stream(codec, rate=Fraction(30), options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_500_000
        for number in range(30 * seconds):
            x, y = width * (0.5 + 0.2 * np.cos(number / 8)), height * (0.5 + 0.2 * np.sin(number / 8))
            disc = (columns - x) ** 2 + (rows - y) ** 2 < (height / 8) ** 2
            grey = np.clip(np.where(disc, 210, wall) + noise[number % 8], 0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, 2), "rgb24")))
        out.mux(stream.encode())
    return file
