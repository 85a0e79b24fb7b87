"""Our network against numbers that the published one computed, on weights made from the parameter names alone."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.config import base
from model.network.pixels import normalise
from model.network.signrep import EncoderOutput, SignRep
from tests.golden import TOLERANCE, published_noise, published_weights, relative_error

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def parity(shared: Path) -> Path:
    return shared / "parity"


@pytest.fixture(scope="module")
def golden(parity: Path) -> Mapping[str, NDArray[np.float32]]:
    return np.load(parity / "golden.npz")


@pytest.fixture(scope="module")
def network(parity: Path) -> SignRep:
    state = {key: tensor for key, tensor in published_weights(parity).items() if not key.startswith("cls_head.")}
    network = SignRep(base()).eval()
    network.load_state_dict(state, strict=True)
    return network


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return published_noise()


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    u8 = np.random.default_rng(7).integers(0, 256, (2, 16, 224, 224, 3), dtype=np.uint8)
    u8 = u8 // 4 + np.linspace(0, 190, 224, dtype=np.float32)[None, None, :, None, None].astype(np.uint8)
    u8[1] = u8[1, ::-1, :, ::-1]
    return torch.from_numpy(u8)


def assert_same(output: EncoderOutput, golden: Mapping[str, NDArray[np.float32]], group: str) -> None:
    seen = {
        "latent": output.latent,
        "features": output.features,
        "activity_logits": output.activity_logits,
        **{f"stage{i + 1}_channel_mean": m.mean(dim=(1, 2)) for i, m in enumerate(output.maps)},
    }
    errors = {name: relative_error(value, golden[f"{group}/{name}"]) for name, value in seen.items()}
    assert max(errors.values()) < TOLERANCE, errors


@torch.no_grad()
def test_full_windows_give_the_published_numbers(
    network: SignRep, noise: torch.Tensor, golden: Mapping[str, NDArray[np.float32]]
) -> None:
    assert_same(network(noise), golden, "full")


@torch.no_grad()
def test_masked_windows_give_the_published_numbers(
    network: SignRep, noise: torch.Tensor, golden: Mapping[str, NDArray[np.float32]]
) -> None:
    visible = torch.from_numpy(np.stack([np.flatnonzero(keep) for keep in golden["keep_mask"]]))
    assert_same(network(noise, visible), golden, "masked")


@torch.no_grad()
@pytest.mark.parametrize("group", ["uint8_full", "uint8_half"])
def test_uint8_windows_give_the_published_numbers(
    network: SignRep, pixels: torch.Tensor, golden: Mapping[str, NDArray[np.float32]], group: str
) -> None:
    visible = torch.from_numpy(golden["uint8_half/visible"]) if group == "uint8_half" else None
    output = network(normalise(pixels), visible)
    assert relative_error(output.features, golden[f"{group}/features"]) < TOLERANCE
    assert relative_error(output.activity_logits.sigmoid(), golden[f"{group}/activity"]) < TOLERANCE
