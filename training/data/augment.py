"""What changes in a window's looks and not in its sign: crop, colour of the light, blur, colour at all.

Targets stay as they are: keypoints and distances are 3D and relative to the body, angles are between bones, so neither
knows where in the picture the signer stands. There is no mirroring, because that would exchange the hands.
"""

from dataclasses import dataclass

import torch
from kornia.augmentation import (
    RandomGaussianBlur,
    RandomGrayscale,
    RandomPlanckianJitter,
    RandomResizedCrop,
    VideoSequential,
)
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Augment:
    """How far windows are changed. Paper: names the four changes, no strength; all numbers here are decisions."""

    crop_area: tuple[float, float] = (0.6, 1.0)
    """Least and greatest share of the frame's area that is kept. Decision: hands are seldom cut off."""
    crop_aspect: tuple[float, float] = (0.85, 1.18)
    """Least and greatest width by height of the crop. Decision."""
    planckian: float = 0.5
    """Probability of another colour of light, from a candle's to blue sky's. Decision."""
    blur: float = 0.2
    """Probability of Gaussian blur. Decision."""
    blur_sigma_px: tuple[float, float] = (0.1, 2.0)
    """Least and greatest width of the blur. Decision."""
    grayscale: float = 0.1
    """Probability of losing all colour. Decision."""


class Augmenter(nn.Module):
    """Changes every window in its own way and all its frames alike. Draws from torch's random numbers."""

    def __init__(self, config: Augment, size_px: int) -> None:
        super().__init__()
        self.size_px = size_px
        kernel = 2 * int(2 * config.blur_sigma_px[1]) + 1
        self.changes = VideoSequential(
            RandomResizedCrop((size_px, size_px), scale=config.crop_area, ratio=config.crop_aspect),
            RandomPlanckianJitter(p=config.planckian),
            RandomGaussianBlur((kernel, kernel), config.blur_sigma_px, p=config.blur),
            RandomGrayscale(p=config.grayscale),
            data_format="BTCHW",
            same_on_frame=True,
        )

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Change windows; the result is pixels again, so that normalisation is the one that serves.

        Args:
            frames: [B, 16, H, W, 3] uint8.

        Returns:
            [B, 16, size_px, size_px, 3] uint8.
        """
        scaled = frames.movedim(-1, 2).float() / 255.0
        return to_pixels(self.changes(scaled))


def resize(frames: Tensor, size_px: int) -> Tensor:
    """Windows without change but to the encoder's size: [B, 16, H, W, 3] uint8 -> [B, 16, size_px, size_px, 3]."""
    if frames.shape[2:4] == (size_px, size_px):
        return frames
    scaled = frames.flatten(0, 1).movedim(-1, 1).float() / 255.0
    scaled = F.interpolate(scaled, (size_px, size_px), mode="bilinear", antialias=True, align_corners=False)
    return to_pixels(scaled.reshape(*frames.shape[:2], *scaled.shape[1:]))


def to_pixels(scaled: Tensor) -> Tensor:
    """[B, 16, 3, H, W] in [0, 1] -> [B, 16, H, W, 3] uint8."""
    return (scaled * 255.0).round().clamp(0, 255).to(torch.uint8).movedim(2, -1)
