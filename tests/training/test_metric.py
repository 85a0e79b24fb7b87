from pathlib import Path

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from model.checkpoint import read_checkpoint
from tests.model.micro import micro
from tests.training.pretrain.runs import ALONE, Recorder, clips, run_config
from training import metric
from training.fit.files import LAST
from training.metric import Metric, applied, embeddings, fit
from training.pretrain.loop import pretrain
from training.pretrain.network import PretrainNetwork, from_published, published_state
from training.pretrain.state import start_run


@pytest.fixture
def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    return (torch.randn(4000, 6, generator=generator) * torch.tensor([5.0, 3, 1, 0.5, 0.2, 0.1])) @ turned + 7


def test_all_of_it_makes_white_and_none_only_centres(features: torch.Tensor) -> None:
    weights = torch.ones(len(features))
    white = fit(features, weights, power=1.0, floor=1e-9)
    spread = torch.cov(((features.double() - white.mean) @ white.matrix.T).T)
    assert torch.allclose(spread / spread[0, 0], torch.eye(6, dtype=torch.float64), atol=0.01)
    centred = fit(features, weights, power=0.0, floor=0.1)
    assert torch.allclose(centred.matrix, torch.eye(6, dtype=torch.float64))
    assert torch.allclose(centred.mean, features.double().mean(dim=0))


def test_half_of_it_takes_the_root_of_ratios_and_keeps_the_mean_size(features: torch.Tensor) -> None:
    half = fit(features, torch.ones(len(features)), power=0.5, floor=1e-9)
    before = torch.cov(features.T.double())
    after = half.matrix @ before @ half.matrix.T
    ratios = [torch.linalg.eigvalsh(spread)[-1] / torch.linalg.eigvalsh(spread)[0] for spread in (before, after)]
    assert float(ratios[1]) == pytest.approx(float(ratios[0].sqrt()), rel=0.01)
    assert float(after.trace()) == pytest.approx(float(before.trace()), rel=0.01)


def test_windows_at_rest_do_not_count(features: torch.Tensor) -> None:
    both = torch.cat([features, features + 100])
    weights = torch.cat([torch.ones(len(features)), torch.zeros(len(features))])
    assert torch.allclose(fit(both, weights, 0.5, 0.1).mean, features.double().mean(dim=0))


@torch.no_grad()
def test_embeddings_change_as_said_and_nothing_else_does() -> None:
    torch.manual_seed(0)
    before, after = PretrainNetwork(micro()).eval(), PretrainNetwork(micro()).eval()
    dim = micro().dim
    change = Metric(
        torch.randn(dim, dtype=torch.float64), torch.randn(dim, dim, dtype=torch.float64) + 3 * torch.eye(dim)
    )
    after.load_state_dict(from_published(applied(published_state(before), change)))
    windows = torch.randn(3, 3, *micro().window_size)
    ours, theirs = after(windows), before(windows)
    wanted = (theirs.features.double() - change.mean) @ change.matrix.T
    assert torch.allclose(ours.features.double(), wanted, atol=1e-4)
    assert torch.allclose(ours.activity_logits, theirs.activity_logits, atol=1e-4)
    for name, values in theirs.priors.items():
        assert torch.allclose(ours.priors[name], values, atol=1e-3), name


def test_the_command_writes_a_checkpoint_that_exports(tmp_path: Path) -> None:
    config = run_config(tmp_path / "run", steps=2)
    pretrain(start_run(config, ALONE.device), clips(), ALONE, watcher=Recorder())
    app = Typer()
    app.command()(metric.main)
    out = tmp_path / "even.pt"
    words = [str(tmp_path / "run" / LAST), str(out), "--data", "generated:4", "--windows", "100", "--power", "0.5"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    read = read_checkpoint(out)
    assert "evened out over 100 windows, power 0.5" in read.provenance
    network = PretrainNetwork(read.config).eval()
    network.load_state_dict(from_published(read.state))
    features, weights = embeddings(network, clips(), 100)
    mean = (weights[:, None] * features).sum(dim=0) / weights.sum()
    assert float(mean.norm()) < 0.2 * float(features.norm(dim=1).mean())


def test_an_encoder_alone_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "bare.pt")
    app = Typer()
    app.command()(metric.main)
    found = CliRunner().invoke(app, [str(tmp_path / "bare.pt"), str(tmp_path / "out.pt"), "--data", "generated:4"])
    assert found.exit_code == 1
    assert "is no checkpoint of a pretraining run" in found.output
