"""What names a sign: an encoder, a clip's windows put together, and a head.

An inflated encoder sees a clip as one window. Of an encoder that can't be inflated a clip is several windows, which are
put together by activity as they are for a clip vector, but in `num_moments` parts, so that what comes first stays apart
from what comes last (docs/decisions/recognition.md).
"""

from torch import Tensor, nn

from model.config import EncoderConfig
from model.signrep import SignRep
from training.fit.optimiser import layer_of
from training.pooling import part_weights

LEAST_ACTIVITY = 1e-3
"""That every window has while windows are put together: where none shows any, all count alike, as in a clip vector, and
gradients stay finite (docs/recognition.md has the run that diverged without it)."""


class Recogniser(nn.Module):
    """Clips to one logit per class."""

    def __init__(self, config: EncoderConfig, num_classes: int, num_moments: int) -> None:
        super().__init__()
        self.num_moments = num_moments
        self.encoder = SignRep(config)
        if self.encoder.hands is not None:
            # Nothing in a class says where hands are, and no gradient would come: what pretraining taught stays.
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
        pooled = pool_moments(features.float(), activity, self.num_moments)
        logits: Tensor = self.head(pooled)
        return logits


def pool_moments(features: Tensor, activity: Tensor, num_moments: int) -> Tensor:
    """Average windows by activity, early ones and late ones apart (`model.pooling`). One part is SignRep's pooling.

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


def depth(name: str, num_blocks: int) -> int:
    """How deep a parameter sits, see `layer_of`; the hands' network counts like the one that sees the frame."""
    return layer_of(name.replace("encoder.hands.backbone.", "encoder.backbone."), num_blocks)
