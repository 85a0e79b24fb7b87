"""The hand branch trained on single hands: where their bones point, and where their keypoints are in the picture.

Half of a step goes into the whole frame, where hands are read through one embedding among everything else; here the
pictures show hands alone, several times as many a second. What is trained is the backbone of
`model.network.hands.Hands`; the layers that read poses off it are thrown away afterwards.

    L = mean over bones of (1 - cos(bone, true bone))  +  2 * mean over keypoints of smooth |point - true point|

Source: ours (docs/decisions/compact-encoder.md).
"""

from torch import Tensor, nn
from torch.nn import functional as F

from model.config import EncoderConfig
from model.network.hiera import Hiera
from training.contrastive.hand_crops import HandCrops

NUM_BONES, NUM_POINTS = 20, 21


class HandReader(nn.Module):
    """The hand branch's backbone, and a layer that reads poses off it."""

    def __init__(self, backbone: Hiera, config: EncoderConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.read = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, 3 * NUM_BONES + 2 * NUM_POINTS))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, 2, S, S] standardised -> bones [B, 20, 3], of any length, and points [B, 21, 2]."""
        read = self.read(self.backbone(pictures)[-1].mean(dim=(1, 2)))
        bones, points = read[:, : 3 * NUM_BONES], read[:, 3 * NUM_BONES :]
        return bones.reshape(-1, NUM_BONES, 3), points.reshape(-1, NUM_POINTS, 2)


def hand_loss(bones: Tensor, points: Tensor, crops: HandCrops) -> tuple[Tensor, Tensor]:
    """See the module's docstring.

    Args:
        bones: [B, 20, 3] as `HandReader` predicts them.
        points: [B, 21, 2] likewise.
        crops: the hands with the true ones.

    Returns:
        The loss, and the mean cosine of the bones.
    """
    cosine = F.cosine_similarity(bones.float(), crops.bones, dim=-1).mean()
    distance = F.smooth_l1_loss(points.float(), crops.points, beta=0.05)
    return 1.0 - cosine + 2.0 * distance, cosine
