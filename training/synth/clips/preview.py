"""Contact sheets: many people in the middle of a sign, and signs over time."""

import io

import numpy as np
from PIL import Image, ImageDraw

from model.encoder import Frames
from training.synth.clips.clip_source import ClipSource
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import BodySource
from training.synth.language.phonology import Sign
from training.synth.render.random_scene import random_scene, studio_scene

CAPTION_PX = 14
FRAMES_PER_SIGN = 7
"""On a sheet of motions."""


def people_sheet(bodies: BodySource, *, num: int, seed: int, size_px: int = 224, columns: int = 6) -> Frames:
    """Different signers, each in the middle of another sign in another room, uint8 [H, W, 3]."""
    source = ClipSource(bodies, seed=seed, size=(size_px, size_px), batch_frames=4)
    cells = [
        _with_caption(_frames_at(source, sign, number, (0.5,), studio=False)[0], sign.gloss)
        for number, sign in enumerate(make_signs(num, seed))
    ]
    source.close()
    return grid(cells, columns)


def motion_sheet(bodies: BodySource, *, num: int, seed: int, size_px: int = 192) -> Frames:
    """One row per sign, each by another signer: frames from its start to its end."""
    source = ClipSource(bodies, seed=seed, size=(size_px, size_px), batch_frames=8)
    shares = tuple(np.linspace(0.12, 0.88, FRAMES_PER_SIGN))
    cells = []
    for number, sign in enumerate(make_signs(num, seed)):
        frames = _frames_at(source, sign, number, shares, studio=True)
        cells += [_with_caption(frames[0], sign.gloss), *frames[1:]]
    source.close()
    return grid(cells, FRAMES_PER_SIGN)


def _frames_at(source: ClipSource, sign: Sign, number: int, shares: tuple[float, ...], *, studio: bool) -> Frames:
    """Frames at some shares of a clip's duration."""
    signer, rng = source.signer(number), source.rng(number, number)
    rig = signer.body.rig
    scene = studio_scene(rig, *source.size) if studio else random_scene(rng, rig, *source.size)
    clip = source.clip(sign, signer, scene, rng)
    return source.frames(clip, np.round(np.array(shares) * (clip.num_frames - 1)).astype(int))


def grid(cells: list[Frames], columns: int) -> Frames:
    """Pictures of one size side by side, uint8 [H, W, 3]; missing ones at the end are black."""
    rows = -(-len(cells) // columns)
    padded = [*cells, *[np.zeros_like(cells[0])] * (rows * columns - len(cells))]
    return np.concatenate(
        [np.concatenate(padded[row * columns : (row + 1) * columns], axis=1) for row in range(rows)], axis=0
    )


def _with_caption(frame: Frames, text: str) -> Frames:
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
