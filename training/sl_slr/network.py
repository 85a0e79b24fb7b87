"""The encoder of keypoint sequences, and the projector and predictor of pretraining.

The encoder takes directions and positions that do not depend on the size and place of a signer: unit vectors along the
bones of hands and arms, and wrists and index fingertips in shoulder widths. Bringing keypoints into that form is part
of the network, so nothing before it can disagree with the weights.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.skeleton.features import DEPTH_WEIGHT, WRIST_WEIGHT
from model.skeleton.kinematics import BONES, L_SHOULDER, L_WRIST, LEFT_HAND, NOSE, R_SHOULDER, R_WRIST, RIGHT_HAND
from training.sl_slr.config import Network

HANDS = ((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST))
ARM_BONES = [bone for bone in BONES if bone.name.endswith("arm")]
NUM_PLAIN = 63
"""Values per hand and frame: 20 unit vectors and the wrist."""
NUM_MORE = 3 * (len(ARM_BONES) + 5)
NUM_STATS = 6
INDEX_TIP = 8
"""Row within a hand."""


@dataclass(frozen=True)
class Described:
    """A sequence as the features that the encoder takes; zero where unknown."""

    plain: Tensor
    """[N, T, 2, 63] of the left and the right hand: those of the training-free vector."""
    more: Tensor
    """[N, T, F] unit vectors along the arms; wrists and index fingertips from the nose; one wrist from the other."""
    there: Tensor
    """[N, T, 2] the whole hand is known."""
    stats: Tensor
    """[N, 2, 6] of each hand over the sequence: the features of its activity."""


class Describe(nn.Module):
    """Keypoints to the features that the encoder takes."""

    flatten: Tensor

    def __init__(self) -> None:
        super().__init__()
        bones = [[bone for bone in BONES if hand.start <= bone.end < hand.stop] for hand, _ in HANDS]
        self.starts = [[bone.start for bone in side] for side in bones]
        self.ends = [[bone.end for bone in side] for side in bones]
        self.register_buffer("flatten", torch.tensor([1.0, 1.0, DEPTH_WEIGHT]), persistent=False)

    def forward(self, keypoints: Tensor, known: Tensor) -> Described:
        """Describe sequences.

        Args:
            keypoints: [N, T, 61, 3] metres, from anywhere; anything, NaN too, where not known.
            known: [N, T, 61] bool.
        """
        points = centred(torch.where(known[..., None], keypoints, 0.0), known) * self.flatten
        there = torch.stack([known[:, :, hand].all(dim=-1) for hand, _ in HANDS], dim=-1)
        sides = []
        for (_, wrist), starts, ends in zip(HANDS, self.starts, self.ends, strict=True):
            bones = functional.normalize(points[:, :, ends] - points[:, :, starts], dim=-1)
            sides.append(torch.cat([bones.flatten(2), WRIST_WEIGHT * points[:, :, wrist]], dim=-1))
        plain = torch.stack(sides, dim=2) * there[..., None]
        return Described(plain, _more(points, known), there, _stats(points, known, there))


def centred(points: Tensor, known: Tensor) -> Tensor:
    """Points from between the shoulders in shoulder widths; 0 where unknown.

    Where a frame's shoulders are not known, their mean over the sequence stands for them.

    Args:
        points: [N, T, 61, 3], 0 where unknown.
        known: [N, T, 61].
    """
    valid = (known[:, :, L_SHOULDER] & known[:, :, R_SHOULDER])[..., None].float()
    count = valid.sum(dim=1, keepdim=True).clamp(min=1.0)
    left, right = points[:, :, L_SHOULDER], points[:, :, R_SHOULDER]
    middle = (left + right) / 2.0
    usual = (middle * valid).sum(dim=1, keepdim=True) / count
    origin = torch.where(valid > 0, middle, usual)
    lengths = ((left - right).square().sum(dim=-1, keepdim=True) + 1e-12).sqrt()
    width = ((lengths * valid).sum(dim=1, keepdim=True) / count).clamp(min=1e-3)
    return (points - origin[:, :, None]) / width[:, :, None] * known[..., None]


def _more(points: Tensor, known: Tensor) -> Tensor:
    """[N, T, F] see `Described.more`."""
    lines = [(bone.start, bone.end) for bone in ARM_BONES]
    arms = torch.stack([points[:, :, end] - points[:, :, start] for start, end in lines], dim=2)
    tips = [hand.start + INDEX_TIP for hand, _ in HANDS]
    ways = [(NOSE, end) for end in (L_WRIST, R_WRIST, *tips)] + [(L_WRIST, R_WRIST)]
    places = torch.stack([points[:, :, end] - points[:, :, start] for start, end in ways], dim=2)
    both = torch.cat([functional.normalize(arms, dim=-1), places], dim=2)
    valid = torch.stack([known[:, :, start] & known[:, :, end] for start, end in (*lines, *ways)], dim=2)
    return (both * valid[..., None]).flatten(2)


def _stats(points: Tensor, known: Tensor, there: Tensor) -> Tensor:
    """[N, 2, 6] per hand: height of the wrist (mean, highest), height of the hand, movement, share found, of wrists."""
    rows = []
    for side, (hand, wrist) in enumerate(HANDS):
        found, valid = there[:, :, side].float(), known[:, :, wrist].float()
        num_found, num_valid = found.sum(dim=1).clamp(min=1.0), valid.sum(dim=1).clamp(min=1.0)
        height = points[:, :, wrist, 1]
        highest = torch.where(valid > 0, height, -5.0).amax(dim=1)
        fingers = points[:, :, hand] * found[..., None, None]
        mean = fingers.sum(dim=1) / num_found[:, None, None]
        squares = ((fingers - mean[:, None]) * found[..., None, None]).square().sum(dim=(1, 3))
        movement = (squares / num_found[:, None] + 1e-12).sqrt().mean(dim=1)
        wrists = (height * valid).sum(dim=1) / num_valid
        share, shown = found.mean(dim=1), valid.mean(dim=1)
        rows.append(torch.stack([wrists, highest, mean[..., 1].mean(dim=1), movement, share, shown], dim=-1))
    return torch.stack(rows, dim=1)


class Block(nn.Module):
    """A transformer block over frames, normalised before each half."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """[N, T, C] -> [N, T, C]."""
        num, num_frames, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).reshape(num, num_frames, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(num, num_frames, width)
        tokens = tokens + self.out(mixed)
        return tokens + cast("Tensor", self.mlp(self.norm2(tokens)))


@dataclass(frozen=True)
class Encoded:
    """Output of the encoder for N sequences."""

    embedding: Tensor
    """[N, D] not normalised."""
    activity_logits: Tensor
    """[N, 2] left, right."""
    learned: Tensor
    """[N, dim] the part that the losses train."""


class SkeletonEncoder(nn.Module):
    """Keypoint sequences to an embedding and the activity of both hands."""

    cosines: Tensor

    def __init__(self, config: Network, num_frames: int) -> None:
        super().__init__()
        self.config, self.num_frames = config, num_frames
        self.describe = Describe()
        self.activity = nn.Sequential(nn.Linear(NUM_STATS, 32), nn.GELU(), nn.Linear(32, 1))
        self.frame = nn.Linear(2 * NUM_PLAIN + NUM_MORE + 2, config.width)
        self.times = nn.Parameter(0.02 * torch.randn(num_frames, config.width))
        self.blocks = nn.Sequential(*(Block(config.width, config.heads) for _ in range(config.depth)))
        self.head = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, config.dim))
        self.register_buffer("cosines", cosines(num_frames, config.kept), persistent=False)
        self.metric = nn.Linear(2 * NUM_PLAIN * config.kept, 2 * NUM_PLAIN * config.kept) if config.metric else None

    @property
    def dim(self) -> int:
        """Of the embedding."""
        return self.config.dim + 2 * NUM_PLAIN * self.config.kept

    def forward(self, keypoints: Tensor, known: Tensor) -> Encoded:
        """Encode [N, T, 61, 3] keypoints, of which [N, T, 61] are known."""
        described = self.describe(keypoints, known)
        logits = self.activity(described.stats).squeeze(-1)
        features = torch.cat([described.plain.flatten(2), described.more, described.there.float()], dim=-1)
        learned = self.head(self.blocks(self.frame(features) + self.times).mean(dim=1))
        if not self.config.kept:
            return Encoded(learned, logits, learned)
        kept = self.kept(described, logits)
        if self.metric is not None:
            kept = functional.normalize(self.metric(kept), dim=1)
        share = self.config.kept_share
        unit = functional.normalize(learned, dim=1)
        embedding = torch.cat([math.sqrt(share) * kept, math.sqrt(1.0 - share) * unit], dim=1)
        return Encoded(embedding, logits, learned)

    def kept(self, described: Described, logits: Tensor) -> Tensor:
        """[N, F] of unit length: the first cosines over time of the plain values, of hands that do not rest."""
        # The losses must not change what counts as resting.
        gate = (2.0 * logits.detach().sigmoid()).clamp(max=1.0)
        gated = (described.plain * gate[:, None, :, None]).flatten(2)
        return functional.normalize(torch.einsum("kt,ntf->nkf", self.cosines, gated).flatten(1), dim=1)


def cosines(num_frames: int, count: int) -> Tensor:
    """The first rows of the orthonormal cosine transform (DCT-II) over time: [count, T]."""
    times, waves = torch.arange(num_frames) + 0.5, torch.arange(count)[:, None]
    rows = math.sqrt(2.0 / num_frames) * torch.cos(math.pi / num_frames * times * waves)
    rows[:1] /= math.sqrt(2.0)
    return rows


@dataclass(frozen=True)
class Projected:
    """One branch."""

    z: Tensor
    """[B, P] what the losses compare."""
    raw: Tensor
    """[B, P] the same before normalisation, where a collapse can be measured."""
    encoded: Encoded


class SlSlrNetwork(nn.Module):
    """The encoder with projector and predictor."""

    def __init__(self, config: Network, num_frames: int) -> None:
        super().__init__()
        self.encoder = SkeletonEncoder(config, num_frames)
        self.projector = _mlp(config.dim, config.hidden, config.projection)
        self.norm = nn.BatchNorm1d(config.projection, affine=False) if config.normed else nn.Identity()
        self.predictor = _mlp(config.projection, config.hidden, config.projection)

    def forward(self, keypoints: Tensor, known: Tensor) -> Projected:
        """Encode and project [B, T, 61, 3] keypoints, of which [B, T, 61] are known."""
        encoded = self.encoder(keypoints, known)
        raw = self.projector(encoded.learned)
        return Projected(self.norm(raw), raw, encoded)


def _mlp(size: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))


def make_network(config: Network, num_frames: int, seed: int) -> SlSlrNetwork:
    """A network with weights drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SlSlrNetwork(config, num_frames)
