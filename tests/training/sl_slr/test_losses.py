"""Every loss against its equation, typed again."""

import math

import pytest
import torch
from torch import Tensor

from training.sl_slr.losses import bootstrap, clip_predicts_view, nt_xent, queue_nce, spread, views_agree


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def value(loss: Tensor) -> float:
    return float(loss.detach())


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def test_views_agree_is_the_mean_of_squared_differences_and_pulls_both() -> None:
    first, second = draw(3, 4), draw(3, 4, seed=1)
    loss = views_agree(first, second)
    typed = sum(
        (a - b) ** 2
        for one, other in zip(first.tolist(), second.tolist(), strict=True)
        for a, b in zip(one, other, strict=True)
    )
    assert value(loss) == pytest.approx(typed / 12)
    loss.backward()
    torch.testing.assert_close(first.grad, 2 * (first - second).detach() / 12)
    torch.testing.assert_close(second.grad, -first.grad)


def test_the_clip_learns_to_tell_the_view_and_the_view_stays() -> None:
    predicted, first = draw(3, 4), draw(3, 4, seed=1)
    loss = clip_predicts_view(predicted, first)
    assert value(loss) == pytest.approx(value(((predicted - first) ** 2).sum() / 12))
    loss.backward()
    assert predicted.grad is not None
    assert first.grad is None


def test_nt_xent_is_simclrs_equation() -> None:
    first, second = draw(3, 4), draw(3, 4, seed=1)
    views = first.tolist() + second.tolist()
    total = 0.0
    for i in range(6):
        j = (i + 3) % 6
        others = sum(math.exp(cosine(views[i], views[k]) / 0.2) for k in range(6) if k != i)
        total -= math.log(math.exp(cosine(views[i], views[j]) / 0.2) / others)
    assert value(nt_xent(first, second, 0.2)) == pytest.approx(total / 6)


def test_queue_nce_is_mocos_equation_and_the_key_stays() -> None:
    query, key = draw(3, 4), draw(3, 4, seed=1)
    queue = torch.nn.functional.normalize(draw(5, 4, seed=2).detach(), dim=1)
    total = 0.0
    for q, k in zip(query.tolist(), key.tolist(), strict=True):
        own = math.exp(cosine(q, k) / 0.2)
        total -= math.log(own / (own + sum(math.exp(cosine(q, other) / 0.2) for other in queue.tolist())))
    loss = queue_nce(query, key, queue, 0.2)
    assert value(loss) == pytest.approx(total / 3)
    loss.backward()
    assert query.grad is not None
    assert key.grad is None


def test_bootstrap_is_byols_equation_and_the_target_stays() -> None:
    predicted, target = draw(3, 4), draw(3, 4, seed=1)
    loss = bootstrap(predicted, target)
    typed = [2 - 2 * cosine(p, t) for p, t in zip(predicted.tolist(), target.tolist(), strict=True)]
    assert value(loss) == pytest.approx(sum(typed) / 3)
    loss.backward()
    assert predicted.grad is not None
    assert target.grad is None


def test_spread_is_one_for_opposite_directions_and_zero_for_one() -> None:
    assert value(spread(torch.tensor([[2.0, 0.0], [-1.0, 0.0]]))) == pytest.approx(1.0)
    assert value(spread(torch.tensor([[3.0, 0.0], [1.0, 0.0]]))) == pytest.approx(0.0, abs=1e-6)


def test_spread_is_the_root_of_the_summed_variances_of_unit_projections() -> None:
    values = draw(7, 5).detach()
    units = [[x / math.hypot(*row) for x in row] for row in values.tolist()]
    means = [sum(column) / 7 for column in zip(*units, strict=True)]
    variances = sum(sum((x - mean) ** 2 for x in column) / 7 for column, mean in zip(zip(*units), means))  # noqa: B905
    assert value(spread(values)) == pytest.approx(math.sqrt(variances))
