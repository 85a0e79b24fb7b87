"""The command as a person uses it, alone and under torchrun."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from model.network.checkpoint import load_tensors
from tests.training.pretrain.runs import run_config
from training.data.priors.table import PRIORS
from training.fit.console import CURVES
from training.fit.files import BEST, LAST
from training.pretrain.__main__ import app
from training.pretrain.config import flatten

ROOT = Path(__file__).resolve().parents[3]


def settings(output: Path, **changes: object) -> list[str]:
    """The small run of the other tests, as arguments of the command."""
    words = ["debug"]
    for key, value in flatten(run_config(output, **changes)):
        if key not in ("preset", "minutes"):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += ["--set", f"{key}={text}"]
    return words


def curves(output: Path) -> dict[str, list[float]]:
    events = EventAccumulator(str(output / CURVES)).Reload()
    return {name: [point.value for point in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_a_run_leaves_checkpoints_and_a_curve_for_every_named_loss(tmp_path: Path) -> None:
    words = [
        *settings(tmp_path, steps=4, validate_every=2),
        "--set",
        "data.validation=generated:2",
        "--set",
        "data.validation_pairs=4",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "4 steps in" in result.stderr
    found = curves(tmp_path)
    wanted = {f"loss/prior/{prior.name}" for prior in PRIORS} | {
        f"loss/{name}"
        for name in ("activity", "variance", "covariance", "adversarial", "discriminator", "total", "priors")
    }
    assert wanted <= found.keys()
    assert {len(found[name]) for name in wanted} == {4}
    assert len(found["validation"]) == 2
    assert load_tensors(tmp_path / BEST)["score"] == pytest.approx(max(found["validation"]))


def test_mistakes_are_answered_in_one_line_and_no_traceback(tmp_path: Path) -> None:
    cases = [
        (["paper", "--set", "lr=1"], "unknown setting 'lr'; valid are"),
        (["nothing"], "allowed are paper, small, debug"),
        ([*settings(tmp_path), "--set", "data.sources=films:x"], "films:x is unknown; allowed are shards:FOLDER"),
        ([*settings(tmp_path), "--set", "data.sources=generated:2@0"], "has weight 0; a weight is a number above 0"),
        ([*settings(tmp_path), "--set", "data.sources="], "data.sources is empty"),
        ([*settings(tmp_path), "--set", "start_from=nowhere.pt"], "there is no checkpoint at nowhere.pt"),
        ([*settings(tmp_path), "--set", "data.validation=retrieval:a"], "retrieval:GALLERY:QUERIES"),
    ]
    for words, message in cases:
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 1, words
        assert result.stderr.startswith("error: ")
        assert message in result.stderr


def test_asked_to_stop_it_finishes_its_step_saves_and_can_be_resumed(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "training.pretrain", *settings(tmp_path, steps=100_000)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "step 3" not in process.stderr.readline():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    done = load_tensors(tmp_path / LAST)["step"]
    assert 3 <= done < 100_000
    again = CliRunner().invoke(app, [*words[3:], "--set", "minutes=0.0001", "--resume"])
    assert again.exit_code == 0, again.output
    assert f"{done} steps in" in again.stderr


def test_two_processes_have_the_losses_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    alike = {"augmented": False, "steps": 4, "mask": 0.5, "encoder.drop_path": 0.0}
    fixed = {name: value for name, value in alike.items() if "." not in name}
    drop = ["--set", "encoder.drop_path=0"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = [*torchrun, "-m", "training.pretrain", *settings(tmp_path / "two", batch_size=4, **fixed), *drop]
    finished = subprocess.run(two, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    one = CliRunner().invoke(app, [*settings(tmp_path / "one", batch_size=8, **fixed), *drop])
    assert one.exit_code == 0, one.output
    ours, theirs = curves(tmp_path / "two"), curves(tmp_path / "one")
    losses = [name for name in theirs if name.startswith("loss/")] + ["run/grad_norm"]
    assert len(losses) == 17
    for name in losses:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-5), name
    # Beyond the losses: the weights went the same way.
    weights = [load_tensors(tmp_path / name / LAST)["model"] for name in ("two", "one")]
    for name in ("fc.1.weight", "backbone.patch_embed.proj.weight", "cls_head.latent_proj.2.weight"):
        assert (weights[0][name] - weights[1][name]).abs().max() < 1e-4 < weights[1][name].abs().max()
