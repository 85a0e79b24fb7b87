"""Makes small video files of every kind for the tests."""

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
TICKS = 90_000


def write_clip(
    target: Path | io.BytesIO,
    pictures: Iterable[NDArray],
    *,
    times_s: Sequence[float] | None = None,
    fps: float = 25,
    codec: str = "libx264",
    container: str = "mp4",
    pixel_format: str = "yuv420p",
    picture_format: str = "rgb24",
    matrix: Sequence[int] | None = None,
    sample_aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    colour: dict[str, int] | None = None,
) -> None:
    """Encode pictures, each shown from its time on (`k / fps` where no times are given)."""
    with av.open(
        str(target) if isinstance(target, Path) else target, "w", format=container, options=container_options
    ) as out:
        stream = None
        for number, pixels in enumerate(pictures):
            picture = av.VideoFrame.from_ndarray(pixels, picture_format)
            if stream is None:
                stream = out.add_stream(
                    codec, rate=Fraction(fps).limit_denominator(1001), options=options or FAST.get(codec, {})
                )
                stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, pixel_format
                stream.time_base = stream.codec_context.time_base = Fraction(1, 100 if codec == "gif" else TICKS)
                if sample_aspect:
                    stream.codec_context.sample_aspect_ratio = sample_aspect
                for name, value in (colour or {}).items():
                    setattr(stream.codec_context, name, value)
                if matrix:
                    stream.set_display_matrix(matrix)
            for name, value in (colour or {}).items():
                setattr(picture, name, value)
            time_s = number / fps if times_s is None else times_s[number]
            picture.pts, picture.time_base = round(time_s / stream.time_base), stream.time_base
            out.mux(stream.encode(picture))
        out.mux(stream.encode())


FAST = {
    "libx264": {"preset": "ultrafast", "crf": "12", "g": "12"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "2M", "g": "12"},
}


def flat(level: int, *, width: int = 32, height: int = 32) -> Picture:
    """A picture of one grey."""
    return np.full((height, width, 3), level, np.uint8)


def numbered(count: int, **shape: int) -> list[Picture]:
    """Pictures that can be told apart by their grey: number n has level `10 + 3 n` (at most 80 of them)."""
    return [flat(10 + 3 * (number % 80), **shape) for number in range(count)]


def number_of(frame: Picture) -> int:
    """Which of the `numbered` pictures a frame shows."""
    return round((float(frame.mean()) - 10) / 3)


def moving_square(
    count: int, *, width: int, height: int, centre: tuple[int, int], noise: float = 12.0
) -> list[Picture]:
    """A bright square going in a small circle around `centre` (column, row), on noise that changes in every picture."""
    rng = np.random.default_rng(0)
    half, radius = min(width, height) // 10, min(width, height) // 8
    pictures = []
    for number in range(count):
        picture = np.clip(rng.normal(90, noise, (height, width, 3)), 0, 255).astype(np.uint8)
        column = round(centre[0] + radius * np.cos(number / 3))
        row = round(centre[1] + radius * np.sin(number / 3))
        picture[max(0, row - half) : row + half, max(0, column - half) : column + half] = 230
        pictures.append(picture)
    return pictures


def write_changing(target: io.BytesIO, pictures: Iterable[Picture]) -> None:
    """Write pictures of different sizes into one track: Motion JPEG, 25 per second, announced with the first's size."""
    with av.open(target, "w", format="avi") as out:
        stream = None
        for number, pixels in enumerate(pictures):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width = pixels.shape[:2]
            encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
            if stream is None:
                stream = out.add_stream("mjpeg", rate=25)
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuvj420p"
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
            picture.pts, picture.time_base = 0, Fraction(1, 25)
            for packet in [*encoder.encode(picture), *encoder.encode()]:
                packet.pts = packet.dts = number
                packet.time_base, packet.stream = Fraction(1, 25), stream
                out.mux(packet)
