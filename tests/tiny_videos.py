"""Tiny videos, made on the spot: each seed is another picture, with something that moves."""

from pathlib import Path

import av
import numpy as np

SIZE = 128
FPS = 25


def write_clip(path: Path, seed: int, *, seconds: float = 1.0) -> Path:
    """Write a square MP4 whose colours follow from the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
    picture = blocks.repeat(SIZE // 8, axis=0).repeat(SIZE // 8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS, width=SIZE, height=SIZE, pix_fmt="yuv420p", bit_rate=2_000_000)
        for number in range(round(seconds * FPS)):
            frame = picture.copy()
            left = number * 5 % (SIZE - 24)
            frame[52:76, left : left + 24] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_dictionary(folder: Path, glosses: list[str]) -> Path:
    """A plain folder with one clip per gloss; the seed of a clip is its number."""
    for seed, gloss in enumerate(glosses):
        write_clip(folder / f"{gloss}.mp4", seed)
    return folder
