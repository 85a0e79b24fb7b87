"""Augmentation of clips on the device: crop, light, detail, compression, noise.

What `data.windows.augment` does window by window on bytes, here for a whole batch at once; all windows of a clip are
changed alike, as in a video.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.network.pixels import standardise

BLOCK_PX = 8
"""Side of the blocks of simulated compression."""
DETAILS = 4
"""Different sizes of the coarse pictures of a batch."""


@dataclass(frozen=True)
class AugmentConfig:
    """How much clips are changed. Decisions, all of them."""

    crop_area: tuple[float, float] = (0.5, 1.8)
    """Least and greatest share of the frame that is shown; above 1 the signer becomes smaller."""
    crop_aspect: float = 1.15
    """Greatest width by height of the crop, and the inverse of its least."""
    gain: float = 0.12
    """Standard deviation of every channel's gain, as a logarithm: colour of light and skin."""
    light: float = 0.18
    """Standard deviation of brightness and contrast, as logarithms."""
    grey: float = 0.1
    """Share without colour."""
    coarse: float = 0.5
    """Share with less detail: signers who are far away, low bit rates, cheap lenses."""
    coarse_px: tuple[int, int] = (96, 224)
    """Least and greatest side of such pictures."""
    blocks: float = 0.4
    """Share that is compressed in blocks, as video is."""
    block_step: float = 0.12
    """Greatest step of the values that compression keeps, for the finest detail."""
    noise: float = 0.05
    """Greatest standard deviation of noise; white is 1."""
    repeated: float = 0.1
    """Share of windows whose second picture repeats the first, as in recordings with dropped frames: an encoder that
    never saw it takes it for rest."""


@dataclass(frozen=True)
class Crops:
    """The crop of every clip: position p of the crop shows position scale * p + shift of the frame, from -1 to 1."""

    scale: Tensor
    """[C, 2] across and down."""
    shift: Tensor
    """[C, 2]."""

    def transform(self, squares: Tensor, clips: Tensor) -> Tensor:
        """Squares in the frame as squares in the crop: [N, 2, 3] in shares; `clips` says in whose: [N]."""
        scale, shift = self.scale[clips][:, None], self.shift[clips][:, None]
        where = (2.0 * squares[..., :2] - 1.0 - shift) / scale
        side = squares[..., 2:] / scale.prod(dim=-1, keepdim=True).sqrt()
        return torch.cat([(where + 1.0) / 2.0, side], dim=-1)


def sample_crops(num_clips: int, config: AugmentConfig, generator: torch.Generator) -> Crops:
    """Random crops of `num_clips` clips."""
    device = generator.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(num_clips, *shape, generator=generator, device=device)

    low, high = config.crop_area
    side = (low + (high - low) * draw(1)).sqrt()
    aspect = ((2.0 * draw(1) - 1.0) * math.log(config.crop_aspect) / 2.0).exp()
    scale = torch.cat([side * aspect, side / aspect], dim=1)
    return Crops(scale, (2.0 * draw(2) - 1.0) * (1.0 - scale).abs())


ChangeLight = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def change_light(
    pictures: Tensor, noise: Tensor, grey: Tensor, gain: Tensor, gamma: Tensor, strength: Tensor, repeats: Tensor
) -> Tensor:
    """Pictures in another light, with noise, some with their first picture twice; pixel by pixel: it compiles well.

    Args:
        pictures: [N, 3, 2, S, S] from 0 to 1.
        noise: likewise, of standard deviation 1.
        grey: [N, 1, 1, 1, 1] 1 where they lose their colour.
        gain: [N, 3, 1, 1, 1] of every channel.
        gamma: [N, 1, 1, 1, 1].
        strength: [N, 1, 1, 1, 1] of the noise.
        repeats: [N, 1, 1, 1, 1] whether the second picture is the first once more.

    Returns:
        The same shape, standardised.
    """
    pictures = torch.lerp(pictures, pictures.mean(dim=1, keepdim=True), grey)
    pictures = gain * pictures.clamp(1e-4, 1.0) ** gamma
    pictures = (pictures + strength * noise).clamp(0.0, 1.0)
    pictures = torch.where(repeats, pictures[:, :, :1], pictures)
    return standardise(255.0 * pictures, 1)


