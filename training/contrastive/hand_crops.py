"""Squares around single hands, cropped from whole frames on the device, turned, moved and relit."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from model.network.pixels import standardise
from training.contrastive.clips.clip_pool import WindowTable
from training.contrastive.clips.windows import COLUMNS

SIDES = ("left_pose", "right_pose")
TO_RIGHT_HAND = (-1.0, 1.0)
"""Left hands are mirrored."""
FINGER_BONES = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))
"""From keypoint to keypoint of a hand, in MediaPipe's order: four bones a finger, thumb first."""


class HandCrops(NamedTuple):
    """Single hands, all as right hands."""

    pictures: Tensor
    """[B, 3, 2, S, S] standardised."""
    bones: Tensor
    """[B, 20, 3] directions of length 1."""
    points: Tensor
    """[B, 21, 2] keypoints from the middle, in sides of the picture."""


@dataclass(frozen=True)
class HandAugmentConfig:
    """How much pictures of hands are changed. Decisions, all of them."""

    turn_deg: float = 25.0
    """Standard deviation of the turn in the picture."""
    log_size: float = 0.25
    """Greatest change of size, as a logarithm, either way."""
    move: float = 0.07
    """Standard deviation of the middle, in sides: the encoder does not know exactly where a hand is."""
    coarse_px: tuple[int, int] = (28, 96)
    """Least and greatest side to which half of the pictures are scaled down, and up again: signers who are far away,
    low bit rates."""
    light: float = 0.35
    """Standard deviation of brightness, contrast and of every channel's gain, as logarithms."""
    grey: float = 0.15
    """Share without colour."""
    noise: float = 0.08
    """Greatest standard deviation of noise; pixels are standardised."""
    hidden: float = 0.3
    """Share in which a rectangle is blank."""


def hand_crops(
    rows: WindowTable, size_px: int, augment: HandAugmentConfig | None, generator: torch.Generator
) -> HandCrops:
    """The hands of windows whose pose is known and which are in the picture.

    Args:
        rows: the windows.
        size_px: side of the pictures.
        augment: how much they are changed; None: not at all.
        generator: random numbers, on the rows' device.
    """
    poses = torch.stack([rows.targets[..., COLUMNS[name]] for name in SIDES], dim=1)  # [N, 2, frames, 63]
    known = torch.stack([rows.known[..., COLUMNS[name]].flatten(1).all(dim=1) for name in SIDES], dim=1)  # [N, 2]
    known = known & ~rows.hands.isnan().any(dim=-1) & ~rows.points.flatten(2).isnan().any(dim=-1)
    window, side = known.nonzero(as_tuple=True)
    device, num_hands = known.device, len(window)
    if not num_hands:
        none = torch.zeros(0, device=device)
        return HandCrops(none.reshape(0, 3, 2, size_px, size_px), none.reshape(0, 20, 3), none.reshape(0, 21, 2))
    square, points, pose = rows.hands[window, side], rows.points[window, side], poses[window, side]
    matrix, move, size = _transforms(num_hands, augment, generator)
    mirror = torch.tensor(TO_RIGHT_HAND, device=device)[side]
    flip = torch.stack([mirror, torch.ones_like(mirror)], dim=1)  # [B, 2]

    # Position p of the crop, from -1 to 1, shows the position middle + side * flip(size * R p + 2 move) of the frame.
    reach = square[:, 2:] * flip
    middle = 2.0 * square[:, :2] - 1.0 + 2.0 * reach * move
    theta = torch.cat([reach[..., None] * size[:, None, None] * matrix, middle[..., None]], dim=2)
    grid = F.affine_grid(theta, [num_hands, 1, size_px, size_px], align_corners=False)
    frames = rows.frames[window].permute(0, 4, 1, 2, 3).flatten(1, 2).float()
    pictures = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    pictures = standardise(pictures.reshape(num_hands, 3, 2, size_px, size_px), 1)
    if augment is not None:
        pictures = relit(pictures, augment, generator)

    points = (points - square[:, None, :2]) / square[:, None, 2:] * flip[:, None]
    points = torch.einsum("bji,bkj->bki", matrix, points - move[:, None]) / size[:, None, None]
    bones = bone_directions(pose.float().mean(dim=1).reshape(num_hands, 21, 3))
    across = torch.einsum("bij,bkj->bki", matrix, bones[..., :2] * flip[:, None])
    return HandCrops(pictures, torch.cat([across, bones[..., 2:]], dim=-1), points)


def bone_directions(points: Tensor) -> Tensor:
    """Directions of the bones of a hand: [.., 21, 3] -> [.., 20, 3] of length 1."""
    starts, ends = torch.tensor(FINGER_BONES, device=points.device).T
    return F.normalize(points[..., ends, :] - points[..., starts, :], dim=-1)


def _transforms(
    count: int, augment: HandAugmentConfig | None, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """How squares are turned [B, 2, 2], moved [B, 2] in sides and scaled [B]."""
    device = generator.device
    if augment is None:
        eye = torch.eye(2, device=device).expand(count, 2, 2)
        return eye, torch.zeros(count, 2, device=device), torch.ones(count, device=device)
    turn = torch.deg2rad(augment.turn_deg * torch.randn(count, generator=generator, device=device))
    size = (augment.log_size * (2 * torch.rand(count, generator=generator, device=device) - 1)).exp()
    move = augment.move * torch.randn(count, 2, generator=generator, device=device)
    return torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], dim=1).reshape(-1, 2, 2), move, size


def relit(pictures: Tensor, augment: HandAugmentConfig, generator: torch.Generator) -> Tensor:
    """Other light, less detail, noise and blank rectangles: [B, 3, 2, S, S], standardised."""
    num, size_px, device = len(pictures), pictures.shape[-1], pictures.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(num, *shape, generator=generator, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(num, *shape, generator=generator, device=device)

    group_size = max(16, num // 32)
    shuffled = torch.randperm(num, generator=generator, device=device)
    for group in shuffled[: num // (2 * group_size) * group_size].reshape(-1, group_size):
        least, most = augment.coarse_px
        coarse = int(torch.randint(least, most + 1, (1,), generator=generator, device=device))
        small = F.interpolate(pictures[group].flatten(1, 2), (coarse, coarse), mode="bilinear", antialias=True)
        large = F.interpolate(small, (size_px, size_px), mode="bilinear", align_corners=False)
        pictures[group] = large.reshape(pictures[group].shape)
    grey = (uniform(1, 1, 1, 1) < augment.grey).float()
    pictures = pictures + grey * (pictures.mean(dim=1, keepdim=True) - pictures)
    gain = (augment.light * 0.4 * normal(3, 1, 1, 1)).exp()
    contrast = (augment.light * normal(1, 1, 1, 1)).exp()
    brightness = 1.5 * augment.light * normal(1, 1, 1, 1)
    pictures = pictures * (gain * contrast) + brightness
    pictures = pictures + augment.noise * uniform(1, 1, 1, 1) * normal(*pictures.shape[1:])
    return pictures * ~blank(num, size_px, augment.hidden, generator)


def blank(num: int, size_px: int, share: float, generator: torch.Generator) -> Tensor:
    """[B, 1, 1, S, S] True in a rectangle of up to a third of the side, in a share of the pictures."""
    device = generator.device
    middle, reach = (torch.rand(num, 2, generator=generator, device=device) for _ in range(2))
    reach = reach / 6 * (torch.rand(num, 1, generator=generator, device=device) < share)
    steps = (torch.arange(size_px, device=device) + 0.5) / size_px
    inside = (steps - middle[..., None]).abs() < reach[..., None]  # [B, 2, S]
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None, None]
