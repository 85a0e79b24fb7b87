"""The sign decoder: from one embedding to 16 frames of pose.

Sizes and names are those of the published checkpoint.
"""

from typing import cast

from torch import Tensor, nn

from training.data.priors.table import NUM_FRAMES, PRIORS

HIDDEN = 512
FRAME_DIM = 384


class PriorHead(nn.Module):
    """One linear layer from a frame to one prior."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FRAME_DIM, dim))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 16, FRAME_DIM] -> [B, 16, dim]."""
        x = self.layers(x)
        return x


class SignDecoder(nn.Module):
    """An embedding becomes a sequence of frames, a frame becomes every prior."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.latent_proj = nn.Sequential(
            nn.Conv1d(dim, HIDDEN, kernel_size=1),
            nn.GELU(),
            nn.ConvTranspose1d(HIDDEN, FRAME_DIM, kernel_size=NUM_FRAMES),
        )
        self.dict_component_projections = nn.ModuleDict({prior.name: PriorHead(prior.dim) for prior in PRIORS})

    def head(self, prior: str) -> nn.Linear:
        """The layer that predicts a prior."""
        return cast("nn.Linear", cast("PriorHead", self.dict_component_projections[prior]).layers[0])

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """[B, D] -> by name [B, 16, dim], in units of psi times the target."""
        frames = self.latent_proj(features[:, :, None]).transpose(1, 2)  # [B, FRAME_DIM, 16] -> [B, 16, FRAME_DIM]
        return {name: head(frames) for name, head in self.dict_component_projections.items()}
