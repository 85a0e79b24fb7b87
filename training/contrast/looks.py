"""Other looks of clips, on the device where they are learned from: crop, light, detail, compression, noise.

What `training.data.augment` does window by window on bytes, here for a whole batch at once; all moments of a clip look
alike, as they do on a video.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.pixels import standardise

BLOCK_PX = 8
"""Of a picture's compression."""
DETAILS = 4
"""How many sizes a batch's coarse pictures have."""


@dataclass(frozen=True)
class Looks:
    """How far clips are changed. Decisions, all of them."""

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
    """Share of moments whose second picture is the first once more, as in recordings that lost some: an encoder that
    never saw it takes it for rest."""


@dataclass(frozen=True)
class Seen:
    """What is shown of every clip: its frame's place p shows what was at scale * p + shift, both from -1 to 1."""

    scale: Tensor
    """[C, 2] across and down."""
    shift: Tensor
    """[C, 2]."""

    def places(self, squares: Tensor, clips: Tensor) -> Tensor:
        """Squares of the whole frame, [N, 2, 3] in shares, as squares of what is shown; `clips` says whose: [N]."""
        scale, shift = self.scale[clips][:, None], self.shift[clips][:, None]
        where = (2.0 * squares[..., :2] - 1.0 - shift) / scale
        side = squares[..., 2:] / scale.prod(dim=-1, keepdim=True).sqrt()
        return torch.cat([(where + 1.0) / 2.0, side], dim=-1)


def draw_seen(num_clips: int, looks: Looks, generator: torch.Generator) -> Seen:
    """What is shown of so many clips."""
    device = generator.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(num_clips, *shape, generator=generator, device=device)

    low, high = looks.crop_area
    side = (low + (high - low) * draw(1)).sqrt()
    aspect = ((2.0 * draw(1) - 1.0) * math.log(looks.crop_aspect) / 2.0).exp()
    scale = torch.cat([side * aspect, side / aspect], dim=1)
    return Seen(scale, (2.0 * draw(2) - 1.0) * (1.0 - scale).abs())


Shade = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def shaded(
    pictures: Tensor, noise: Tensor, grey: Tensor, gain: Tensor, gamma: Tensor, strength: Tensor, repeats: Tensor
) -> Tensor:
    """Pictures in another light, with noise, some moments' first picture twice; pixel by pixel: it compiles well.

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


def changed(
    frames: Tensor, seen: Seen, clips: Tensor, looks: Looks, generator: torch.Generator, shade: Shade = shaded
) -> Tensor:
    """Moments as they are learned from.

    Args:
        frames: [N, 2, S, S, 3] uint8.
        seen: what is shown of every clip.
        clips: [N] whose moments they are, from 0.
        looks: how far they change.
        generator: draws, on the frames' device.
        shade: `shaded`, which may be compiled.

    Returns:
        [N, 3, 2, S, S] float32, standardised.
    """
    num_clips, num, size_px, device = len(seen.scale), len(frames), frames.shape[2], frames.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(num_clips, *shape, generator=generator, device=device)[clips]

    def normal(*shape: int) -> Tensor:
        return torch.randn(num_clips, *shape, 1, 1, 1, generator=generator, device=device)[clips]

    pictures = cropped(frames.permute(0, 4, 1, 2, 3).flatten(1, 2).float().div_(255.0), seen, clips)
    pictures = less_detail(pictures, draw() < looks.coarse, looks.coarse_px, generator)
    blocky = (draw() < looks.blocks).nonzero()[:, 0]
    pictures[blocky] = compressed(pictures[blocky], looks.block_step * draw()[blocky])
    return shade(
        pictures.reshape(num, 3, 2, size_px, size_px),
        torch.randn(num, 3, 2, size_px, size_px, generator=generator, device=device),
        (draw(1, 1, 1, 1) < looks.grey).float(),
        (looks.gain * normal(3) + looks.light * normal(1)).exp(),
        (looks.light * normal(1)).exp(),
        looks.noise * draw(1, 1, 1, 1),
        torch.rand(num, 1, 1, 1, 1, generator=generator, device=device) < looks.repeated,
    )


def cropped(pictures: Tensor, seen: Seen, clips: Tensor) -> Tensor:
    """[N, C, S, S] -> the same shape: what is shown of them, the frame's edge going on beyond it."""
    theta = torch.cat([torch.diag_embed(seen.scale), seen.shift[..., None]], dim=2)[clips]
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def less_detail(pictures: Tensor, chosen: Tensor, sizes_px: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Make some pictures small and large again: [N, C, S, S] and [N] which."""
    device, size_px = pictures.device, pictures.shape[-1]
    rows = chosen.nonzero()[:, 0]
    for part in rows.chunk(DETAILS):
        coarse = int(torch.randint(sizes_px[0], sizes_px[1] + 1, (1,), generator=generator, device=device))
        if len(part) and coarse < size_px:
            small = F.interpolate(pictures[part], (coarse, coarse), mode="bilinear", antialias=True)
            pictures[part] = F.interpolate(small, (size_px, size_px), mode="bilinear", align_corners=False)
    return pictures


def compressed(pictures: Tensor, step: Tensor) -> Tensor:
    """What coarse values of block-wise cosines leave of pictures: [N, C, S, S] and [N] step of the finest detail."""
    line = cosines(pictures.device)
    basis = torch.kron(line, line)  # [64, 64]: rows and columns at once
    num, channels, size_px, _ = pictures.shape
    lines = (num, channels, size_px // BLOCK_PX, BLOCK_PX, size_px // BLOCK_PX, BLOCK_PX)
    values = pictures.reshape(lines).transpose(3, 4).flatten(4) @ basis.T  # [N, C, S/8, S/8, 64]
    ramp = torch.arange(BLOCK_PX, device=pictures.device)
    fineness = 0.1 + (ramp[:, None] + ramp[None]).flatten() / (2.0 * BLOCK_PX - 2.0)
    steps = (step[:, None, None, None, None] * fineness).clamp(min=1e-4)
    blocks = values.div_(steps).round_().mul_(steps) @ basis
    return blocks.reshape(*blocks.shape[:4], BLOCK_PX, BLOCK_PX).transpose(3, 4).reshape(pictures.shape)


def cosines(device: torch.device) -> Tensor:
    """The orthonormal cosine basis of blocks: [8, 8], a frequency a row."""
    steps = torch.arange(BLOCK_PX, device=device)
    basis = (math.pi / BLOCK_PX * (steps[None] + 0.5) * steps[:, None]).cos() * math.sqrt(2.0 / BLOCK_PX)
    basis[0] /= math.sqrt(2.0)
    return basis
