"""The command as a person uses it, alone and under torchrun."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from model.network.checkpoint import load_tensors, read_checkpoint
from tests.training.contrastive.made_up import ALONE, CPU, SIZE_PX, positive_pair, run_config, write_shard
from tests.training.synth.conftest import gl  # noqa: F401
from training.contrastive.__main__ import app
from training.contrastive.clips.pair_store import write_pair
from training.contrastive.command import load_clips
from training.contrastive.config import ContrastiveConfig, Data
from training.errors import ConfigError, DataError
from training.fit.console import CURVES
from training.fit.distributed import World
from training.fit.files import BEST, LAST

ENCODER = {
    "hand_px": 16, "hand_stem": "4", "hand_stages": "1,1", "image_size": 64, "patch_stride": "2,8,8", "stem": "4,6",
    "embed_dim": 8, "stages": "1,1",
}  # fmt: skip
"""Every one in turn makes a geometry that can be."""
RUN = {
    "num_real": 2, "num_rendered": 2, "num_windows": 2, "steps": 3, "log_every": 1, "validate_every": 2,
    "render.workers": 1, "render.max_pairs": 2, "render.max_s": 100, "render.windows_per_clip": 2, "device": "cpu",
}  # fmt: skip
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def words(real: Path, output: Path, **changes: object) -> list[str]:
    fields = {f"encoder.{key}": value for key, value in ENCODER.items()} | RUN
    fields |= {"data.shards": real, "data.validation": real, "output": output}
    fields |= {name.replace("__", "."): value for name, value in changes.items()}
    return ["compact", *(word for key, value in fields.items() for word in ("--set", f"{key}={value}"))]


def with_clips(real: Path, pairs: Path | None, size_px: int = SIZE_PX) -> ContrastiveConfig:
    config = run_config(data=Data(shards=str(real), pairs=str(pairs or "")))
    return replace(config, encoder=replace(config.encoder, image_size=size_px))


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write_shard(tmp_path / "real", {"ann/A__1": 20, "ann/B__1": 90, "ben/A__2": 30, "ben/B__2": 80})


def stored_pairs(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        write_pair(folder, positive_pair(number, f"rendered {number}", 40 + 8 * number, count=2))
    return folder


@pytest.mark.gl
def test_the_command_renders_trains_and_leaves_an_encoder(gl: None, real: Path, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "run"
    result = CliRunner().invoke(app, words(real, out))
    assert result.exit_code == 0, result.output
    assert "of 4 real clips, 2 pairs by synthetic signers" in result.output
    assert "4 real clips, 2 pairs by synthetic signers" in load_tensors(out / LAST)["provenance"]
    for file in (LAST, BEST):
        assert read_checkpoint(out / file).config.hand_px == 16
    again = CliRunner().invoke(app, words(real, out))
    assert again.exit_code == 1
    assert "holds a run already" in again.output
    resumed = CliRunner().invoke(app, [*words(real, out), "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert resumed.output.startswith("3 steps"), "nothing is rendered for a run that is over"


def test_a_run_leaves_a_curve_for_every_term_and_score(real: Path, tmp_path: Path) -> None:
    pairs = stored_pairs(tmp_path / "pairs", 6)
    result = CliRunner().invoke(app, words(real, tmp_path / "run", data__pairs=pairs, steps=4))
    assert result.exit_code == 0, result.output
    events = EventAccumulator(str(tmp_path / "run" / CURVES)).Reload()
    found = {name: len(events.Scalars(name)) for name in events.Tags()["scalars"]}
    for name in ("loss/total", "loss/contrast", "loss/nearest", "loss/prior/body_pose", "run/grad_norm"):
        assert found[name] == 4, name
    for name in ("validation", "validation/ann@1", "validation/bone_cosine"):
        assert found[name] == 2, name


def test_asked_to_stop_it_finishes_its_step_saves_and_can_be_resumed(real: Path, tmp_path: Path) -> None:
    pairs = stored_pairs(tmp_path / "pairs", 6)
    given = words(real, tmp_path / "run", data__pairs=pairs, steps=100_000, data__validation="")
    command = [sys.executable, "-m", "training.contrastive", *given]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "step 3" not in process.stderr.readline():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    done = load_tensors(tmp_path / "run" / LAST)["step"]
    assert 3 <= done < 100_000
    again = CliRunner().invoke(app, [*given, "--set", "minutes=0.0001", "--resume"])
    assert again.exit_code == 0, again.output
    assert f"{done} steps" in again.stderr


def test_stored_pairs_are_trained_on_by_two_processes_or_one(tmp_path: Path) -> None:
    pairs = stored_pairs(tmp_path / "pairs", 6)
    real = write_shard(tmp_path / "shared out", {"ann/A__1": 20, "ann/C__1": 90, "ben/A__12": 30, "ben/D__1": 80})
    two = words(real, tmp_path / "two", data__pairs=pairs, hands_first=0.4)
    done = subprocess.run(
        [*TORCHRUN, "-m", "training.contrastive", *two], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    content = load_tensors(tmp_path / "two" / LAST)
    assert "4 real clips, 6 pairs by synthetic signers" in content["provenance"]
    assert content["step"] == 3
    assert read_checkpoint(tmp_path / "two" / LAST).config.hand_px == 16
    alone = CliRunner().invoke(app, words(real, tmp_path / "one", data__pairs=pairs))
    assert alone.exit_code == 0, alone.output
    assert "of 4 real clips, 6 pairs by synthetic signers" in alone.output


def test_a_process_without_clips_of_its_own_is_refused(real: Path, tmp_path: Path) -> None:
    given = words(real, tmp_path / "two", data__pairs=stored_pairs(tmp_path / "pairs", 6))
    done = subprocess.run(
        [*TORCHRUN, "-m", "training.contrastive", *given], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode != 0
    assert "one of 2 processes has no real clips of its own" in done.stderr
    assert not (tmp_path / "two" / LAST).exists()


def test_several_processes_want_stored_pairs(real: Path) -> None:
    with pytest.raises(ConfigError, match=r"set data\.pairs=PAIRS"):
        load_clips(with_clips(real, None), SIZE_PX, World(CPU, 0, 2))


def test_a_process_without_a_stored_pair_keeps_no_room_for_one(real: Path, tmp_path: Path) -> None:
    ours = World(CPU, 1, 2)  # the first four pairs are the other one's
    pool = load_clips(with_clips(real, stored_pairs(tmp_path / "pairs", 4)), SIZE_PX, ours)
    assert pool.max_pairs == 0
    assert len(pool.rows.frames) == 0


def test_pairs_of_another_size_are_refused(real: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"64 pixels a side, the clips in .* 128"):
        load_clips(with_clips(real, stored_pairs(tmp_path / "pairs", 2), 128), 128, ALONE)


@pytest.mark.gl
def test_a_run_for_which_nothing_was_rendered_says_so(gl: None, real: Path, tmp_path: Path) -> None:  # noqa: F811
    result = CliRunner().invoke(app, words(real, tmp_path / "run", render__max_s=0.001))
    assert result.exit_code == 1
    assert "no pair was rendered" in result.output


def test_an_encoder_of_another_size_than_the_clips_is_refused(real: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, words(real, tmp_path / "run", encoder__image_size=128))
    assert result.exit_code == 1
    assert "128 pixels" in result.output
    assert not (tmp_path / "run" / LAST).exists()


def test_shards_have_to_be_named() -> None:
    result = CliRunner().invoke(app, ["compact"])
    assert result.exit_code == 1
    assert "data.shards is empty" in result.output
