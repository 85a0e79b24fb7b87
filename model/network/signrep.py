"""SignRep's encoder: Hiera, a projection to the window embedding, and a head that says which hand is signing.

Source: SignRep, ICCV 2025; the sizes are those of the published checkpoint, and so are the parameter names.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.config import EncoderConfig
from model.network.hands import HandBranch, HandLocations
from model.network.hiera import Hiera


class EncoderOutput(NamedTuple):
    """All outputs for a window; training uses all of them, serving the first two."""

    features: Tensor
    """[B, D] the embedding used for retrieval; the sign decoder reads it too."""
    activity_logits: Tensor
    """[B, 2] left, right hand."""
    latent: Tensor
    """[B, D] mean over the tokens of the last stage; [B, 4 D] with those of the hand branch."""
    maps: list[Tensor]
    """Per stage [B, K, L, C]: tokens of the visible mask units; the style loss reads the first."""
    hands: HandLocations | None = None
    """Where the hand branch found the hands, of encoders that have one."""


class SignRep(nn.Module):
    """The encoder: normalised windows to embedding and hand activity."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Hiera(config)
        self.hands = HandBranch(config) if config.hand_px else None
        latent_dim = config.dim * (4 if config.hand_px else 1)
        self.fc = nn.Sequential(nn.LayerNorm(latent_dim), nn.Linear(latent_dim, config.dim, bias=False))
        self.active_head = nn.Sequential(
            nn.Linear(config.dim, config.activity_hidden), nn.GELU(), nn.Linear(config.activity_hidden, 2)
        )

    def forward(
        self, windows: Tensor, visible: Tensor | None = None, hand_squares: Tensor | None = None
    ) -> EncoderOutput:
        """Encode windows.

        Args:
            windows: [B, 3, frames, rows, columns] as `normalise` gives them, or uint8 of the same shape.
            visible: [B, K] int64 numbers of the mask units to encode, see `Hiera.forward`; None for all.
            hand_squares: [B, 2, 3] squares to crop around the hands, for training; see `HandBranch.forward`.
        """
        maps = self.backbone(windows, visible)
        latent, found = maps[-1].mean(dim=(1, 2)), None
        if self.hands is not None:
            hands, found = self.hands(windows, maps[-1], visible, hand_squares)
            latent = torch.cat([latent, hands], dim=1)
        features = self.fc(latent)
        return EncoderOutput(features, self.active_head(features), latent, maps, found)
