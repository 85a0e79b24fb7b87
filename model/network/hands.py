"""The hand branch: where the hands are, and a second network for crops around them.

The network for the whole frame sees it coarsely and locates the hands; the hand branch sees a square crop around each
at the frame's full resolution, the left hand mirrored, so that it only has to know right hands.

Source: ours (docs/decisions/compact-encoder.md); crops at a place that the network itself chooses are the idea of Mnih
et al., "Recurrent Models of Visual Attention", NeurIPS 2014, here with places that are learned from poses.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import EncoderConfig
from model.network.hiera import Hiera, pooling_order
from model.network.pixels import standardise

NUM_HANDS = 2
"""Left and right, in this order."""
LOG_SIDES = (-1.5, 0.9)
"""How far squares may be from their usual side: a fifth to two and a half times, as a logarithm."""


class HandLocations(NamedTuple):
    """Where the hands are, by the network's estimate."""

    places: Tensor
    """[B, 2, 2] x and y of the middle of the left and the right hand, in shares of the frame."""
    side: Tensor
    """[B] of the squares to crop, in shares of the frame: near signers have larger hands."""
    scores: Tensor
    """[B, 2, N] how likely a hand is near each token, before the softmax."""
    tokens: Tensor
    """[B, N, 2] the tokens' own places."""


class HandLocator(nn.Module):
    """From the tokens of the whole frame to a place for each hand: that of the likely tokens, plus an offset.

    How large hands are follows from the signer's size, for which all tokens are averaged.
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

    def forward(self, x: Tensor, visible: Tensor | None) -> HandLocations:
        """[B, K, L, C] tokens of the last stage and [B, K] their mask units."""
        batch, num_units, length, _ = x.shape
        tokens = self.token_places[None] if visible is None else self.token_places[visible]  # [B, K, L, 2]
        x = self.norm(x)
        scores = self.score(x).reshape(batch, num_units * length, NUM_HANDS).transpose(1, 2)
        offsets = self.offset(x).reshape(batch, num_units * length, NUM_HANDS, 2).transpose(1, 2)
        tokens = tokens.flatten(1, 2).expand(batch, -1, -1)
        side = self.usual_side * self.size(x).mean(dim=(1, 2))[:, 0].float().clamp(*LOG_SIDES).exp()
        expected = scores.float().softmax(dim=-1)[..., None] * (tokens[:, None] + offsets.float())
        return HandLocations(expected.sum(dim=2), side, scores, tokens)


class HandBranch(nn.Module):
    """The hand branch: crops of both hands to one vector each."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.find = HandLocator(config)
        self.backbone = Hiera(config.hand_config)
        self.place = nn.Linear(NUM_HANDS * 2, config.dim)

    def forward(
        self, windows: Tensor, tokens: Tensor, visible: Tensor | None, squares: Tensor | None = None
    ) -> tuple[Tensor, HandLocations]:
        """Locate the hands and encode crops of them; crops also show pixels of mask units that are not visible.

        Args:
            windows: [B, 3, frames, rows, columns] of the whole frame, as `Hiera.forward` takes them.
            tokens: [B, K, L, C] what the last stage made of it.
            visible: [B, K] mask units of the tokens; None for all.
            squares: [B, 2, 3] places and sides to crop instead, NaN where the network's own estimate counts.

        Returns:
            [B, 3 C]: left hand, right hand, where they were cropped; and where they were located.
        """
        found = self.find(tokens, visible)
        own = torch.cat([found.places, found.side[:, None, None].expand(-1, NUM_HANDS, 1)], dim=2).detach()
        squares = own if squares is None else torch.where(squares.isnan(), own, squares)
        crops = torch.stack([crop(windows, square, self.config.hand_px) for square in squares.unbind(1)], dim=1)
        crops = torch.stack([crops[:, 0].flip(-1), crops[:, 1]], dim=1)
        hands = self.backbone(crops.flatten(0, 1))[-1].mean(dim=(1, 2))
        where = self.place(2.0 * squares[..., :2].flatten(1).to(hands.dtype) - 1.0)
        return torch.cat([hands.reshape(windows.shape[0], -1), where], dim=1), found


def crop(windows: Tensor, squares: Tensor, size_px: int) -> Tensor:
    """A square crop of every window, resized to one size; beyond the frame its edge pixels are repeated.

    Args:
        windows: [B, 3, frames, rows, columns] as `standardise` leaves them, rows as many as columns; or uint8.
        squares: [B, 3] x and y of its middle and its side, in shares of the frame.
        size_px: side of the crops.

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
