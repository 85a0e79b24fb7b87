"""Augmentation of windows: crop, light, sharpness, greyscale.

Targets stay as they are: keypoints and distances are 3D and relative to the body, angles are between bones, so neither
knows where in the picture the signer stands. Only the hands' places in the picture move with the crop. Mirroring,
which exchanges the hands, is done by the sources.

All is done on bytes. The same augmentation by a library on floating-point pictures took longer than a small
network's step (docs/decisions/augmentation.md).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.encoder import Floats, Frames

WAVELENGTHS_NM = np.array([611.0, 549.0, 464.0])
"""Wavelengths of red, green and blue of a screen."""
DAYLIGHT_K = 6500.0
LIGHT_K = (3000.0, 15000.0)
"""From a candle-like lamp to blue sky, as in Planckian jitter (Zini et al., ICLR 2023)."""
LUMA = (77, 150, 29)
"""Shares of red, green and blue in brightness, of 256 (Rec. 601)."""


@dataclass(frozen=True)
class AugmentParams:
    """Strength of augmentation. Paper: names the four kinds, no strength; all numbers here are decisions."""

    crop_area: tuple[float, float] = (0.6, 1.0)
    """Least and greatest share of the frame's area that is shown; above 1 the signer becomes smaller, and the frame's
    edge goes on beyond it. Decision: hands are seldom cut off."""
    crop_aspect: tuple[float, float] = (0.85, 1.18)
    """Least and greatest width by height of the crop. Decision."""
    planckian: float = 0.5
    """Probability of another colour of light, from a lamp's to blue sky's. Decision."""
    exposure: float = 0.0
    """Probability of another brightness and contrast. Decision: the paper does not name it."""
    blur: float = 0.2
    """Probability of blur. Decision."""
    blur_sigma_px: tuple[float, float] = (0.1, 2.0)
    """Least and greatest width of the blur. Decision."""
    grayscale: float = 0.1
    """Probability of losing all colour. Decision."""


@dataclass(frozen=True)
class CropBox:
    """A part of a frame, in pixels."""

    top: int
    """Its first row."""
    left: int
    """Its first column."""
    height: int
    """Its rows."""
    width: int
    """Its columns."""
    rows: int
    """Rows of the frame."""
    columns: int
    """Columns of the frame."""

    def inside(self, squares: Floats) -> Floats:
        """Squares of the whole frame as squares of this part, which may lie outside.

        Args:
            squares: [.., 3] x and y of the middle, and the side, in shares of the frame.

        Returns:
            The same in shares of this part; its height and width count alike for the side.
        """
        whole = np.array([self.columns, self.rows, math.sqrt(self.columns * self.rows)])
        part = np.array([self.width, self.height, math.sqrt(self.width * self.height)])
        return np.asarray((squares * whole - np.array([self.left, self.top, 0])) / part, np.float32)


class Augmenter:
    """Changes every window in its own way and all its frames alike."""

    def __init__(self, config: AugmentParams, size_px: int) -> None:
        self.config, self.size_px = config, size_px

    def __call__(self, window: Frames, rng: np.random.Generator) -> tuple[Frames, CropBox]:
        """Change a window; the result is pixels again, so that normalisation is the one that serves.

        Args:
            window: [T, H, W, 3] uint8.
            rng: samples the changes.

        Returns:
            [T, size_px, size_px, 3] uint8, and the part of the frame that it shows.
        """
        config = self.config
        box = sample_box(config, window.shape[1], window.shape[2], rng)
        sigma_px = rng.uniform(*config.blur_sigma_px) if rng.random() < config.blur else 0.0
        window = scale(crop(window, box), self.size_px, sigma_px)
        if rng.random() < config.grayscale:
            window = without_colour(window)
        return apply_curves(window, sample_curves(config, rng)), box


def sample_box(config: AugmentParams, rows: int, columns: int, rng: np.random.Generator) -> CropBox:
    """A part of the frame."""
    area = rows * columns * rng.uniform(*config.crop_area)
    aspect = math.exp(rng.uniform(*np.log(config.crop_aspect)))
    height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
    if config.crop_area[1] <= 1.0:
        height, width = min(rows, height), min(columns, width)
    top, left = _start(rows, height, rng), _start(columns, width, rng)
    return CropBox(top, left, height, width, rows, columns)


def _start(whole: int, part: int, rng: np.random.Generator) -> int:
    """Random start of a part inside the whole, or of a longer part that contains the whole."""
    first, last = sorted((0, whole - part))
    return int(rng.integers(first, last + 1))


def crop(window: Frames, box: CropBox) -> Frames:
    """A window cropped to a box, padded with the frame's edges where the box goes beyond: [T, H, W, 3] uint8."""
    rows = np.arange(box.top, box.top + box.height).clip(0, box.rows - 1)
    columns = np.arange(box.left, box.left + box.width).clip(0, box.columns - 1)
    if box.height <= box.rows and box.width <= box.columns:
        return window[:, box.top : box.top + box.height, box.left : box.left + box.width]
    return window[:, rows[:, None], columns]


