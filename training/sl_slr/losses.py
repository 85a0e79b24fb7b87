"""The losses, one function each.

Projections are [B, D] float32; row i of one belongs to row i of the other.
"""

import torch
from torch import Tensor
from torch.nn import functional


def views_agree(first: Tensor, second: Tensor) -> Tensor:
    """SL-SLR's first term: MSE(z1, z2), the gradient into both."""
    return functional.mse_loss(first, second)


def clip_predicts_view(predicted: Tensor, first: Tensor) -> Tensor:
    """SL-SLR's second term: MSE(predictor(z), stopgrad(z1)).

    Args:
        predicted: what the predictor makes of the clip's own projection.
        first: projection of the first view; it gets no gradient.
    """
    return functional.mse_loss(predicted, first.detach())


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR (Chen et al., 2020): every view has to find its partner among all others of the batch.

    -log exp(cos(i, j) / t) / sum_{k != i} exp(cos(i, k) / t), the mean over all 2 B views.
    """
    views = functional.normalize(torch.cat([first, second]), dim=1)
    logits = views @ views.T / temperature
    logits.fill_diagonal_(-torch.inf)
    num = len(first)
    partners = torch.arange(2 * num, device=views.device).roll(num)
    return functional.cross_entropy(logits, partners)


def queue_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """MoCo (He et al., 2020): a query has to find its key among a queue of earlier ones.

    Args:
        query: [B, D].
        key: [B, D] by the momentum network; it gets no gradient.
        queue: [Q, D] keys of earlier batches, of unit length.
        temperature: of the softmax.
    """
    query, key = functional.normalize(query, dim=1), functional.normalize(key.detach(), dim=1)
    own = (query * key).sum(dim=1, keepdim=True)
    logits = torch.cat([own, query @ queue.T], dim=1) / temperature
    return functional.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))


def bootstrap(predicted: Tensor, target: Tensor) -> Tensor:
    """BYOL (Grill et al., 2020): 2 - 2 cos(predicted, target), the mean; the target gets no gradient."""
    return 2.0 - 2.0 * functional.cosine_similarity(predicted, target.detach(), dim=1).mean()


def spread(projections: Tensor) -> Tensor:
    """How far projections lie apart: 1 where their directions are even, 0 where all are the same.

    sqrt(1 - |mean of the unit projections|^2), which is the root of the summed variances of the unit projections.
    """
    mean = functional.normalize(projections, dim=1).mean(dim=0)
    return (1.0 - (mean * mean).sum()).clamp(min=0.0).sqrt()
