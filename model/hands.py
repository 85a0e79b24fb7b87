"""Where the hands are, and a closer look at them.

The network that sees the whole frame sees it coarsely and says where the hands are; a second one sees a square around
each at the frame's full resolution, the left hand mirrored, so that it only has to know right hands.

Source: ours (docs/decisions/compact-encoder.md); a glimpse at a place that the network itself chooses is the idea of
Mnih et al., "Recurrent Models of Visual Attention", NeurIPS 2014, here with places that are learned from poses.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import EncoderConfig
from model.hiera import Hiera, pooling_order
from model.pixels import standardise

NUM_HANDS = 2
"""Left and right, in this order."""
LOG_SIDES = (-1.5, 0.9)
"""How far squares may be from their usual side: a fifth to two and a half times, as a logarithm."""


class HandPlaces(NamedTuple):
    """Where the hands are believed to be."""

    places: Tensor
    """[B, 2, 2] x and y of the middle of the left and the right hand, in shares of the frame."""
    side: Tensor
    """[B] of the squares to look at, in shares of the frame: near signers have larger hands."""
    scores: Tensor
    """[B, 2, N] how likely a hand is near each token, before the softmax."""
    tokens: Tensor
    """[B, N, 2] the tokens' own places."""


class HandFinder(nn.Module):
    """From the tokens of the whole frame to a place for each hand: the likely token's, and some way from it.

    How large hands are follows from the signer's size, which all tokens tell together.
    """

    token_places: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.score = nn.Linear(config.dim, NUM_HANDS)
        self.offset = nn.Linear(config.dim, NUM_HANDS * 2)
        self.size = nn.Linear(config.dim, 1)
        self.usual_side = config.hand_px / config.image_size
        self.register_buffer("token_places", token_places(config), persistent=False)
        for layer in (self.offset, self.size):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, visible: Tensor | None) -> HandPlaces:
        """[B, K, L, C] tokens of the last stage and [B, K] their mask units."""
        batch, num_units, length, _ = x.shape
        tokens = self.token_places[None] if visible is None else self.token_places[visible]  # [B, K, L, 2]
        x = self.norm(x)
        scores = self.score(x).reshape(batch, num_units * length, NUM_HANDS).transpose(1, 2)
        offsets = self.offset(x).reshape(batch, num_units * length, NUM_HANDS, 2).transpose(1, 2)
        tokens = tokens.flatten(1, 2).expand(batch, -1, -1)
        side = self.usual_side * self.size(x).mean(dim=(1, 2))[:, 0].float().clamp(*LOG_SIDES).exp()
        believed = scores.float().softmax(dim=-1)[..., None] * (tokens[:, None] + offsets.float())
        return HandPlaces(believed.sum(dim=2), side, scores, tokens)


class Hands(nn.Module):
    """The closer look: squares around both hands to one vector each."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.find = HandFinder(config)
        self.backbone = Hiera(config.hand_config)
        self.place = nn.Linear(NUM_HANDS * 2, config.dim)

    def forward(
        self, windows: Tensor, tokens: Tensor, visible: Tensor | None, told: Tensor | None = None
    ) -> tuple[Tensor, HandPlaces]:
        """Find the hands and look at them; the closer look also sees pixels of mask units that are not visible.

        Args:
            windows: [B, 3, frames, rows, columns] of the whole frame, as `Hiera.forward` takes them.
            tokens: [B, K, L, C] what the last stage made of it.
            visible: [B, K] mask units of the tokens; None for all.
            told: [B, 2, 3] places and sides to look at instead, NaN where the network's own belief counts.

        Returns:
            [B, 3 C]: left hand, right hand, where they were looked for; and the belief.
        """
        found = self.find(tokens, visible)
        squares = torch.cat([found.places, found.side[:, None, None].expand(-1, NUM_HANDS, 1)], dim=2).detach()
        if told is not None:
            squares = torch.where(told.isnan(), squares, told)
        glimpses = torch.stack([cut(windows, square, self.config.hand_px) for square in squares.unbind(1)], dim=1)
        glimpses = torch.stack([glimpses[:, 0].flip(-1), glimpses[:, 1]], dim=1)
        seen = self.backbone(glimpses.flatten(0, 1))[-1].mean(dim=(1, 2))
        where = self.place(2.0 * squares[..., :2].flatten(1).to(seen.dtype) - 1.0)
        return torch.cat([seen.reshape(windows.shape[0], -1), where], dim=1), found


def cut(windows: Tensor, squares: Tensor, size_px: int) -> Tensor:
    """A square around a place of every window, seen at one size; beyond the frame its edge goes on.

    Args:
        windows: [B, 3, frames, rows, columns] as `standardise` leaves them, rows as many as columns; or uint8.
        squares: [B, 3] x and y of its middle and its side, in shares of the frame.
        size_px: the side of what comes out.

    Returns:
        [B, 3, frames, size_px, size_px], standardised.
    """
    if windows.dtype == torch.uint8:
        windows = standardise(windows, 1)
    steps = ((torch.arange(size_px, device=squares.device) + 0.5) / size_px - 0.5) * 2.0  # from -1 to 1
    columns, rows = (2.0 * squares[:, axis, None] - 1.0 + squares[:, 2, None] * steps for axis in (0, 1))
    across = (-1, size_px, size_px)
    grid = torch.stack([columns[:, None, :].expand(across), rows[:, :, None].expand(across)], dim=-1)
    pictures = windows.flatten(1, 2)  # [B, 3 * frames, rows, columns]
    seen = F.grid_sample(pictures, grid.to(pictures.dtype), padding_mode="border", align_corners=False)
    return seen.reshape(*windows.shape[:3], size_px, size_px)


def token_places(config: EncoderConfig) -> Tensor:
    """The middle of every token of the last stage in the frame: [U, L, 2] x and y in shares, sorted as tokens are."""
    _, height, width = config.token_grid
    order = pooling_order(config)
    rows, columns = order // width % height, order % width
    fine = torch.stack([(columns + 0.5) / width, (rows + 0.5) / height], dim=-1)
    pooled = config.q_stride[0] * config.q_stride[1] * config.q_stride[2]
    return fine.reshape(len(fine), -1, pooled**config.q_pool, 2).mean(dim=2)
