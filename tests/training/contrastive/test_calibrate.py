from pathlib import Path

import numpy as np
import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from tests.model.micro import micro
from training.contrastive import calibrate
from training.contrastive.calibrate import Scale, applied, fit_scale, logits, rising
from training.errors import DataError
from training.pretrain.network import PretrainNetwork, from_published, published_state


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def test_rest_falls_and_strokes_rise() -> None:
    rng = np.random.default_rng(0)
    rest, stroke = sigmoid(rng.normal(-0.8, 0.6, 300)), sigmoid(rng.normal(4.0, 1.0, 900))
    scale = fit_scale(rest, stroke)
    then = [sigmoid(scale.slope * logits(part) + scale.offset) for part in (rest, stroke)]
    assert (then[0] < 0.2).mean() > 0.9
    assert (then[1] > 0.8).mean() > 0.9
    assert (rest < 0.2).mean() < 0.2, "which they did not before"


def test_the_fit_is_that_of_gradient_descent_on_the_balanced_loss() -> None:
    rng = np.random.default_rng(1)
    rest, stroke = sigmoid(rng.normal(-1.0, 1.5, 50)), sigmoid(rng.normal(1.5, 1.5, 400))
    x = torch.from_numpy(np.concatenate([logits(rest), logits(stroke)]))
    y = torch.cat([torch.full((50,), 1 / 52), torch.full((400,), 401 / 402)]).double()
    weight = torch.cat([torch.full((50,), 0.5 / 50), torch.full((400,), 0.5 / 400)]).double()
    found = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([found], max_iter=200)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(found[0] * x + found[1], y, reduction="none")
        total = (weight * entropy).sum()
        total.backward()
        return total

    optimiser.step(loss)
    scale = fit_scale(rest, stroke)
    assert np.allclose([scale.slope, scale.offset], found.detach(), atol=1e-3)


def test_what_is_told_apart_without_a_doubt_gives_numbers() -> None:
    scale = fit_scale(np.full(40, 1e-9, np.float32), np.full(3, 1.0, np.float32))
    assert np.isfinite([scale.slope, scale.offset]).all()
    assert scale.slope > 0


def test_what_is_told_apart_by_a_gap_keeps_grey_between() -> None:
    """As after training on the same clips: full steps of Newton's method once went to a slope of thirty thousand."""
    rng = np.random.default_rng(2)
    rest, stroke = sigmoid(rng.normal(-0.9, 0.3, 227).clip(max=-0.2)), sigmoid(rng.normal(6.0, 2.0, 572).clip(min=2.0))
    scale = fit_scale(rest, stroke)
    assert 1.0 < scale.slope < 10.0
    then = [sigmoid(scale.slope * logits(part) + scale.offset) for part in (rest, stroke)]
    assert then[0].max() < 0.2
    assert then[1].min() > 0.8


def test_activity_is_not_turned_round() -> None:
    rng = np.random.default_rng(3)
    rest, stroke = sigmoid(rng.normal(1.0, 0.5, 50)), sigmoid(rng.normal(-1.0, 0.5, 50))
    found = fit_scale(rest, stroke)
    assert found.slope < 0
    assert rising(found) == Scale(1.0, 0.0)
    assert rising(fit_scale(stroke, rest)).slope > 1.0


def test_only_activity_changes() -> None:
    network = PretrainNetwork(micro()).eval()
    changed = PretrainNetwork(micro()).eval()
    changed.load_state_dict(from_published(applied(published_state(network), Scale(2.0, -3.0))))
    windows = torch.randn(2, 3, 16, 64, 64)
    before, after = network(windows), changed(windows)
    assert torch.allclose(after.activity_logits, 2.0 * before.activity_logits - 3.0, atol=1e-5)
    assert torch.equal(after.features, before.features)
    assert torch.equal(after.priors["body_pose"], before.priors["body_pose"])


def test_without_rest_there_is_nothing_to_tell_apart() -> None:
    with pytest.raises(DataError, match="0 windows in rest and 3 in the stroke"):
        fit_scale(np.empty(0, np.float32), np.full(3, 0.9, np.float32))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    app = Typer()
    app.command()(calibrate.main)
    result = CliRunner().invoke(app, [str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), str(tmp_path / "none.csv")])
    assert result.exit_code == 1
    assert "none.csv" in result.output
