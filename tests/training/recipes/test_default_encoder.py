import math
from dataclasses import replace
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from tests.training.contrastive.made_up import CPU, positive_pair, run_config, write_shard
from training.contrastive.clips.pair_store import write_pair
from training.contrastive.config import ContrastiveConfig, Data
from training.contrastive.state import start_run
from training.fit.files import LAST
from training.recipes import default_encoder
from training.recipes.default_encoder import contrast, deeper, do, main, on_two_cores, split, steps, training


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two sources that have the sign `two` in common."""
    for source, signs in (("rth", ("one__a", "two__b")), ("aslearn", ("two__c", "three__d"))):
        for kind, name in (("clips", f"{source}"), ("poses", f"asl_{source}")):
            (tmp_path / kind / name).mkdir(parents=True)
        for sign in signs:
            (tmp_path / "clips" / source / f"{sign}.mp4").touch()
    return tmp_path / "clips", tmp_path / "poses"


def test_signs_that_both_sources_have_are_held_out(folders: tuple[Path, Path]) -> None:
    train, held_out = split(*folders)
    assert sorted(clip.video_id for clip in train) == ["aslearn/three__d", "rth/one__a"]
    assert sorted(clip.video_id for clip in held_out) == ["aslearn/two__c", "rth/two__b"]
    assert train[0].landmarks == folders[1] / "asl_rth" / "one__a.mp4.npz"


def test_the_steps_are_those_that_made_the_encoder(tmp_path: Path) -> None:
    names = [step.name for step in steps(tmp_path, tmp_path, [])]
    assert names == [
        "train", "held_out", "contrast", "calibrate contrast", "pairs", "hands", "behind", "parts", "deeper",
        "calibrate deeper", "export",
    ]  # fmt: skip
    hands, behind, parts = on_two_cores(tmp_path, 1.0)
    first, last = contrast(tmp_path, tmp_path, [], 1.0), deeper(tmp_path, tmp_path, [], 1.0)
    assert [one.minutes for one in (first, hands, behind, parts, last)] == [6.5, 28, 42, 72, 9]
    assert [one.num_parts for one in (first, hands, behind, parts, last)] == [1, 4, 1, 4, 6]
    assert [one.data.windows_per_clip for one in (first, hands, behind, parts, last)] == [40, 16, 12, 12, 40]
    assert [one.start_from for one in (first, hands, behind, parts, last)] == [
        "", str(tmp_path / "calibrated.pt"), *(str(tmp_path / name / LAST) for name in ("hands", "behind", "parts")),
    ]  # fmt: skip
    assert [one.freeze_backbone for one in (hands, behind, parts)] == [False, True, True]
    assert (last.encoder.stages, last.encoder.hand_stages) == ((1, 3), (2, 7))
    assert (first.render.max_pairs, first.render.max_s, first.seed) == (4500, 170.0, 1)
    assert (last.render.max_pairs, last.render.max_s, last.seed, last.render.vary_motion) == (4600, 105.0, 601, True)


def test_a_share_is_of_minutes_pairs_and_seconds_but_rendering_gets_long_enough_to_start(tmp_path: Path) -> None:
    half, little = (contrast(tmp_path, tmp_path, [], share) for share in (0.5, 0.001))
    assert (half.minutes, half.render.max_s, half.render.max_pairs) == (3.25, 85.0, 2250)
    assert (little.render.max_s, little.render.max_pairs) == (30.0, 5)
    assert "520 pairs" in next(step for step in steps(tmp_path, tmp_path, [], 0.5) if step.name == "pairs").about


def test_the_plan_is_printed_and_what_is_held_out_is_not_re_enacted(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Path]] = []
    monkeypatch.setattr(
        default_encoder, "steps", lambda *given: [seen.append(given[2]), *steps(tmp_path, *given[1:])][1:]
    )
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [*map(str, folders), str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "2 real clips to train on, 2 held out" in result.output
    assert "hands: train in 2 processes: output=" in result.output
    assert "hands_first=1.0" in result.output
    assert "encoder.hand_stages=(2, 7)" in result.output
    assert sorted(file.name for file in seen[0]) == ["one__a.mp4.npz", "three__d.mp4.npz"]
    assert not (tmp_path / "out").exists()


def small_run(tmp_path: Path) -> ContrastiveConfig:
    real = write_shard(tmp_path / "real", {"ann/A__1": 20, "ann/C__1": 90, "ben/A__12": 30, "ben/D__1": 80})
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    for number in range(6):
        write_pair(pairs, positive_pair(number, f"rendered {number}", 40 + 8 * number, count=2))
    return run_config(tmp_path / "run", data=Data(shards=str(real), pairs=str(pairs)), steps=2)


def test_a_step_in_several_processes_is_done_once(tmp_path: Path) -> None:
    config = small_run(tmp_path)
    step = training(config, num_processes=2)
    assert step.is_finished is not None
    assert not step.is_finished()
    assert do(step)
    assert step.is_finished()


def test_a_run_that_was_stopped_is_not_finished_and_goes_on(tmp_path: Path) -> None:
    config = small_run(tmp_path)
    state = start_run(config, CPU)
    state.step = 1
    state.save_last()
    step = training(config)
    assert step.is_finished is not None
    assert not step.is_finished()
    assert do(step)
    assert training(replace(config, minutes=math.inf)).is_finished()  # type: ignore[misc]


def test_a_step_that_fails_is_said_to(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert not do(training(run_config(tmp_path)))
    assert "error: data.shards is empty" in capfd.readouterr().err
