"""The recogniser: an encoder, pooling of the windows of a clip, and a head.

An inflated encoder takes a clip as one window. For an encoder that can't be inflated a clip is several windows, which
are pooled by activity as for a clip vector, but in `num_moments` parts in time, so that their order is kept
(docs/decisions/recognition.md).
"""

from torch import Tensor, nn

from model.config import EncoderConfig
from model.network.signrep import SignRep
from training.fit.optimiser import layer_of
from training.pooling import part_weights

LEAST_ACTIVITY = 1e-3
"""Added to the activity of every window in pooling: where no window shows any, all count the same, as in a clip vector,
and gradients stay finite (docs/recognition.md has the run that diverged without it)."""


class Recogniser(nn.Module):
    """Clips to one logit per class."""

    def __init__(self, config: EncoderConfig, num_classes: int, num_moments: int) -> None:
        super().__init__()
        self.num_moments = num_moments
        self.encoder = SignRep(config)
        if self.encoder.hands is not None:
            # Classes give no gradient to where hands are: the pretrained weights stay.
            self.encoder.hands.find.requires_grad_(False)
        last = nn.Linear(num_moments * config.dim, num_classes)
        nn.init.trunc_normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.LayerNorm(num_moments * config.dim), last)

    def forward(self, clips: Tensor) -> Tensor:
        """[B, N, frames, rows, columns, 3] uint8, N windows of each clip -> [B, classes]."""
        batch, num_windows = clips.shape[:2]
        output = self.encoder(clips.flatten(0, 1).movedim(-1, 1))
        features = output.features.reshape(batch, num_windows, -1)
        activity = output.activity_logits.float().sigmoid().amax(dim=1).reshape(batch, num_windows)
        pooled = pool_parts(features.float(), activity, self.num_moments)
        logits: Tensor = self.head(pooled)
        return logits


def pool_parts(features: Tensor, activity: Tensor, num_moments: int) -> Tensor:
    """Average windows by activity, in parts of time (`model.pooling`). One part is SignRep's pooling.

    Args:
        features: [B, N, D].
        activity: [B, N], 0 or more.
        num_moments: parts.

    Returns:
        [B, num_moments * D].
    """
    activity = activity + LEAST_ACTIVITY
    weights = part_weights(activity, num_moments)  # [B, parts, N]
    weights = weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-6)
    return (weights @ features).flatten(1)


def recogniser_layer_of(name: str, num_blocks: int) -> int:
    """The layer of a parameter, see `layer_of`; blocks of the hand branch count like those of the frame."""
    return layer_of(name.replace("encoder.hands.backbone.", "encoder.backbone."), num_blocks)
