from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.model.network.test_hands import looking_closer
from tests.training.contrastive.made_up import CPU, run_config
from training.contrastive.depth_growth import block_numbers, deepened, is_deeper
from training.contrastive.state import make_state
from training.pretrain.network import PretrainNetwork, from_published, published_state

BEFORE = replace(looking_closer(), drop_path=0.0)
AFTER = replace(
    BEFORE,
    stages=tuple(count + 1 for count in BEFORE.stages),
    hand_stages=tuple(count + 2 for count in BEFORE.hand_stages),
)


def test_new_blocks_come_last_in_their_stage() -> None:
    assert list(block_numbers((1, 2), (2, 3))) == [(0, 0), (None, 1), (1, 2), (2, 3), (None, 4)]
    assert list(block_numbers((), ())) == []


def test_a_deeper_network_begins_by_computing_the_same(tmp_path: Path) -> None:
    first = make_state(run_config(encoder=BEFORE, seed=3), CPU)
    torch.save(first.checkpoint(), tmp_path / "first.pt")
    deeper = make_state(run_config(encoder=AFTER), CPU, tmp_path / "first.pt")
    assert deeper.start.endswith(f"deepened to stages {AFTER.stages}, hand_stages {AFTER.hand_stages}")
    windows = torch.randn(2, 3, *BEFORE.window_size, generator=torch.Generator().manual_seed(0))
    one, two = first.average.eval().encoder(windows), deeper.average.eval().encoder(windows)
    assert torch.allclose(one.features, two.features, atol=1e-6)
    assert torch.allclose(one.activity_logits, two.activity_logits, atol=1e-6)
    assert len(deeper.average.encoder.backbone.blocks) == len(first.average.encoder.backbone.blocks) + len(AFTER.stages)


def test_what_is_new_can_learn() -> None:
    old, network = PretrainNetwork(BEFORE), PretrainNetwork(AFTER)
    network.load_state_dict(from_published(deepened(published_state(old), BEFORE, AFTER, published_state(network))))
    windows = torch.randn(2, 3, *AFTER.window_size, generator=torch.Generator().manual_seed(0))
    network.encoder(windows).features.square().sum().backward()
    new = [number for number_before, number in block_numbers(BEFORE.stages, AFTER.stages) if number_before is None]
    for number in new:
        block = network.encoder.backbone.blocks[number]
        assert block.attn.proj.weight.grad.any()
        assert block.mlp.fc2.weight.grad.any()
        assert block.mlp.fc1.weight.any(), "with nothing in both layers neither would ever learn"


@pytest.mark.parametrize(
    "other", [replace(BEFORE, activity_hidden=7), replace(AFTER, mlp_ratio=2.0)], ids=["width", "deeper and narrower"]
)
def test_a_network_grows_by_blocks_alone(other) -> None:
    assert is_deeper(AFTER, BEFORE)
    assert is_deeper(BEFORE, BEFORE)
    assert not is_deeper(other, BEFORE)


def test_a_network_does_not_shrink() -> None:
    assert not is_deeper(BEFORE, AFTER)
    three = replace(BEFORE, stages=(1, 1, 1), hand_stages=(1, 1, 1), local_stages=(True, False, False))
    assert not is_deeper(three, BEFORE)
