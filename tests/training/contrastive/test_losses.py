import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.pooling import pool
from training.contrastive.losses import contrastive_loss, nearest_share, pooled


def vectors(num_pairs: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(num_pairs, 2, 5, generator=generator), dim=-1)


def test_the_loss_is_the_equation() -> None:
    z, movements, t = vectors(3), [4, 7, 4], 0.2
    clips = [(pair, side) for pair in range(3) for side in range(2)]
    expected = []
    for pair, side in clips:
        own = z[pair, side]

        def likeness(other: tuple[int, int], own: torch.Tensor = own) -> float:
            return math.exp(float(own @ z[other]) / t)

        partner = (pair, 1 - side)
        others = [clip for clip in clips if movements[clip[0]] != movements[pair]]
        expected.append(-math.log(likeness(partner) / (likeness(partner) + sum(map(likeness, others)))))
    assert math.isclose(float(contrastive_loss(z, torch.tensor(movements), t)), float(np.mean(expected)), rel_tol=1e-5)


def test_the_loss_falls_where_the_same_movement_lies_together() -> None:
    apart = vectors(8)
    together = apart[:, :1].expand(-1, 2, -1)
    movements = torch.arange(8)
    assert contrastive_loss(together, movements, 0.1) < 0.5 * contrastive_loss(apart, movements, 0.1)
    assert float(nearest_share(together, movements)) == 1.0
    assert float(nearest_share(apart, movements)) < 0.7


@pytest.mark.parametrize("num_parts", [1, 4])
def test_a_clip_is_pooled_as_serving_pools_it(num_parts: int) -> None:
    generator = torch.Generator().manual_seed(2)
    features, logits = torch.randn(2, 6, 5, generator=generator), torch.randn(2, 6, 2, generator=generator)
    pairs = zip(features, logits, strict=True)
    expected = [pool(one.numpy(), other.sigmoid().numpy(), num_parts) for one, other in pairs]
    assert np.allclose(pooled(features, logits, num_parts), np.stack(expected), atol=1e-6)


def test_what_is_active_is_not_learned_from_what_looks_alike() -> None:
    features, logits = torch.randn(2, 2, 3, 5, requires_grad=True), torch.randn(2, 2, 3, 2, requires_grad=True)
    contrastive_loss(pooled(features, logits), torch.arange(2), 0.1).backward()
    assert features.grad is not None
    assert features.grad.abs().max() > 0
    assert logits.grad is None
