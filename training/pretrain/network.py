"""What pretraining trains: the encoder with the sign decoder, under the published checkpoint's names in files."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from model.config import EncoderConfig
from model.network.hands import HandLocations
from model.network.signrep import SignRep
from training.pretrain.decoder import SignDecoder
from training.pretrain.style import gram_style

DECODER = "cls_head."
ENCODER = "encoder."


class Prediction(NamedTuple):
    """Outputs of the network that the losses are computed from."""

    features: Tensor
    """[B, D] embeddings."""
    activity_logits: Tensor
    """[B, 2] left, right hand."""
    priors: dict[str, Tensor]
    """By name [B, 16, dim], in units of psi times the target."""
    style: Tensor
    """[B, S] without gradient: the discriminator's input, not trained through."""
    hands: HandLocations | None = None
    """Predicted places of the hands, of encoders with a hand branch."""


class PretrainNetwork(nn.Module):
    """Windows to embeddings, pose and style."""

    def __init__(self, config: EncoderConfig, style_stage: int = 1) -> None:
        super().__init__()
        self.style_stage = style_stage
        self.encoder = SignRep(config)
        self.cls_head = SignDecoder(config.dim)

    def forward(self, windows: Tensor, visible: Tensor | None = None, places: Tensor | None = None) -> Prediction:
        """[B, 3, frames, rows, columns] normalised or uint8, [B, K] visible units, [B, 2, 3] as `Hands.forward`."""
        output = self.encoder(windows, visible, places)
        return Prediction(
            output.features,
            output.activity_logits,
            self.cls_head(output.features),
            gram_style(output.maps[self.style_stage - 1].detach()),
            output.hands,
        )


def published_state(network: PretrainNetwork) -> dict[str, Tensor]:
    """The weights under the names of the published checkpoint, which `model.network.checkpoint` reads."""
    return {name.removeprefix(ENCODER): tensor for name, tensor in network.state_dict().items()}


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse: names as `PretrainNetwork` has them."""
    return {name if name.startswith(DECODER) else ENCODER + name: tensor for name, tensor in state.items()}
