"""A clip as the camera that the browser sees."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av

FPS = 25
STILL_S = 2.0
"""How long the hands rest before the clip begins again: the browser plays the file over and over."""


def write_camera(target: Path, clip: Path) -> Path:
    """Write a clip as raw pictures (y4m), its last one held for a while."""
    pictures = [frame.reformat(format="yuv420p") for frame in _at_fps(clip)]
    pictures += [pictures[-1]] * round(STILL_S * FPS)
    first = pictures[0]
    with target.open("wb") as out:
        out.write(f"YUV4MPEG2 W{first.width} H{first.height} F{FPS}:1 Ip A1:1 C420\n".encode())
        for picture in pictures:
            out.write(b"FRAME\n" + picture.to_ndarray().tobytes())
    return target


def clip_s(clip: Path) -> float:
    """How long the clip lasts, and the rest after it, in seconds."""
    return len(_at_fps(clip)) / FPS + STILL_S


def _at_fps(clip: Path) -> list[av.VideoFrame]:
    """The pictures of a clip, as many a second as the camera gives."""
    with av.open(str(clip)) as container:
        frames = list(container.decode(video=0))
    return list(_resampled(frames))


def _resampled(frames: list[av.VideoFrame]) -> Iterable[av.VideoFrame]:
    due = Fraction(0)
    for frame, following in zip(frames, [*frames[1:], None], strict=True):
        begins = Fraction(frame.pts) * frame.time_base
        ends = begins + Fraction(1, FPS) if following is None else Fraction(following.pts) * following.time_base
        while due < ends:
            yield frame
            due += Fraction(1, FPS)