def sample_curves(config: AugmentParams, rng: np.random.Generator) -> NDArray[np.float64]:
    """[256, 3]: what becomes of every level of red, green and blue."""
    curves = np.tile(np.arange(256.0)[:, None], (1, 3))
    if rng.random() < config.planckian:
        # Even in the inverse of the temperature, as the eye sees it.
        curves *= light_gains(1.0 / rng.uniform(1.0 / LIGHT_K[1], 1.0 / LIGHT_K[0]))
    if rng.random() < config.exposure:
        contrast, gain = math.exp(rng.uniform(-0.4, 0.4)), math.exp(rng.uniform(-0.35, 0.25))
        curves = 255.0 * gain * (curves / 255.0) ** contrast
    return curves


def light_gains(kelvin: float) -> NDArray[np.float64]:
    """Gains of red, green and blue under black-body light of a temperature, relative to daylight; green is 1."""

    def radiance(temperature: float) -> NDArray[np.float64]:
        return 1.0 / np.expm1(1.4388e7 / (WAVELENGTHS_NM * temperature))

    gains: NDArray[np.float64] = radiance(kelvin) / radiance(DAYLIGHT_K)
    gains /= gains[1]
    return gains


def scale(window: Frames, size_px: int, sigma_px: float = 0.0) -> Frames:
    """Scale a window, blurred on the way: [T, H, W, 3] uint8 -> [T, size_px, size_px, 3].

    The blur is that of a smaller picture made large again, as low bit rates and cheap cameras give it.
    """
    pictures = torch.from_numpy(np.ascontiguousarray(window))
    if sigma_px > 0.5:
        pictures = resize(pictures[None], round(size_px / (2 * sigma_px)))[0]
    return resize(pictures[None], size_px)[0].numpy()


def without_colour(window: Frames) -> Frames:
    """All three channels as bright as the picture: [T, H, W, 3] uint8."""
    brightness = (window.astype(np.uint16) * np.array(LUMA, np.uint16)).sum(axis=-1, dtype=np.uint32) >> 8
    return np.repeat(brightness.astype(np.uint8)[..., None], 3, axis=-1)


def apply_curves(window: Frames, curves: NDArray[np.float64]) -> Frames:
    """Give every level of every channel another: [T, H, W, 3] uint8 and [256, 3] levels."""
    table = curves.round().clip(0, 255).astype(np.uint8)
    if (table == np.arange(256)[:, None]).all():
        return window
    return np.stack([table[:, channel][window[..., channel]] for channel in range(3)], axis=-1)


def resize(frames: Tensor, size_px: int) -> Tensor:
    """Windows without change but to the encoder's size: [B, T, H, W, 3] uint8 -> [B, T, size_px, size_px, 3]."""
    if frames.shape[2:4] == (size_px, size_px):
        return frames
    pictures = frames.flatten(0, 1).movedim(-1, 1)
    # Torch has this on bytes for CPUs, and on floats for GPUs.
    pictures = pictures if pictures.device.type == "cpu" else pictures.float()
    scaled = F.interpolate(pictures, (size_px, size_px), mode="bilinear", antialias=True, align_corners=False)
    if scaled.is_floating_point():
        scaled = scaled.round().clamp(0, 255).to(torch.uint8)
    return scaled.movedim(1, -1).contiguous().reshape(*frames.shape[:2], size_px, size_px, 3)
