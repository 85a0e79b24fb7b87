"""Backgrounds: plain and graded walls, procedural rooms, or pictures of a folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from model.encoder import Floats, Frames
from training.errors import AssetError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
Painter = Callable[[np.random.Generator, int, int], Frames]


def plain(rng: np.random.Generator, width: int, height: int) -> Frames:
    """One muted colour, a little darker towards the edges."""
    return _picture(_muted(rng) * (1 - 0.12 * _edge(rng, width, height))[..., None])


def gradient(rng: np.random.Generator, width: int, height: int) -> Frames:
    """One colour running into another in some direction."""
    angle = rng.uniform(0, 2 * np.pi)
    x, y = _grid(width, height)
    share = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[..., None]
    return _picture((1 - share) * _muted(rng) + share * _muted(rng))


def room(rng: np.random.Generator, width: int, height: int) -> Frames:
    """A wall with floor or none, and what rooms hold: window, shelf, picture, door, curtain, plant; out of focus."""
    canvas = np.ones((height, width, 3), np.float32) * _muted(rng, 0.45, 0.9)
    canvas *= _plaster(rng, width, height)[..., None]
    painters = (_window, _shelf, _frame, _door, _curtain, _plant, _panels)
    chosen = rng.permutation(len(painters))[: int(rng.integers(1, 4))]
    sides = rng.permutation(np.array([-1, 1, 0]))
    for place, number in zip(sides, chosen, strict=False):
        painters[number](canvas, rng, float(place))
    if rng.random() < 0.3:
        _floor(canvas, rng)
    light = 1.0 - 0.35 * _edge(rng, width, height)
    image = Image.fromarray(_picture(canvas * light[..., None]))
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.002, 0.012) * height))
    return np.asarray(blurred, np.uint8)


def folder(path: Path) -> Painter:
    """Pictures of a folder, cropped and scaled to the frame.

    Raises:
        AssetError: the folder holds no picture; or, when painted, a picture can't be read.
    """
    pictures = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise AssetError(f"{path} holds no picture ({', '.join(PICTURE_SUFFIXES)}) to use as a background")

    def paint(rng: np.random.Generator, width: int, height: int) -> Frames:
        chosen = pictures[int(rng.integers(len(pictures)))]
        try:
            with Image.open(chosen) as image:
                return _cut(image.convert("RGB"), rng, width, height)
        except OSError as error:
            raise AssetError(f"the background {chosen} can't be read: {error}; remove it from the folder") from error

    return paint


def any_background(rng: np.random.Generator, width: int, height: int, pictures: Painter | None = None) -> Frames:
    """A background of a kind sampled at random, uint8 [height, width, 3]."""
    if pictures is not None and rng.random() < 0.5:
        return pictures(rng, width, height)
    kinds: tuple[Painter, ...] = (plain, gradient, room, room)
    return kinds[int(rng.integers(len(kinds)))](rng, width, height)


def _cut(image: Image.Image, rng: np.random.Generator, width: int, height: int) -> Frames:
    scale = max(width / image.width, height / image.height) * rng.uniform(1.0, 1.3)
    wide, high = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = int(rng.integers(wide - width + 1)), int(rng.integers(high - height + 1))
    scaled = image.resize((wide, high), Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))
    return np.asarray(scaled, np.uint8)


def _grid(width: int, height: int) -> tuple[Floats, Floats]:
    """X right and y down from the middle, in picture heights."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (x + 0.5 - width / 2) / height, (y + 0.5) / height - 0.5


def _edge(rng: np.random.Generator, width: int, height: int) -> Floats:
    """0 where the room's light falls, 1 far from it."""
    x, y = _grid(width, height)
    middle = rng.uniform(-0.4, 0.4, 2)
    return np.asarray(np.clip(((x - middle[0]) ** 2 + (y - middle[1]) ** 2) * 1.3, 0, 1), np.float32)


def _muted(rng: np.random.Generator, low: float = 0.15, high: float = 0.92) -> Floats:
    grey = rng.uniform(low, high)
    return np.clip(grey + rng.normal(0, 0.09, 3), 0.03, 0.97).astype(np.float32)


def _plaster(rng: np.random.Generator, width: int, height: int) -> Floats:
    """Slow unevenness of a wall, around 1."""
    coarse = rng.normal(0, 1, (5, 7)).astype(np.float32)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return 1 + 0.03 * np.asarray(image, np.float32)


def _picture(canvas: Floats) -> Frames:
    return np.round(255 * np.clip(canvas, 0, 1)).astype(np.uint8)


def _box(canvas: Floats, left: float, top: float, right: float, bottom: float, colour: NDArray[np.floating]) -> None:
    """Fill a rectangle given in picture heights from the middle. Changes the canvas."""
    height, width = canvas.shape[:2]
    columns = slice(*(int(np.clip(x * height + width / 2, 0, width)) for x in (left, right)))
    rows = slice(*(int(np.clip((y + 0.5) * height, 0, height)) for y in (top, bottom)))
    canvas[rows, columns] = colour


def _place(canvas: Floats, rng: np.random.Generator, side: float, size: float) -> float:
    """The left edge of a thing of some width on one side of the picture."""
    half = canvas.shape[1] / canvas.shape[0] / 2
    return float(side * half * rng.uniform(0.45, 0.95) - size / 2)


