from dataclasses import replace

import pytest
import torch

from model.config import base, compact
from model.errors import CheckpointError
from model.network.checkpoint import untrained
from model.network.signrep import SignRep
from tests.model.micro import micro
from training.finetune.inflate import WEIGHT, inflated_config, inflated_state
from training.finetune.state import geometry


def test_the_geometry_is_the_papers() -> None:
    config = inflated_config(base(), 64)
    assert (config.patch_kernel, config.patch_stride, config.patch_padding) == ((7, 7, 7), (8, 4, 4), (3, 3, 3))
    assert config.token_grid == base().token_grid == (8, 56, 56)
    assert config.dim == 768


@torch.no_grad()
def test_an_inflated_network_gives_what_the_old_one_gives_on_the_frames_it_sees() -> None:
    start = untrained(micro(), "micro")
    inflated = SignRep(inflated_config(micro(), 64)).eval()
    inflated.load_state_dict(inflated_state(start.state))
    generator = torch.Generator().manual_seed(3)
    window = torch.randn(2, 3, 16, 64, 64, generator=generator)
    # Old frames 2t - 1, 2t, 2t + 1 are what the new one finds at 8t - 2, 8t, 8t + 2. All others are noise.
    clip = torch.randn(2, 3, 64, 64, 64, generator=generator)
    for t in range(8):
        clip[:, :, 8 * t] = window[:, :, 2 * t]
        clip[:, :, 8 * t + 2] = window[:, :, 2 * t + 1]
        if t < 7:
            clip[:, :, 8 * t + 6] = window[:, :, 2 * t + 1]
    old, new = start.network()(window), inflated(clip)
    torch.testing.assert_close(new.features, old.features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(new.activity_logits, old.activity_logits, rtol=1e-5, atol=1e-5)
    assert all(map(torch.allclose, new.maps, old.maps))


@torch.no_grad()
def test_frames_between_those_count_as_soon_as_the_new_slices_are_not_zero() -> None:
    state = inflated_state(untrained(micro(), "micro").state)
    inflated = SignRep(inflated_config(micro(), 64)).eval()
    clip, other = torch.zeros(1, 3, 64, 64, 64), torch.zeros(1, 3, 64, 64, 64)
    other[:, :, 1::2] = 1.0
    inflated.load_state_dict(state)
    assert torch.equal(inflated(clip).features, inflated(other).features)
    state[WEIGHT][:, :, [0, 2, 4, 6]] = 0.1
    inflated.load_state_dict(state)
    assert not torch.equal(inflated(clip).features, inflated(other).features)


@pytest.mark.parametrize("config", [compact(), replace(micro(), patch_kernel=(5, 7, 7), patch_padding=(2, 3, 3))])
def test_other_patch_embeddings_are_not_inflated(config: object) -> None:
    with pytest.raises(CheckpointError, match="can't be inflated to 64 frames; only the published patch embedding"):
        inflated_config(config, 64)  # type: ignore[arg-type]


def test_an_encoder_that_can_not_be_inflated_sees_several_windows() -> None:
    assert geometry(compact(), 64) == (compact(), 32)
    assert geometry(base(), 64) == (inflated_config(base(), 64), 1)
    assert geometry(base(), 16) == (base(), 1)
    with pytest.raises(
        CheckpointError, match="num_frames is 7; the encoder sees windows of 2 frames, so set a multiple"
    ):
        geometry(compact(), 7)
    with pytest.raises(CheckpointError, match="can't be inflated to 48 frames"):
        geometry(base(), 48)
