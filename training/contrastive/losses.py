"""The contrastive loss: of all clips of a batch, the one that shows the same movement should be the nearest."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.pooling import part_weights


def pooled(features: Tensor, activity_logits: Tensor, num_parts: int = 1) -> Tensor:
    """Windows of a clip to its vector, as serving does (`model.pooling`): weighted by the more active hand, in parts.

    Weights carry no gradient: what is active is learned from poses.

    Args:
        features: [.., W, D], in the order of time.
        activity_logits: [.., W, 2].
        num_parts: K.

    Returns:
        [.., K D] of unit length.
    """
    gamma = activity_logits.detach().float().sigmoid().amax(dim=-1)
    parts = F.normalize(part_weights(gamma, num_parts) @ features.float(), dim=-1)
    return parts.flatten(-2) / math.sqrt(num_parts)


def contrastive_loss(vectors: Tensor, movements: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy over pairs (Chen et al., SimCLR, 2020, eq. 1).

        L = mean_i -log exp(z_i z_i' / t) / sum over k of exp(z_i z_k / t),  but for k of i's movement

    Args:
        vectors: [P, 2, D] of unit length: P movements, by two people each.
        movements: [P] the same number where movements are the same: such pairs do not count against each other.
        temperature: t.
    """
    num_pairs = len(vectors)
    flat = vectors.transpose(0, 1).flatten(0, 1)  # [2 P, D]
    partner = (torch.arange(2 * num_pairs, device=flat.device) + num_pairs) % (2 * num_pairs)
    alike = movements.repeat(2)[:, None] == movements.repeat(2)[None]
    alike[torch.arange(2 * num_pairs, device=flat.device), partner] = False
    logits = (flat @ flat.T / temperature).masked_fill(alike, float("-inf"))
    return F.cross_entropy(logits, partner)


def nearest_share(vectors: Tensor, movements: Tensor) -> Tensor:
    """Share of the clips whose nearest one shows the same movement: [P, 2, D] of unit length, [P]."""
    flat = vectors.detach().transpose(0, 1).flatten(0, 1)
    likeness = (flat @ flat.T).fill_diagonal_(-2.0)
    nearest = movements.repeat(2)[likeness.argmax(dim=1)]
    return (nearest == movements.repeat(2)).float().mean()
