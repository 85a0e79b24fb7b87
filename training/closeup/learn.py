"""Teach the closer look to read a hand: where its bones point, and where its keypoints are in the picture.

Half of a step of pretraining goes into the whole frame, and the hands are read through one embedding among everything
else; here nothing but hands is seen, several times as many a second. What is learned is the backbone of
`model.hands.Hands`; what reads poses off it is thrown away afterwards.

    L = mean over bones of (1 - cos(bone, true bone))  +  2 * mean over keypoints of smooth |point - true point|

Source: ours (docs/decisions/compact-encoder.md).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import EncoderConfig
from model.hiera import Hiera
from model.pixels import standardise
from training.closeup.crops import FINGER_BONES, ROOM, Crops

NUM_BONES, NUM_POINTS = 20, 21


class HandReader(nn.Module):
    """The closer look, and what reads poses off it."""

    def __init__(self, backbone: Hiera, config: EncoderConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.read = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, 3 * NUM_BONES + 2 * NUM_POINTS))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, 2, S, S] standardised -> bones [B, 20, 3], of any length, and points [B, 21, 2]."""
        read = self.read(self.backbone(pictures)[-1].mean(dim=(1, 2)))
        bones, points = read[:, : 3 * NUM_BONES], read[:, 3 * NUM_BONES :]
        return bones.reshape(-1, NUM_BONES, 3), points.reshape(-1, NUM_POINTS, 2)


def bone_directions(points: Tensor) -> Tensor:
    """Where the bones of a hand point to: [.., 21, 3] -> [.., 20, 3] of length 1."""
    starts, ends = torch.tensor(FINGER_BONES, device=points.device).T
    return F.normalize(points[..., ends, :] - points[..., starts, :], dim=-1)


