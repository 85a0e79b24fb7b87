"""Contact sheets: many people in the middle of a sign, and signs over time."""

import io

import numpy as np
from PIL import Image, ImageDraw

from model.encoder import Frames
from training.synth.cast import BodySource, Signer, cast_signer
from training.synth.clips import clip_rng, load_signer, take
from training.synth.lexicon import make_signs
from training.synth.phonology import Sign
from training.synth.render import Renderer
from training.synth.settings import random_scene, studio_scene

CAPTION_PX = 14


def people_sheet(bodies: BodySource, *, num: int, seed: int, size_px: int = 224, columns: int = 6) -> Frames:
    """Different signers, each in the middle of another sign in another room, uint8 [H, W, 3]."""
    signs = make_signs(num, seed)
    renderer = Renderer(size_px, size_px, batch_frames=4)
    cells = []
    for number, sign in enumerate(signs):
        signer = cast_signer(bodies, number, seed)
        cells.append(
            _caption(_moments(renderer, sign, signer, (0.5,), seed=seed, number=number, studio=False)[0], sign.gloss)
        )
    renderer.close()
    return grid(cells, columns)


def motion_sheet(
    bodies: BodySource, *, num: int, seed: int, size_px: int = 192, moments: int = 7, studio: bool = True
) -> Frames:
    """One row per sign, each by another signer: moments from its start to its end."""
    signs = make_signs(num, seed)
    renderer = Renderer(size_px, size_px, batch_frames=8)
    shares = tuple(np.linspace(0.12, 0.88, moments))
    cells = []
    for number, sign in enumerate(signs):
        frames = _moments(
            renderer, sign, cast_signer(bodies, number, seed), shares, seed=seed, number=number, studio=studio
        )
        cells += [_caption(frames[0], sign.gloss), *frames[1:]]
    renderer.close()
    return grid(cells, moments)


def _moments(
    renderer: Renderer,
    sign: Sign,
    signer: Signer,
    shares: tuple[float, ...],
    *,
    seed: int,
    number: int,
    studio: bool,
) -> Frames:
    """Frames at some shares of a clip's duration."""
    rng, size = clip_rng(seed, number, number), (renderer.width, renderer.height)
    rig = signer.body.rig
    scene = studio_scene(rig, *size) if studio else random_scene(rng, rig, *size)
    clip = take(sign, signer, scene, size, rng)
    rows = np.round(np.array(shares) * (len(clip.transforms) - 1)).astype(int)
    body = load_signer(renderer, signer, scene)
    frames = renderer.render(body, clip.transforms[rows], clip.scene)
    body.release()
    return frames


def grid(cells: list[Frames], columns: int) -> Frames:
    """Pictures of one size side by side, uint8 [H, W, 3]; missing ones at the end are black."""
    rows = -(-len(cells) // columns)
    padded = [*cells, *[np.zeros_like(cells[0])] * (rows * columns - len(cells))]
    return np.concatenate(
        [np.concatenate(padded[row * columns : (row + 1) * columns], axis=1) for row in range(rows)], axis=0
    )


def _caption(frame: Frames, text: str) -> Frames:
    """The picture with a line of text at its foot."""
    image = Image.fromarray(frame)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, image.height - CAPTION_PX, image.width, image.height), fill=(20, 20, 20))
    pen.text((3, image.height - CAPTION_PX + 1), text[: image.width // 6], fill=(235, 235, 235))
    return np.asarray(image, np.uint8)


def picture_bytes(picture: Frames, suffix: str) -> bytes:
    """A picture as a .png, .jpg or .webp file."""
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, formats[suffix], quality=82)
    return buffer.getvalue()
