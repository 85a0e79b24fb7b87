"""Windows for a training loop, rendered as they are requested, without touching the disk."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model.encoder import Frames
from training.synth.clips.clip import Keypoints, PosedClip
from training.synth.clips.clip_source import FPS, ClipSource, padded_rows
from training.synth.clips.signers import BodySource
from training.synth.language.phonology import Sign
from training.synth.render.backgrounds import Painter
from training.synth.render.random_scene import random_scene

WINDOW_FRAMES = 16
CLIPS_PER_SIGNER = 8
"""Making a body costs about as much as rendering a clip."""


@dataclass(frozen=True)
class RenderedWindow:
    """16 consecutive frames with their keypoints."""

    frames: Frames
    """[16, H, W, 3] uint8."""
    keypoints: Keypoints
    """Of the same 16 frames."""
    gloss: str
    signer: str
    clip: int
    """Windows of the same number are of the same clip: what a matched pair is sampled from."""


def stream_windows(
    signs: tuple[Sign, ...],
    bodies: BodySource,
    *,
    seed: int,
    size: tuple[int, int] = (224, 224),
    worker: int = 0,
    clips_per_signer: int = CLIPS_PER_SIGNER,
    pictures: Painter | None = None,
    fps: float = FPS,
) -> Iterator[RenderedWindow]:
    """Windows without end. The same seed and worker give the same windows on one machine.

    Every clip is split into windows that follow each other from a random start; every signer performs a few clips, each
    in another scene.

    Args:
        signs: what is performed, at random.
        bodies: makes the signers.
        seed: of everything.
        size: width and height of a frame, pixels; even.
        worker: number of the process; each renders other clips.
        clips_per_signer: clips until the next signer.
        pictures: backgrounds of a folder.
        fps: frames per second.

    Raises:
        RenderUnavailableError: no OpenGL can be had.
        AssetError: a file of a body or a background is missing or damaged.
    """
    source = ClipSource(bodies, seed=seed, size=size, fps=fps)
    number = 0
    while True:
        signer = source.signer(number // clips_per_signer * 1009 + worker)
        rng = source.rng(number, worker)
        sign = signs[int(rng.integers(len(signs)))]
        scene = random_scene(rng, signer.body.rig, *size, pictures=pictures)
        yield from _windows(source, source.clip(sign, signer, scene, rng), number, rng)
        number += 1


def _windows(source: ClipSource, clip: PosedClip, number: int, rng: np.random.Generator) -> Iterator[RenderedWindow]:
    num_windows = max(1, clip.num_frames // WINDOW_FRAMES)
    first = int(rng.integers(max(1, clip.num_frames - num_windows * WINDOW_FRAMES + 1)))
    rows = padded_rows(first, num_windows * WINDOW_FRAMES, clip.num_frames)
    frames = source.recorded_frames(clip, rows)
    keypoints = Keypoints(clip.keypoints.world[rows], clip.keypoints.pixels[rows], clip.keypoints.inside[rows])
    for start in range(0, len(rows), WINDOW_FRAMES):
        part = slice(start, start + WINDOW_FRAMES)
        yield RenderedWindow(frames[part], keypoints.part(part), clip.gloss, clip.signer.id, number)
