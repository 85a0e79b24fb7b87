import pytest
import torch

from tests.model.micro import micro
from training.data.priors.table import PRIORS
from training.data.windows.loading import load_batches
from training.data.windows.samples import Batch
from training.data.windows.sources import ArraySource, generate_clips
from training.errors import ConfigError
from training.pretrain.config import Adversary, Losses
from training.pretrain.discriminator import Discriminator, draw_others
from training.pretrain.losses import adversarial_loss, prior_loss
from training.pretrain.network import Prediction, PretrainNetwork
from training.pretrain.objective import compute_losses, term_weights, weighted_priors


@pytest.fixture
def batch() -> Batch:
    return next(load_batches(ArraySource(generate_clips(3, 64)), 6))


@pytest.fixture
def prediction(batch: Batch) -> Prediction:
    torch.manual_seed(0)
    windows = batch.frames.movedim(-1, 1) / 255
    return PretrainNetwork(micro())(windows, torch.arange(10).expand(6, -1))


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(micro().embed_dim, micro().dim, Adversary(hidden=16))


OTHER = draw_others(6, torch.Generator().manual_seed(0))


def test_the_total_is_the_weighted_sum_of_the_named_terms(
    prediction: Prediction, batch: Batch, discriminator: Discriminator
) -> None:
    total, terms = compute_losses(prediction, batch, Losses(), discriminator, OTHER)
    weights = {f"prior/{p.name}": p.weight for p in PRIORS}
    weights |= {"activity": 0.2, "variance": 1.0, "covariance": 0.004, "adversarial": 2.0}
    assert terms.keys() == weights.keys() == term_weights(Losses()).keys() - {"hands"}
    assert float(total.detach()) == pytest.approx(sum(weights[n] * float(t.detach()) for n, t in terms.items()))


def test_terms_are_the_losses_of_what_their_name_says(
    prediction: Prediction, batch: Batch, discriminator: Discriminator
) -> None:
    _, terms = compute_losses(prediction, batch, Losses(prior_beta=0.5), discriminator, OTHER)
    name = "left_dist"
    expected = prior_loss(prediction.priors[name], batch.targets[name], batch.masks[name], psi=4, beta=0.5)
    assert torch.equal(terms[f"prior/{name}"], expected)
    discriminator.eval()
    verdict = discriminator.compare(prediction.style, prediction.features, OTHER)
    averages = discriminator.ema_matched, discriminator.ema_unmatched
    expected = adversarial_loss(verdict.matched.sigmoid(), verdict.unmatched.sigmoid(), *averages)
    assert torch.allclose(terms["adversarial"], expected)


def test_priors_that_are_left_out_teach_nothing_but_still_reach_their_head(
    batch: Batch, discriminator: Discriminator
) -> None:
    torch.manual_seed(0)
    network = PretrainNetwork(micro())
    config = Losses(priors=("full_left_angles",), adversarial=0)
    total, _ = compute_losses(network(batch.frames.movedim(-1, 1) / 255), batch, config, discriminator, OTHER)
    total.backward()
    heads = network.cls_head.dict_component_projections
    gradients = {name: heads[name].layers[0].weight.grad for name in heads}  # type: ignore[union-attr,index]
    assert all(gradient is not None for gradient in gradients.values())
    assert [name for name, gradient in gradients.items() if gradient.any()] == ["full_left_angles"]


def test_weighted_priors_are_the_priors_share_of_the_total() -> None:
    terms = {f"prior/{p.name}": 0.5 for p in PRIORS} | {"variance": 9.0, "total": 99.0}
    assert weighted_priors(terms, Losses()) == pytest.approx(0.5 * (6 * 10 + 3 * 20))


def test_weights_of_the_config_take_the_place_of_the_tables() -> None:
    weights = term_weights(Losses(weights=tuple(range(1, 10)), priors=("body_pose", "left_dist")))
    assert [weights[f"prior/{prior.name}"] for prior in PRIORS] == [0, 0, 0, 4, 0, 0, 0, 0, 9]


def test_weights_that_do_not_match_the_priors_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 weights; there are 9 priors: full_body_angles"):
        Losses(weights=(1.0, 2.0, 3.0))
