"""The whole pretraining network against the numbers of the published one."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.config import base
from model.network.checkpoint import load_strictly
from tests.golden import TOLERANCE, published_noise, published_weights, relative_error
from training.data.priors.table import PRIORS
from training.pretrain.network import Prediction, PretrainNetwork, from_published, published_state

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def golden(shared: Path) -> Mapping[str, NDArray[np.float32]]:
    return np.load(shared / "parity" / "golden.npz")


@pytest.fixture(scope="module")
def weights(shared: Path) -> dict[str, torch.Tensor]:
    return published_weights(shared / "parity")


@pytest.fixture(scope="module")
def network(weights: dict[str, torch.Tensor]) -> PretrainNetwork:
    network = PretrainNetwork(base()).eval()
    load_strictly(network, from_published(weights))
    return network


def test_the_full_published_checkpoint_is_this_network_tensor_by_tensor(
    network: PretrainNetwork, weights: dict[str, torch.Tensor]
) -> None:
    assert len(weights) == 327
    state = published_state(network)
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in weights)


def assert_same(prediction: Prediction, golden: Mapping[str, NDArray[np.float32]], group: str) -> None:
    seen = {prior.name: prediction.priors[prior.name][:1] for prior in PRIORS}
    seen |= {"features": prediction.features, "activity_logits": prediction.activity_logits}
    errors = {name: relative_error(value, golden[f"{group}/{name}"]) for name, value in seen.items()}
    assert len(errors) == 11
    assert max(errors.values()) < TOLERANCE, errors


@torch.no_grad()
def test_every_prior_head_gives_the_published_numbers_on_masked_windows(
    network: PretrainNetwork, golden: Mapping[str, NDArray[np.float32]]
) -> None:
    visible = torch.from_numpy(np.stack([np.flatnonzero(keep) for keep in golden["keep_mask"]]))
    assert_same(network(published_noise(), visible), golden, "masked")


@torch.no_grad()
def test_every_prior_head_gives_the_published_numbers_on_embeddings_of_full_windows(
    network: PretrainNetwork, golden: Mapping[str, NDArray[np.float32]]
) -> None:
    predicted = network.cls_head(torch.from_numpy(golden["full/features"][:1]))
    errors = {prior.name: relative_error(predicted[prior.name], golden[f"full/{prior.name}"]) for prior in PRIORS}
    assert max(errors.values()) < TOLERANCE, errors
