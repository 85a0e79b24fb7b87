import pytest
import torch
from torch import nn

from training.pretrain.config import Adversary
from training.pretrain.discriminator import Discriminator, draw_others
from training.pretrain.style import style_dim

CHANNELS, DIM, BATCH = 4, 6, 8


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(CHANNELS, DIM, Adversary(hidden=16, ema_start=0.5))


@pytest.fixture
def style() -> torch.Tensor:
    return torch.randn(BATCH, style_dim(CHANNELS), generator=torch.Generator().manual_seed(1)) / 100


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(BATCH, DIM, generator=torch.Generator().manual_seed(2))


def test_the_layers_are_those_of_the_paper(discriminator: Discriminator) -> None:
    def sizes(part: nn.Module) -> list[tuple[int, int]]:
        return [(m.in_features, m.out_features) for m in part.modules() if isinstance(m, nn.Linear)]

    assert sizes(discriminator.style) == [(10, 16), (16, 16)]
    assert sizes(discriminator.judge) == [(16 + 6, 16), (16, 16), (16, 16), (16, 1)]


def test_no_layer_of_the_discriminator_stretches_by_more_than_one(
    discriminator: Discriminator, style: torch.Tensor, features: torch.Tensor
) -> None:
    with torch.no_grad():
        for module in discriminator.judge.modules():
            if isinstance(module, nn.Linear):
                module.parametrizations.weight.original.mul_(10)  # type: ignore[union-attr]
        for _ in range(50):
            discriminator(style, features)
    for module in discriminator.judge.modules():
        if isinstance(module, nn.Linear):
            assert float(torch.linalg.matrix_norm(module.weight.detach(), 2)) == pytest.approx(1, abs=0.02)


def test_matched_is_the_other_window_of_the_pair_and_unmatched_the_other_video(
    discriminator: Discriminator, style: torch.Tensor, features: torch.Tensor
) -> None:
    discriminator.eval()
    other = draw_others(BATCH, torch.Generator().manual_seed(3))
    verdict = discriminator.compare(style, features, other)
    for i in range(BATCH):
        partner = i + 1 if i % 2 == 0 else i - 1
        assert torch.allclose(verdict.matched[i], discriminator(style[[partner]], features[[i]])[0], atol=1e-6)
        assert torch.allclose(verdict.unmatched[i], discriminator(style[other[[i]]], features[[i]])[0], atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_the_other_window_is_always_of_another_pair_and_each_is_used_once(seed: int) -> None:
    other = draw_others(BATCH, torch.Generator().manual_seed(seed))
    assert ((other // 2) != (torch.arange(BATCH) // 2)).all()
    assert other.sort().values.tolist() == list(range(BATCH))


def test_averages_move_by_a_tenth_towards_the_newest_batch(
    discriminator: Discriminator, style: torch.Tensor, features: torch.Tensor
) -> None:
    other = draw_others(BATCH, torch.Generator().manual_seed(3))
    discriminator.eval()  # so that both calls see the same spectral norms
    verdict = discriminator.compare(style, features, other)
    discriminator.loss(style, features, other)
    for average, logits in (
        (discriminator.ema_matched, verdict.matched),
        (discriminator.ema_unmatched, verdict.unmatched),
    ):
        assert float(average) == pytest.approx(0.9 * 0.5 + 0.1 * float(logits.detach().sigmoid().mean()), rel=1e-5)


def test_its_own_loss_teaches_it_and_not_the_encoder(
    discriminator: Discriminator, style: torch.Tensor, features: torch.Tensor
) -> None:
    features.requires_grad_()
    discriminator.loss(style, features, draw_others(BATCH, torch.Generator())).backward()
    assert features.grad is None
    assert all(parameter.grad is not None for parameter in discriminator.parameters())


def test_frozen_it_passes_gradients_to_the_encoder_and_keeps_none(
    discriminator: Discriminator, style: torch.Tensor, features: torch.Tensor
) -> None:
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    features.requires_grad_()
    with discriminator.frozen():
        verdict = discriminator.compare(style, features, draw_others(BATCH, torch.Generator()))
    (verdict.matched.sum() + verdict.unmatched.sum()).backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())
    assert discriminator.training
    assert all(parameter.requires_grad for parameter in discriminator.parameters())


def test_it_learns_to_tell_looks_that_show_in_embeddings(discriminator: Discriminator) -> None:
    generator = torch.Generator().manual_seed(5)
    optimiser = torch.optim.AdamW(discriminator.parameters(), lr=3e-3, betas=(0.5, 0.9))
    losses = []
    for _ in range(100):
        looks = torch.randn(BATCH // 2, DIM, generator=generator).repeat_interleave(2, 0)  # alike within a video
        style = torch.cat([looks, torch.zeros(BATCH, 4)], dim=1) / 100
        loss = discriminator.loss(style, looks, draw_others(BATCH, generator))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])
