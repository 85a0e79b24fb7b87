"""Where the hands are, and a closer look at them.

The network that sees the whole frame sees it coarsely and says where the hands are; a second one sees a square around
each at the frame's full resolution, the left hand mirrored, so that it only has to know right hands.

Source: ours (docs/decisions/compact-encoder.md); a glimpse at a place that the network itself chooses is the idea of
Mnih et al., "Recurrent Models of Visual Attention", NeurIPS 2014, here with places that are learned from poses.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.config import EncoderConfig
from model.hiera import Hiera, pooling_order

NUM_HANDS = 2
"""Left and right, in this order."""


class HandPlaces(NamedTuple):
    """Where the hands are believed to be."""

    places: Tensor
    """[B, 2, 2] x and y of the middle of the left and the right hand, in shares of the frame."""
    scores: Tensor
    """[B, 2, N] how likely a hand is near each token, before the softmax."""
    tokens: Tensor
    """[B, N, 2] the tokens' own places."""


class HandFinder(nn.Module):
    """From the tokens of the whole frame to a place for each hand: the likely token's, and some way from it."""

    token_places: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.score = nn.Linear(config.dim, NUM_HANDS)
        self.offset = nn.Linear(config.dim, NUM_HANDS * 2)
        self.register_buffer("token_places", token_places(config), persistent=False)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def forward(self, x: Tensor, visible: Tensor | None) -> HandPlaces:
        """[B, K, L, C] tokens of the last stage and [B, K] their mask units."""
        batch, num_units, length, _ = x.shape
        tokens = self.token_places[None] if visible is None else self.token_places[visible]  # [B, K, L, 2]
        x = self.norm(x)
        scores = self.score(x).reshape(batch, num_units * length, NUM_HANDS).transpose(1, 2)
        offsets = self.offset(x).reshape(batch, num_units * length, NUM_HANDS, 2).transpose(1, 2)
        tokens = tokens.flatten(1, 2).expand(batch, -1, -1)
        believed = scores.float().softmax(dim=-1)[..., None] * (tokens[:, None] + offsets.float())
        return HandPlaces(believed.sum(dim=2), scores, tokens)


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
            told: [B, 2, 2] places to look at instead, NaN where the network's own belief counts.

        Returns:
            [B, 3 C]: left hand, right hand, where they were looked for; and the belief.
        """
        found = self.find(tokens, visible)
        places = found.places.detach()
        if told is not None:
            places = torch.where(told.isnan(), places, told)
        glimpses = torch.stack([cut(windows, place, self.config.hand_px) for place in places.unbind(1)], dim=1)
        glimpses = torch.stack([glimpses[:, 0].flip(-1), glimpses[:, 1]], dim=1)
        seen = self.backbone(glimpses.flatten(0, 1))[-1].mean(dim=(1, 2))
        where = self.place(2.0 * places.flatten(1).to(seen.dtype) - 1.0)
        return torch.cat([seen.reshape(windows.shape[0], -1), where], dim=1), found


def cut(windows: Tensor, places: Tensor, size_px: int) -> Tensor:
    """A square around a place of every window, moved into the frame where it would leave it.

    Args:
        windows: [B, 3, frames, rows, columns].
        places: [B, 2] x and y of its middle, in shares of the frame.
        size_px: its side.

    Returns:
        [B, 3, frames, size_px, size_px].
    """
    rows, columns = windows.shape[-2:]
    sides = torch.tensor([columns, rows], device=places.device, dtype=places.dtype)
    corners = (places * sides - size_px / 2).round().clamp(min=0.0)
    left, top = torch.minimum(corners, sides - size_px).long().unbind(1)
    steps = torch.arange(size_px, device=places.device)
    batch = torch.arange(windows.shape[0], device=places.device)[:, None, None]
    pixels = windows[batch, :, :, (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None, :]]
    return pixels.permute(0, 3, 4, 1, 2)  # [B, rows, columns, 3, frames] -> [B, 3, frames, rows, columns]


def token_places(config: EncoderConfig) -> Tensor:
    """The middle of every token of the last stage in the frame: [U, L, 2] x and y in shares, sorted as tokens are."""
    _, height, width = config.token_grid
    order = pooling_order(config)
    rows, columns = order // width % height, order % width
    fine = torch.stack([(columns + 0.5) / width, (rows + 0.5) / height], dim=-1)
    pooled = config.q_stride[0] * config.q_stride[1] * config.q_stride[2]
    return fine.reshape(len(fine), -1, pooled**config.q_pool, 2).mean(dim=2)
