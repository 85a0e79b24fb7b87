"""Windows for a training loop, drawn as they are asked for, without touching the disk."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model.encoder import Frames
from training.synth.backgrounds import Painter
from training.synth.cast import BodySource, cast_signer
from training.synth.clips import Keypoints, Take, clip_rng, load_signer, take
from training.synth.device import LoadedBody
from training.synth.phonology import Sign
from training.synth.render import Renderer
from training.synth.settings import Variety, random_scene
from training.synth.video import compress

WINDOW_FRAMES = 16


@dataclass(frozen=True)
class Window:
    """16 consecutive frames with their keypoints."""

    frames: Frames
    """[16, H, W, 3] uint8."""
    keypoints: Keypoints
    """Of the same 16 frames."""
    gloss: str
    signer: str
    clip: int
    """Windows of the same number are of the same clip: what a matched pair is drawn from."""


def stream_windows(
    signs: tuple[Sign, ...],
    bodies: BodySource,
    *,
    seed: int,
    size: tuple[int, int] = (224, 224),
    worker: int = 0,
    clips_per_signer: int = 8,
    variety: Variety | None = None,
    pictures: Painter | None = None,
    fps: float = 25.0,
) -> Iterator[Window]:
    """Windows without end. The same seed and worker give the same windows on one machine.

    Every clip is cut into windows that follow each other from a random start; every signer performs a few clips, each
    in another scene.

    Args:
        signs: what is performed, at random.
        bodies: makes the signers.
        seed: of everything.
        size: width and height of a frame, pixels; even.
        worker: number of the process; each draws other clips.
        clips_per_signer: clips until the next signer; making a body costs about as much as drawing a clip.
        variety: how far scenes differ.
        pictures: backgrounds of a folder.
        fps: frames a second.

    Raises:
        RenderUnavailableError: no OpenGL can be had.
        AssetError: a file of a body or a background is missing or damaged.
    """
    renderer = Renderer(*size)
    clip = 0
    while True:
        number = clip // clips_per_signer
        signer = cast_signer(bodies, number * 1009 + worker, seed)
        for _ in range(clips_per_signer):
            rng = clip_rng(seed, clip, worker)
            sign = signs[int(rng.integers(len(signs)))]
            scene = random_scene(rng, signer.body.rig, *size, variety=variety, pictures=pictures)
            body = load_signer(renderer, signer, scene)
            yield from _windows(renderer, body, take(sign, signer, scene, size, rng, fps=fps), clip, rng)
            body.release()
            clip += 1


def _windows(
    renderer: Renderer, body: LoadedBody, whole: Take, clip: int, rng: np.random.Generator
) -> Iterator[Window]:
    num_frames = len(whole.transforms)
    num_windows = max(1, num_frames // WINDOW_FRAMES)
    first = int(rng.integers(max(1, num_frames - num_windows * WINDOW_FRAMES + 1)))
    # A clip shorter than a window stands still at its end, as short videos are padded when they are looked up.
    rows = np.minimum(np.arange(first, first + num_windows * WINDOW_FRAMES), num_frames - 1)
    frames = renderer.render(body, whole.transforms[rows], whole.scene, whole.fps)
    if whole.scene.film.crf is not None:
        frames = compress(frames, whole.scene.film.crf, whole.fps)
    keypoints = Keypoints(whole.keypoints.world[rows], whole.keypoints.pixels[rows], whole.keypoints.inside[rows])
    for start in range(0, len(rows), WINDOW_FRAMES):
        part = slice(start, start + WINDOW_FRAMES)
        yield Window(frames[part], keypoints.part(part), whole.gloss, whole.signer.id, clip)
