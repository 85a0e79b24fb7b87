"""Squares around single hands out of whole frames, turned, moved and relit: the closer look learns from them too.

What `training.closeup` cuts once and keeps, here cut on the device for every step.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.pixels import standardise
from training.closeup.learn import Looks, bone_directions, relit
from training.contrast.moments import COLUMNS
from training.contrast.pool import Rows

Glimpses = tuple[Tensor, Tensor, Tensor]
"""Pictures [B, 3, 2, S, S] standardised, bones [B, 20, 3], points [B, 21, 2], all as of right hands."""
SIDES = ("left_pose", "right_pose")
TOWARDS = (-1.0, 1.0)
"""A left hand is seen in a mirror."""


def glimpses(rows: Rows, size_px: int, looks: Looks | None, generator: torch.Generator) -> Glimpses:
    """The hands of moments that are known and in the picture; of none, nothing.

    Args:
        rows: the moments.
        size_px: side of what comes out.
        looks: how they change; None: not at all.
        generator: draws, on the rows' device.
    """
    poses = torch.stack([rows.targets[..., COLUMNS[name]] for name in SIDES], dim=1)  # [N, 2, frames, 63]
    known = torch.stack([rows.known[..., COLUMNS[name]].flatten(1).all(dim=1) for name in SIDES], dim=1)  # [N, 2]
    known = known & ~rows.hands.isnan().any(dim=-1) & ~rows.points.flatten(2).isnan().any(dim=-1)
    moment, side = known.nonzero(as_tuple=True)
    device, num_hands = known.device, len(moment)
    if not num_hands:
        none = torch.zeros(0, device=device)
        return none.reshape(0, 3, 2, size_px, size_px), none.reshape(0, 20, 3), none.reshape(0, 21, 2)
    square, points, pose = rows.hands[moment, side], rows.points[moment, side], poses[moment, side]
    matrix, move, size = _ways(num_hands, looks, generator)
    towards = torch.tensor(TOWARDS, device=device)[side]
    flip = torch.stack([towards, torch.ones_like(towards)], dim=1)  # [B, 2]

    # A place p of the new square, from -1 to 1, shows what was at middle + side * flip(size * R p + 2 move).
    away = square[:, 2:] * flip
    middle = 2.0 * square[:, :2] - 1.0 + 2.0 * away * move
    theta = torch.cat([away[..., None] * size[:, None, None] * matrix, middle[..., None]], dim=2)
    grid = F.affine_grid(theta, [num_hands, 1, size_px, size_px], align_corners=False)
    frames = rows.frames[moment].permute(0, 4, 1, 2, 3).flatten(1, 2).float()
    pictures = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    pictures = standardise(pictures.reshape(num_hands, 3, 2, size_px, size_px), 1)
    if looks is not None:
        pictures = relit(pictures, looks, generator)

    points = (points - square[:, None, :2]) / square[:, None, 2:] * flip[:, None]
    points = torch.einsum("bji,bkj->bki", matrix, points - move[:, None]) / size[:, None, None]
    bones = bone_directions(pose.float().mean(dim=1).reshape(num_hands, 21, 3))
    across = torch.einsum("bij,bkj->bki", matrix, bones[..., :2] * flip[:, None])
    return pictures, torch.cat([across, bones[..., 2:]], dim=-1), points


def _ways(count: int, looks: Looks | None, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """How squares are turned [B, 2, 2], moved [B, 2] in sides and scaled [B]."""
    device = generator.device
    if looks is None:
        eye = torch.eye(2, device=device).expand(count, 2, 2)
        return eye, torch.zeros(count, 2, device=device), torch.ones(count, device=device)
    turn = torch.deg2rad(looks.turn_deg * torch.randn(count, generator=generator, device=device))
    size = (looks.log_size * (2 * torch.rand(count, generator=generator, device=device) - 1)).exp()
    move = looks.move * torch.randn(count, 2, generator=generator, device=device)
    return torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], dim=1).reshape(-1, 2, 2), move, size
