from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.model.network.test_hands import looking_closer
from tests.training.contrastive.made_up import CPU, run_config
from training.contrastive.config import compact
from training.contrastive.state import make_state
from training.errors import ConfigError
from training.pretrain.config import override


def test_a_run_starts_with_the_weights_of_another(tmp_path: Path) -> None:
    first = make_state(run_config(seed=3), CPU)
    torch.save(first.checkpoint(), tmp_path / "first.pt")
    state = make_state(run_config(), CPU, tmp_path / "first.pt")
    for one, two in zip(first.average.parameters(), state.network.network.parameters(), strict=True):
        assert torch.equal(one, two)
    assert state.start.startswith("random weights; training.contrastive, 0 steps")
    other = run_config(encoder=replace(run_config().encoder, activity_hidden=7))
    with pytest.raises(ConfigError, match="another encoder"):
        make_state(other, CPU, tmp_path / "first.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "else.pt")
    with pytest.raises(ConfigError, match="no checkpoint of a training run"):
        make_state(run_config(), CPU, tmp_path / "else.pt")


def test_checkpoints_of_earlier_versions_are_weights_to_start_from(tmp_path: Path) -> None:
    first = make_state(run_config(seed=3), CPU)
    content = {name: value for name, value in first.checkpoint().items() if name not in ("config", "score")}
    torch.save(content | {"contrast": {"elapsed_s": 3.0, "optimiser": {}}}, tmp_path / "contrast.pt")
    state = make_state(run_config(), CPU, tmp_path / "contrast.pt")
    assert torch.equal(state.average.encoder.fc[1].weight, first.average.encoder.fc[1].weight)


def test_encoders_without_a_hand_branch_are_refused() -> None:
    with pytest.raises(ConfigError, match="take encoder=compact"):
        run_config(encoder=replace(looking_closer(), hand_px=0))
    with pytest.raises(ConfigError, match="take encoder=compact"):
        run_config(encoder=replace(looking_closer(), num_frames=16))


def test_unknown_settings_are_refused_with_those_that_are_known() -> None:
    assert override(compact(), ["num_real=3", "encoder.hand_px=32", "data.pairs=a"]).encoder.hand_px == 32
    with pytest.raises(ConfigError, match="temperature"):
        override(compact(), ["warmth=1"])
