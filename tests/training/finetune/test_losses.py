"""Against the paper's sentences, typed again in plain numpy."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.finetune.losses import class_distribution, distribution_loss, recognition_losses


def softmax(row: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    powers = np.exp((row - row.max()) / temperature)
    return powers / powers.sum()


def cosines(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def phi_by_hand(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every temperature from 0.001 to 0.1 tried: the one whose largest share is nearest to 0.5 from below."""
    rows = []
    for row in cosines(vectors):
        tried = [softmax(row, temperature) for temperature in np.geomspace(0.001, 0.1, 2_000)]
        below = [one for one in tried if one.max() <= 0.5]
        rows.append(max(below, key=lambda one: one.max()) if below else tried[-1])
    return np.stack(rows)


def alike(num: int, noise: float) -> NDArray[np.float64]:
    rng = np.random.default_rng(5)
    return rng.normal(size=16) + noise * rng.normal(size=(num, 16))


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.6])
def test_the_class_distribution_is_what_trying_all_temperatures_finds(noise: float) -> None:
    vectors = alike(12, noise)
    phi = class_distribution(torch.from_numpy(vectors))
    np.testing.assert_allclose(phi.numpy(), phi_by_hand(vectors), atol=2e-3)
    np.testing.assert_allclose(phi.sum(dim=1), 1.0, atol=1e-6)
    assert (phi.argmax(dim=1) == torch.arange(12)).all()
    # Nothing beyond a half, but where even the warmest temperature is.
    warmest = np.stack([softmax(row, 0.1) for row in cosines(vectors)]).max(axis=1)
    assert ((phi.max(dim=1).values.numpy() <= 0.5 + 1e-6) | (warmest > 0.5)).all()


def test_few_and_different_classes_have_the_warmest_distribution() -> None:
    phi = class_distribution(torch.eye(3))
    share = math.exp(10) / (math.exp(10) + 2)
    assert float(phi[0, 0]) == pytest.approx(share, abs=1e-6)


def test_classes_that_look_the_same_share_evenly() -> None:
    phi = class_distribution(torch.ones(4, 8))
    torch.testing.assert_close(phi, torch.full((4, 4), 0.25))


def test_temperatures_are_each_classes_own() -> None:
    vectors = alike(8, 0.05)
    vectors[0] = -vectors[0]  # one far away from all others
    phi = class_distribution(torch.from_numpy(vectors))
    assert float(phi[0, 0]) > 0.99
    assert float(phi[1:].max()) == pytest.approx(0.5, abs=1e-3)


def test_the_distribution_loss_is_the_mean_divergence() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(5, 4, generator=generator), torch.tensor([0, 3, 3, 1, 2])
    phi = torch.rand(4, 4, generator=generator).softmax(dim=1)
    p = np.exp(logits.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    q = phi.double().numpy()[labels.numpy()]
    by_hand = (q * (np.log(q) - np.log(p))).sum(axis=1).mean()
    assert float(distribution_loss(logits, labels, phi)) == pytest.approx(by_hand, rel=1e-5)
    assert float(distribution_loss(phi[labels].log(), labels, phi)) == pytest.approx(0.0, abs=1e-6)


def test_the_total_is_smoothed_cross_entropy_and_a_share_of_the_divergence() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, labels = torch.randn(6, 5, generator=generator), torch.tensor([0, 1, 2, 3, 4, 4])
    phi = torch.rand(5, 5, generator=generator).softmax(dim=1)
    log_p = logits.log_softmax(dim=1)
    smooth = 0.9 * torch.nn.functional.one_hot(labels, 5) + 0.1 / 5
    by_hand = -(smooth * log_p).sum(dim=1).mean()
    terms = recognition_losses(logits, labels, phi, label_smoothing=0.1, distribution=0.2)
    assert float(terms["cross_entropy"]) == pytest.approx(float(by_hand), rel=1e-5)
    assert float(terms["total"]) == pytest.approx(float(by_hand + 0.2 * terms["distribution"]), rel=1e-5)
    without = recognition_losses(logits, labels, torch.empty(0), label_smoothing=0.1, distribution=0.0)
    assert set(without) == {"total", "cross_entropy"}
