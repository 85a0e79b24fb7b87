"""SignRep's encoder: Hiera, a projection to the window embedding, and a head that says which hand is signing.

Source: SignRep, ICCV 2025; the sizes are those of the published checkpoint, and so are the parameter names.
"""

from typing import NamedTuple

from torch import Tensor, nn

from model.config import EncoderConfig
from model.hiera import Hiera


class EncoderOutput(NamedTuple):
    """Everything a window gives; training wants all of it, serving two of the four."""

    features: Tensor
    """[B, D] the embedding used for retrieval; the sign decoder reads it too."""
    activity_logits: Tensor
    """[B, 2] left, right hand."""
    latent: Tensor
    """[B, D] mean over the tokens of the last stage."""
    maps: list[Tensor]
    """Per stage [B, K, L, C]: tokens of the visible mask units; the style loss reads the first."""


class SignRep(nn.Module):
    """The encoder: normalised windows to embedding and hand activity."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Hiera(config)
        self.fc = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, config.dim, bias=False))
        self.active_head = nn.Sequential(
            nn.Linear(config.dim, config.activity_hidden), nn.GELU(), nn.Linear(config.activity_hidden, 2)
        )

    def forward(self, windows: Tensor, visible: Tensor | None = None) -> EncoderOutput:
        """Encode windows.

        Args:
            windows: [B, 3, frames, rows, columns] as `normalise` gives them, or uint8 of the same shape.
            visible: [B, K] int64 numbers of the mask units to encode, see `Hiera.forward`; None for all.
        """
        maps = self.backbone(windows, visible)
        latent = maps[-1].mean(dim=(1, 2))
        features = self.fc(latent)
        return EncoderOutput(features, self.active_head(features), latent, maps)