def _window(canvas: Floats, rng: np.random.Generator, side: float) -> None:
    wide, high = rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.7)
    left, top = _place(canvas, rng, side, wide), rng.uniform(-0.6, -0.3)
    frame, sky = _muted(rng, 0.6, 0.95), np.array([0.86, 0.92, 0.98]) * rng.uniform(0.8, 1.05)
    _box(canvas, left, top, left + wide, top + high, frame)
    for pane in range(2):
        start = left + 0.02 + pane * (wide / 2)
        _box(canvas, start, top + 0.02, start + wide / 2 - 0.04, top + high - 0.02, sky)
        _box(canvas, start, top + 0.75 * high, start + wide / 2 - 0.04, top + high - 0.02, _muted(rng, 0.3, 0.6))


def _shelf(canvas: Floats, rng: np.random.Generator, side: float) -> None:
    wide = rng.uniform(0.35, 0.6)
    left, top, wood = _place(canvas, rng, side, wide), rng.uniform(-0.55, -0.3), _muted(rng, 0.2, 0.6)
    for board in range(int(rng.integers(2, 5))):
        base = top + 0.2 * (board + 1)
        at = left
        while at < left + wide - 0.02:
            thick = rng.uniform(0.012, 0.04)
            _box(canvas, at, base - rng.uniform(0.10, 0.17), at + thick, base, _muted(rng, 0.1, 0.8) * (1, 0.9, 0.85))
            at += thick + (rng.random() < 0.15) * rng.uniform(0.02, 0.1)
        _box(canvas, left - 0.01, base, left + wide, base + 0.015, wood)


def _frame(canvas: Floats, rng: np.random.Generator, side: float) -> None:
    wide, high = rng.uniform(0.15, 0.35), rng.uniform(0.15, 0.35)
    left, top = _place(canvas, rng, side, wide), rng.uniform(-0.45, -0.2)
    _box(canvas, left, top, left + wide, top + high, _muted(rng, 0.1, 0.9))
    _box(canvas, left + 0.015, top + 0.015, left + wide - 0.015, top + high - 0.015, _muted(rng))
    for _ in range(4):
        x, y = rng.uniform(0.03, 0.8 * wide), rng.uniform(0.03, 0.8 * high)
        _box(canvas, left + x, top + y, left + min(x + 0.1, wide - 0.02), top + min(y + 0.06, high - 0.02), _muted(rng))


def _door(canvas: Floats, rng: np.random.Generator, side: float) -> None:
    wide = rng.uniform(0.35, 0.5)
    left, top, colour = _place(canvas, rng, side, wide), rng.uniform(-0.48, -0.35), _muted(rng, 0.3, 0.9)
    _box(canvas, left - 0.03, top - 0.03, left + wide + 0.03, 0.5, 0.85 * colour)
    _box(canvas, left, top, left + wide, 0.5, colour)
    for panel in (0.05, 0.45):
        _box(canvas, left + 0.06, top + panel, left + wide - 0.06, top + panel + 0.33, 0.93 * colour)
    _box(canvas, left + 0.03, 0.05, left + 0.06, 0.09, _muted(rng, 0.5, 0.8))


def _curtain(canvas: Floats, rng: np.random.Generator, side: float) -> None:
    height, width = canvas.shape[:2]
    x, _ = _grid(width, height)
    wide = rng.uniform(0.3, 0.6)
    left = _place(canvas, rng, side, wide)
    folds = 0.85 + 0.15 * np.sin(x * rng.uniform(40, 90) + np.sin(9 * x))
    inside = (x > left) & (x < left + wide)
    canvas[inside] = (folds[..., None] * _muted(rng, 0.3, 0.9))[inside]


def _plant(canvas: Floats, rng: np.random.Generator, side: float) -> None:
    height, width = canvas.shape[:2]
    x, y = _grid(width, height)
    root = np.array([_place(canvas, rng, side, 0.0), rng.uniform(0.2, 0.45)])
    _box(canvas, root[0] - 0.06, root[1], root[0] + 0.06, 0.5, _muted(rng, 0.3, 0.7))
    for _ in range(int(rng.integers(10, 22))):
        angle, long = rng.uniform(-1.1, 1.1), rng.uniform(0.15, 0.4)
        along = np.array([np.sin(angle), -np.cos(angle)])
        u = ((x - root[0]) * along[0] + (y - root[1]) * along[1]) / long
        v = ((x - root[0]) * along[1] - (y - root[1]) * along[0]) / long
        leaf = (u > 0) & (u < 1) & (np.abs(v) < 0.09 * np.sin(np.pi * np.clip(u, 0, 1)))
        canvas[leaf] = np.array([0.16, 0.36, 0.15]) * rng.uniform(0.6, 1.5)


def _panels(canvas: Floats, rng: np.random.Generator, side: float) -> None:
    """Tiles or boards over the whole wall."""
    height, width = canvas.shape[:2]
    x, y = _grid(width, height)
    size = rng.uniform(0.1, 0.3)
    gaps = (np.mod(x + 10, size) < 0.006) | ((np.mod(y + 10, size) < 0.006) & (side <= 0))
    canvas[gaps] *= 0.8


def _floor(canvas: Floats, rng: np.random.Generator) -> None:
    height = canvas.shape[0]
    line = int(height * rng.uniform(0.8, 0.95))
    canvas[line:] = _muted(rng, 0.2, 0.6) * np.linspace(0.8, 1.0, height - line)[:, None, None]
    canvas[max(line - height // 60, 0) : line] = _muted(rng, 0.6, 0.9)