def augment(
    frames: Tensor,
    crops: Crops,
    clips: Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    light: ChangeLight = change_light,
) -> Tensor:
    """Windows as the network sees them in training.

    Args:
        frames: [N, 2, S, S, 3] uint8.
        crops: of every clip.
        clips: [N] the number of every window's clip, from 0.
        config: how much they change.
        generator: random numbers, on the frames' device.
        light: `change_light`, perhaps compiled.

    Returns:
        [N, 3, 2, S, S] float32, standardised.
    """
    num_clips, num, size_px, device = len(crops.scale), len(frames), frames.shape[2], frames.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(num_clips, *shape, generator=generator, device=device)[clips]

    def normal(*shape: int) -> Tensor:
        return torch.randn(num_clips, *shape, 1, 1, 1, generator=generator, device=device)[clips]

    pictures = crop_pictures(frames.permute(0, 4, 1, 2, 3).flatten(1, 2).float().div_(255.0), crops, clips)
    pictures = reduce_detail(pictures, draw() < config.coarse, config.coarse_px, generator)
    blocky = (draw() < config.blocks).nonzero()[:, 0]
    pictures[blocky] = compress_blocks(pictures[blocky], config.block_step * draw()[blocky])
    return light(
        pictures.reshape(num, 3, 2, size_px, size_px),
        torch.randn(num, 3, 2, size_px, size_px, generator=generator, device=device),
        (draw(1, 1, 1, 1) < config.grey).float(),
        (config.gain * normal(3) + config.light * normal(1)).exp(),
        (config.light * normal(1)).exp(),
        config.noise * draw(1, 1, 1, 1),
        torch.rand(num, 1, 1, 1, 1, generator=generator, device=device) < config.repeated,
    )


def crop_pictures(pictures: Tensor, crops: Crops, clips: Tensor) -> Tensor:
    """[N, C, S, S] -> the same shape: the crops, the frame's border repeated beyond it."""
    theta = torch.cat([torch.diag_embed(crops.scale), crops.shift[..., None]], dim=2)[clips]
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def reduce_detail(pictures: Tensor, chosen: Tensor, sizes_px: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Scale some pictures down and up again: [N, C, S, S], and [N] which."""
    device, size_px = pictures.device, pictures.shape[-1]
    rows = chosen.nonzero()[:, 0]
    for part in rows.chunk(DETAILS):
        coarse = int(torch.randint(sizes_px[0], sizes_px[1] + 1, (1,), generator=generator, device=device))
        if len(part) and coarse < size_px:
            small = F.interpolate(pictures[part], (coarse, coarse), mode="bilinear", antialias=True)
            pictures[part] = F.interpolate(small, (size_px, size_px), mode="bilinear", align_corners=False)
    return pictures


def compress_blocks(pictures: Tensor, step: Tensor) -> Tensor:
    """Round the block-wise cosine coefficients of pictures: [N, C, S, S], and [N] step of the finest detail."""
    line = cosine_basis(pictures.device)
    basis = torch.kron(line, line)  # [64, 64]: rows and columns at once
    num, channels, size_px, _ = pictures.shape
    lines = (num, channels, size_px // BLOCK_PX, BLOCK_PX, size_px // BLOCK_PX, BLOCK_PX)
    values = pictures.reshape(lines).transpose(3, 4).flatten(4) @ basis.T  # [N, C, S/8, S/8, 64]
    ramp = torch.arange(BLOCK_PX, device=pictures.device)
    fineness = 0.1 + (ramp[:, None] + ramp[None]).flatten() / (2.0 * BLOCK_PX - 2.0)
    steps = (step[:, None, None, None, None] * fineness).clamp(min=1e-4)
    blocks = values.div_(steps).round_().mul_(steps) @ basis
    return blocks.reshape(*blocks.shape[:4], BLOCK_PX, BLOCK_PX).transpose(3, 4).reshape(pictures.shape)


def cosine_basis(device: torch.device) -> Tensor:
    """The orthonormal cosine basis of a block: [8, 8], a frequency per row."""
    steps = torch.arange(BLOCK_PX, device=device)
    basis = (math.pi / BLOCK_PX * (steps[None] + 0.5) * steps[:, None]).cos() * math.sqrt(2.0 / BLOCK_PX)
    basis[0] /= math.sqrt(2.0)
    return basis
