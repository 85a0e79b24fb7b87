"""Every loss against its equation, typed again with loops or numpy."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.network.hands import HandLocations
from training.pretrain.losses import (
    activity_loss,
    adversarial_loss,
    covariance_loss,
    discriminator_loss,
    hands_loss,
    prior_loss,
    variance_loss,
)
from training.pretrain.style import gram_style, style_dim


@pytest.fixture
def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 7, generator=generator) * torch.linspace(0.1, 3, 7)


def smooth_l1(error: float, beta: float) -> float:
    return error**2 / (2 * beta) if abs(error) < beta else abs(error) - beta / 2


@pytest.mark.parametrize(("psi", "beta"), [(1.0, 1.0), (4.0, 1.0), (2.0, 0.25)])
def test_the_prior_loss_is_smooth_l1_over_known_elements_of_scaled_targets(psi: float, beta: float) -> None:
    rng = np.random.default_rng(1)
    prediction, target = rng.normal(0, 2, (2, 2, 16, 5)).astype(np.float32)
    known = rng.random((2, 16, 5)) < 0.6
    errors = [smooth_l1(float(prediction[i] - psi * target[i]), beta) for i in zip(*np.nonzero(known), strict=True)]
    ours = prior_loss(torch.from_numpy(prediction), torch.from_numpy(target), torch.from_numpy(known), psi, beta)
    assert float(ours) == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_what_is_not_known_has_no_influence_even_when_it_is_not_a_number() -> None:
    prediction = torch.randn(2, 16, 3, requires_grad=True)
    target, known = torch.zeros(2, 16, 3), torch.ones(2, 16, 3, dtype=torch.bool)
    known[0], target[0] = False, float("nan")
    loss = prior_loss(prediction, target, known, 1.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(F.smooth_l1_loss(prediction[1].detach(), target[1])))
    assert prediction.grad is not None
    assert (prediction.grad[0] == 0).all()
    assert (prediction.grad[1] != 0).all()


def test_where_nothing_is_known_the_prior_loss_is_zero_with_a_gradient_of_zero() -> None:
    prediction = torch.randn(2, 16, 3, requires_grad=True)
    loss = prior_loss(prediction, torch.zeros(2, 16, 3), torch.zeros(2, 16, 3, dtype=torch.bool), 1.0)
    loss.backward()
    assert float(loss.detach()) == 0
    assert prediction.grad is not None
    assert not prediction.grad.any()


def test_the_activity_loss_is_cross_entropy_over_known_hands() -> None:
    logits, target = torch.tensor([[0.3, -2.0], [1.5, 0.7]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    known = torch.tensor([[True, True], [False, True]])

    def entropy(x: float, y: float) -> float:
        p = 1 / (1 + math.exp(-x))
        return -(y * math.log(p) + (1 - y) * math.log(1 - p))

    expected = (entropy(0.3, 1) + entropy(-2.0, 0) + entropy(0.7, 1)) / 3
    assert float(activity_loss(logits, target, known)) == pytest.approx(expected, rel=1e-5)


def test_the_variance_loss_is_the_mean_hinge_on_standard_deviations(features: torch.Tensor) -> None:
    std = np.sqrt(features.double().numpy().var(axis=0, ddof=1) + 1e-4)
    assert float(variance_loss(features)) == pytest.approx(np.maximum(0, 1 - std).mean(), rel=1e-5)


def test_the_covariance_loss_is_the_sum_over_pairs_of_channels(features: torch.Tensor) -> None:
    covariance = np.cov(features.double().numpy(), rowvar=False)
    bare = sum(covariance[j, k] ** 2 for j in range(7) for k in range(7) if j != k)
    assert float(covariance_loss(features)) == pytest.approx(bare / 7, rel=1e-4)
    assert float(covariance_loss(features, per_channel=False)) == pytest.approx(bare, rel=1e-4)


def test_the_adversarial_loss_draws_each_verdict_to_the_average_of_the_other() -> None:
    matched, unmatched = torch.tensor([0.9, 0.7]), torch.tensor([0.2, 0.4])
    expected = ((0.9 - 0.35) ** 2 + (0.7 - 0.35) ** 2) / 2 + ((0.2 - 0.8) ** 2 + (0.4 - 0.8) ** 2) / 2
    ours = adversarial_loss(matched, unmatched, torch.tensor(0.8), torch.tensor(0.35))
    assert float(ours) == pytest.approx(expected, rel=1e-5)


def test_the_discriminator_loss_is_cross_entropy_of_matched_against_unmatched() -> None:
    matched, unmatched = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    expected = F.binary_cross_entropy(torch.cat([matched, unmatched]).sigmoid(), torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert float(discriminator_loss(matched, unmatched)) == pytest.approx(float(expected), rel=1e-5)


def test_the_hands_loss_is_surprise_at_the_nearest_token_the_way_to_the_hand_and_its_size() -> None:
    rng = np.random.default_rng(0)
    tokens = np.array([(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)])
    believed, side, true, scores = (
        rng.random((3, 2, 2)),
        rng.random(3),
        rng.random((3, 2, 3)),
        rng.normal(size=(3, 2, 4)),
    )
    true[1, 0] = np.nan
    losses = []
    for window, hand in [(window, hand) for window in range(3) for hand in range(2) if (window, hand) != (1, 0)]:
        nearest = int(np.argmin([math.dist(token, true[window, hand, :2]) for token in tokens]))
        chances = np.exp(scores[window, hand]) / np.exp(scores[window, hand]).sum()
        away = abs(believed[window, hand] - true[window, hand, :2]).sum()
        larger = abs(math.log(side[window] / true[window, hand, 2]))
        losses.append(-math.log(chances[nearest]) + 10 * away + 3 * larger)
    places = HandLocations(*(torch.tensor(part) for part in (believed, side, scores, np.tile(tokens, (3, 1, 1)))))
    assert float(hands_loss(places, torch.tensor(true))) == pytest.approx(np.mean(losses))
    unknown = torch.full((3, 2, 3), torch.nan, dtype=torch.float64)
    assert float(hands_loss(places, unknown)) == 0


def test_style_is_the_upper_triangle_of_the_gram_matrix_of_each_window() -> None:
    tokens = torch.randn(2, 3, 4, 5)
    x = tokens.double().numpy().reshape(2, 12, 5)
    expected = [
        [sum(window[n, j] * window[n, k] for n in range(12)) / (12 * 5) for j in range(5) for k in range(j, 5)]
        for window in x
    ]
    style = gram_style(tokens)
    assert style.shape == (2, style_dim(5))
    np.testing.assert_allclose(style.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_style_does_not_know_where_or_when() -> None:
    tokens = torch.randn(1, 6, 4, 5)
    assert torch.allclose(gram_style(tokens), gram_style(tokens[:, torch.randperm(6)]), atol=1e-6)
