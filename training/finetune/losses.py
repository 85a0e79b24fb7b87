"""What fine-tuning asks for: the right class, and a distribution over classes like that of their looks.

Source: SignRep, supplementary material: cross-entropy with label smoothing 0.1, and 0.2 times the divergence from a
class distribution phi.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

COLDEST, WARMEST = 1e-3, 0.1
"""Temperatures between which a class's own is looked for."""
LARGEST = 0.5
"""What the largest share of a class distribution comes close to, from below."""
HALVINGS = 40


def class_distribution(vectors: Tensor) -> Tensor:
    """How alike every class is to every other: phi, one row per class that sums to 1.

    Row c is the softmax of the cosines of class c with all classes, itself included, at a temperature of its own from
    0.001 to 0.1, such that the largest share is as near to 0.5 as it gets without going beyond. Where all temperatures
    go beyond it, which takes few or very different classes, it is the warmest.

    Args:
        vectors: [C, D] one vector per class: the mean of the frozen retrieval vectors of its training clips.

    Returns:
        [C, C] float32.
    """
    unit = F.normalize(vectors.double(), dim=1)
    cosines = unit @ unit.T
    largest = cosines.amax(dim=1, keepdim=True)
    low, high = (torch.full_like(largest, bound) for bound in (COLDEST, WARMEST))
    # The largest share falls as the temperature rises: high keeps the side that is not above a half, if there is one.
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = ((cosines - largest) / middle).softmax(dim=1).amax(dim=1, keepdim=True) > LARGEST
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    coldest = (cosines / COLDEST).softmax(dim=1).amax(dim=1, keepdim=True) <= LARGEST
    return (cosines / torch.where(coldest, COLDEST, high)).softmax(dim=1).float()


def distribution_loss(logits: Tensor, labels: Tensor, phi: Tensor) -> Tensor:
    """The divergence KL(phi_label || p), averaged over the batch. Decision: this direction; the paper prints none.

    Args:
        logits: [B, C].
        labels: [B] int64.
        phi: [C, C] as `class_distribution` gives it.
    """
    return F.kl_div(logits.float().log_softmax(dim=1), phi[labels], reduction="batchmean")


def recognition_losses(
    logits: Tensor, labels: Tensor, phi: Tensor, *, label_smoothing: float, distribution: float
) -> dict[str, Tensor]:
    """The total and its terms before their weight.

    Args:
        logits: [B, C].
        labels: [B] int64.
        phi: [C, C]; not asked for where its weight is 0.
        label_smoothing: share of the target that all classes have alike.
        distribution: weight of the divergence from phi.
    """
    entropy = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
    if not distribution:
        return {"total": entropy, "cross_entropy": entropy}
    divergence = distribution_loss(logits, labels, phi)
    return {"total": entropy + distribution * divergence, "cross_entropy": entropy, "distribution": divergence}