def closeup_loss(read: tuple[Tensor, Tensor], bones: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """See the module's docstring.

    Args:
        read: bones [B, 20, 3] and points [B, 21, 2], as `HandReader` gives them.
        bones: the true ones.
        points: the true ones.

    Returns:
        The loss, and the mean cosine of the bones.
    """
    cosine = F.cosine_similarity(read[0].float(), bones, dim=-1).mean()
    away = F.smooth_l1_loss(read[1].float(), points, beta=0.05)
    return 1.0 - cosine + 2.0 * away, cosine


@dataclass(frozen=True)
class Looks:
    """How far pictures of hands are changed. Decisions, all of them."""

    turn_deg: float = 25.0
    """Standard deviation of the turn in the picture."""
    log_size: float = 0.25
    """Greatest change of size, as a logarithm, either way."""
    move: float = 0.07
    """Standard deviation of the middle, in sides: the encoder does not know exactly where a hand is."""
    coarse_px: tuple[int, int] = (28, 96)
    """Least and greatest side of the picture before it is made large again, for half of them: signers who are far away,
    low bit rates."""
    light: float = 0.35
    """Standard deviation of brightness, contrast and of every channel's gain, as logarithms."""
    grey: float = 0.15
    """Share without colour."""
    noise: float = 0.08
    """Greatest standard deviation of noise; pixels are standardised."""
    hidden: float = 0.3
    """Share in which a rectangle is blank."""


def draw_batch(
    crops: Crops, rows: np.ndarray, looks: Looks | None, size_px: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Hands as they are learned from.

    Args:
        crops: all hands.
        rows: which ones.
        looks: how they change; None: not at all.
        size_px: the side that the encoder sees.
        generator: draws the changes.

    Returns:
        Pictures [B, 3, 2, S, S] standardised, bones [B, 20, 3], points [B, 21, 2].
    """
    pictures = standardise(torch.from_numpy(crops.pictures[rows]), -1).permute(0, 4, 1, 2, 3)
    bones, points = torch.from_numpy(crops.bones[rows]), torch.from_numpy(crops.points[rows])
    if looks is None:
        return turned(pictures, torch.eye(2).expand(len(rows), 2, 2), torch.zeros(len(rows), 2), size_px), bones, points
    turn = torch.deg2rad(looks.turn_deg * torch.randn(len(rows), generator=generator))
    size = (looks.log_size * (2 * torch.rand(len(rows), generator=generator) - 1)).exp()
    move = looks.move * torch.randn(len(rows), 2, generator=generator)
    matrix = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], dim=1).reshape(-1, 2, 2)
    # A place p of the new square shows what was at size * R p + move; bones, whose y points up, turn the other way.
    pictures = turned(pictures, size[:, None, None] * matrix, move, size_px)
    points = torch.einsum("bji,bkj->bki", matrix, points - move[:, None]) / size[:, None, None]
    across = torch.einsum("bij,bkj->bki", matrix, bones[..., :2])
    return relit(pictures, looks, generator), torch.cat([across, bones[..., 2:]], dim=-1), points


def turned(pictures: Tensor, matrix: Tensor, move: Tensor, size_px: int) -> Tensor:
    """See pictures turned, scaled and moved: [B, 3, 2, K, K], [B, 2, 2], [B, 2] in sides -> [B, 3, 2, S, S]."""
    theta = torch.cat([matrix, 2.0 * move[..., None]], dim=2) / ROOM
    grid = F.affine_grid(theta, [len(pictures), 1, size_px, size_px], align_corners=False)
    seen = F.grid_sample(pictures.flatten(1, 2), grid, padding_mode="border", align_corners=False)
    return seen.reshape(*pictures.shape[:3], size_px, size_px)


def relit(pictures: Tensor, looks: Looks, generator: torch.Generator) -> Tensor:
    """Other light, less detail, noise and blank parts: [B, 3, 2, S, S], standardised."""
    num, size_px, device = len(pictures), pictures.shape[-1], pictures.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(num, *shape, generator=generator, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(num, *shape, generator=generator, device=device)

    group_size = max(16, num // 32)
    shuffled = torch.randperm(num, generator=generator, device=device)
    for group in shuffled[: num // (2 * group_size) * group_size].reshape(-1, group_size):
        coarse = int(
            torch.randint(looks.coarse_px[0], looks.coarse_px[1] + 1, (1,), generator=generator, device=device)
        )
        small = F.interpolate(pictures[group].flatten(1, 2), (coarse, coarse), mode="bilinear", antialias=True)
        large = F.interpolate(small, (size_px, size_px), mode="bilinear", align_corners=False)
        pictures[group] = large.reshape(pictures[group].shape)
    grey = (draw(1, 1, 1, 1) < looks.grey).float()
    pictures = pictures + grey * (pictures.mean(dim=1, keepdim=True) - pictures)
    gain = (looks.light * 0.4 * normal(3, 1, 1, 1)).exp()
    contrast = (looks.light * normal(1, 1, 1, 1)).exp()
    brightness = 1.5 * looks.light * normal(1, 1, 1, 1)
    pictures = pictures * (gain * contrast) + brightness
    pictures = pictures + looks.noise * draw(1, 1, 1, 1) * normal(*pictures.shape[1:])
    return pictures * ~blank(num, size_px, looks.hidden, generator)


def blank(num: int, size_px: int, share: float, generator: torch.Generator) -> Tensor:
    """[B, 1, 1, S, S] True in a rectangle of up to a third of the side, in a share of the pictures."""
    device = generator.device
    middle, reach = (torch.rand(num, 2, generator=generator, device=device) for _ in range(2))
    reach = reach / 6 * (torch.rand(num, 1, generator=generator, device=device) < share)
    steps = (torch.arange(size_px, device=device) + 0.5) / size_px
    inside = (steps - middle[..., None]).abs() < reach[..., None]  # [B, 2, S]
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None, None]


@torch.no_grad()
def validate(reader: HandReader, crops: Crops, size_px: int, most: int = 2000) -> float:
    """Mean cosine of the bones over hands that are not learned from, at most so many, evenly chosen."""
    reader.eval()
    rows = np.linspace(0, len(crops) - 1, min(most, len(crops))).round().astype(int)
    cosines = []
    for part in np.array_split(rows, -(-len(rows) // 64)):
        pictures, bones, points = draw_batch(crops, part, None, size_px, torch.Generator())
        cosines += [float(closeup_loss(reader(pictures), bones, points)[1])] * len(part)
    reader.train()
    return float(np.mean(cosines))


def rate(done: float, peak: float, warmup: float = 0.02) -> float:
    """The learning rate at a share of the run: up, then a cosine down to zero."""
    return peak * min(done / warmup, 1.0) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
