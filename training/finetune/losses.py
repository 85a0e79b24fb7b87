"""The losses of recognition: cross-entropy, and the divergence from a class distribution.

Source: SignRep, supplementary material: cross-entropy with label smoothing 0.1, and 0.2 times the divergence from a
class distribution phi.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 0.1
"""Bounds of the temperature of a class."""
LARGEST = 0.5
"""What the largest share of a class distribution approaches from below."""
BISECTIONS = 40


def class_distribution(vectors: Tensor) -> Tensor:
    """How alike every class is to every other: phi, one row per class that sums to 1.

    Row c is the softmax of the cosines of class c with all classes, itself included, at a temperature of its own from
    0.001 to 0.1, such that the largest share is as near to 0.5
    as possible without exceeding it. Where it exceeds 0.5 at all temperatures, as with few or very different classes,
    the highest one is taken.

    Args:
        vectors: [C, D] one vector per class: the mean of the frozen retrieval vectors of its training clips.

    Returns:
        [C, C] float32.
    """
    unit = F.normalize(vectors.double(), dim=1)
    cosines = unit @ unit.T
    largest = cosines.amax(dim=1, keepdim=True)
    low, high = (torch.full_like(largest, bound) for bound in (MIN_TEMPERATURE, MAX_TEMPERATURE))
    # The largest share falls as the temperature rises: high keeps the side that is not above a half, if there is one.
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = ((cosines - largest) / middle).softmax(dim=1).amax(dim=1, keepdim=True) > LARGEST
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    coldest = (cosines / MIN_TEMPERATURE).softmax(dim=1).amax(dim=1, keepdim=True) <= LARGEST
    return (cosines / torch.where(coldest, MIN_TEMPERATURE, high)).softmax(dim=1).float()


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
        phi: [C, C]; not used where its weight is 0.
        label_smoothing: share of the target that is spread evenly over all classes.
        distribution: weight of the divergence from phi.
    """
    entropy = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
    if not distribution:
        return {"total": entropy, "cross_entropy": entropy}
    divergence = distribution_loss(logits, labels, phi)
    return {"total": entropy + distribution * divergence, "cross_entropy": entropy, "distribution": divergence}
