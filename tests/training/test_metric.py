from pathlib import Path

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from model.checkpoint import read_checkpoint
from tests.model.micro import micro
from tests.training.pretrain.runs import ALONE, Recorder, clips, run_config
from training import metric
from training.data.loading import load_batches
from training.fit.files import LAST
from training.metric import Measured, Metric, applied, fit, measure, poses
from training.pretrain.loop import pretrain
from training.pretrain.network import PretrainNetwork, from_published, published_state
from training.pretrain.state import start_run


@pytest.fixture
def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    return (torch.randn(4000, 6, generator=generator) * torch.tensor([5.0, 3, 1, 0.5, 0.2, 0.1])) @ turned + 7


def seen(features: torch.Tensor, weights: torch.Tensor | None = None) -> Measured:
    """Windows of which no pose is known."""
    num = len(features)
    weights = torch.ones(num) if weights is None else weights
    return Measured(features, weights, torch.zeros(num, 2, 63), torch.zeros(num, 2, dtype=torch.bool))


def test_all_of_it_makes_white_and_none_only_centres(features: torch.Tensor) -> None:
    white = fit(seen(features), power=1.0, floor=1e-9)
    spread = torch.cov(((features.double() - white.mean) @ white.matrix.T).T)
    assert torch.allclose(spread / spread[0, 0], torch.eye(6, dtype=torch.float64), atol=0.01)
    centred = fit(seen(features), power=0.0, floor=0.1)
    assert torch.allclose(centred.matrix, torch.eye(6, dtype=torch.float64))
    assert torch.allclose(centred.mean, features.double().mean(dim=0))


def test_half_of_it_takes_the_root_of_ratios_and_keeps_the_mean_size(features: torch.Tensor) -> None:
    half = fit(seen(features), power=0.5, floor=1e-9)
    before = torch.cov(features.T.double())
    after = half.matrix @ before @ half.matrix.T
    ratios = [torch.linalg.eigvalsh(spread)[-1] / torch.linalg.eigvalsh(spread)[0] for spread in (before, after)]
    assert float(ratios[1]) == pytest.approx(float(ratios[0].sqrt()), rel=0.01)
    assert float(after.trace()) == pytest.approx(float(before.trace()), rel=0.01)


def test_windows_at_rest_do_not_count(features: torch.Tensor) -> None:
    both = torch.cat([features, features + 100])
    weights = torch.cat([torch.ones(len(features)), torch.zeros(len(features))])
    assert torch.allclose(fit(seen(both, weights), 0.5, 0.1).mean, features.double().mean(dim=0))


def test_cosines_are_those_of_embedding_and_poses_side_by_side() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(4000, 6, generator=generator) + 7
    told = torch.randn(6, 126, generator=generator)[:, :126].reshape(6, 2, 63)
    values = torch.einsum("nd,dhv->nhv", features - 7, told) + 3
    known = torch.rand(len(features), 2, generator=generator) < 0.5
    measured = Measured(features, torch.ones(len(features)), values, known)
    toward = fit(measured, power=0.0, floor=0.1, toward_poses=2.0)
    away = features.double() - features.double().mean(dim=0)
    parts = [away, away @ told.double().flatten(1)]
    parts = [part / part.square().sum(dim=1).mean().sqrt() for part in parts]
    beside = torch.cat([parts[0], 2.0 * parts[1]], dim=1)[:50]
    ours = (away @ toward.matrix.T)[:50]
    cosines = [torch.nn.functional.normalize(some) @ torch.nn.functional.normalize(some).T for some in (ours, beside)]
    assert torch.allclose(cosines[0], cosines[1], atol=0.01)
    plain = torch.nn.functional.normalize(away[:50])
    assert not torch.allclose(cosines[0], plain @ plain.T, atol=0.1)
    assert float((away @ toward.matrix.T).square().mean()) == pytest.approx(float(away.square().mean()), rel=0.01)


def test_poses_are_directions_and_wrists_and_zero_at_rest() -> None:
    batch = next(load_batches(clips(), 8, num_frames=2))
    batch.targets["activity"][:4], batch.masks["activity"][:] = 1.0, True
    for name in ("left_pose", "right_pose", "body_pose"):
        batch.masks[name][:2] = True
    values, known = poses(batch, 7)
    assert values.shape == (8, 2, 63)
    active = batch.targets["activity"] > 0
    assert (known & active).any()
    assert (values[~active] == 0).all()
    lengths = values[known & active][:, :60].reshape(-1, 20, 3)
    assert ((lengths / torch.tensor([1, 1, 0.5])).norm(dim=-1) * 20**0.5 - 1).abs().max() < 1e-4
    wrist = batch.targets["body_pose"][:, 7].reshape(-1, 61, 3)[:, 19]
    chosen = known[:, 1] & active[:, 1]
    assert torch.allclose(values[chosen, 1, 60:], 4 * wrist[chosen] * torch.tensor([1, 1, 0.5]))


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
    refused = CliRunner().invoke(app, words)
    assert "no active hand of 112 windows has a known pose" in refused.output
    found = CliRunner().invoke(app, [*words, "--toward-poses", "0"])
    assert found.exit_code == 0, found.output
    read = read_checkpoint(out)
    assert "evened out over 100 windows, power 0.5, toward poses 0" in read.provenance
    network = PretrainNetwork(read.config).eval()
    network.load_state_dict(from_published(read.state))
    found_again = measure(network, clips(), 100)
    features, weights = found_again.features, found_again.weights
    mean = (weights[:, None] * features).sum(dim=0) / weights.sum()
    assert float(mean.norm()) < 0.2 * float(features.norm(dim=1).mean())


def test_an_encoder_alone_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "bare.pt")
    app = Typer()
    app.command()(metric.main)
    found = CliRunner().invoke(app, [str(tmp_path / "bare.pt"), str(tmp_path / "out.pt"), "--data", "generated:4"])
    assert found.exit_code == 1
    assert "is no checkpoint of a pretraining run" in found.output
