from dataclasses import replace
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from model.clip_stream import STILL
from model.config import base, compact
from model.embed import Embedder
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip
from training.errors import EvaluationError
from training.evaluate import cost
from training.evaluate.cost import CostSetting, as_markdown, clips_of_shared_glosses, measure, settings_to_measure
from training.evaluate.protocol import labelled_clips


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders that share two of their three signs, filmed alike."""
    for name, last in (("one", "river"), ("two", "tree")):
        (tmp_path / name).mkdir()
        for seed, gloss in enumerate(("house", "mountain", last)):
            write_clip(tmp_path / name / f"{gloss}__{name}.mp4", seed)
    return tmp_path / "one", tmp_path / "two"


def test_only_shared_signs_are_looked_up_both_ways(folders: tuple[Path, Path]) -> None:
    known = clips_of_shared_glosses(*(labelled_clips(folder, None, stems=True) for folder in folders))
    assert [[clip.gloss for clip in clips] for clips in known] == [["house", "mountain"]] * 2
    found = measure(CostSetting(stride_frames=4), FakeEncoder(), known)
    assert found.metrics.recall[1] == 100
    assert (found.stride_frames, found.still, found.kept_share) == (4, STILL, 1)
    alone = Embedder(FakeEncoder(), stride_frames=4).embed(known[0][0].video)
    assert found.num_windows == alone.encoded.sum() > 0
    assert found.seconds > 0


def test_fewer_windows_are_encoded_with_a_longer_stride(folders: tuple[Path, Path]) -> None:
    known = clips_of_shared_glosses(*(labelled_clips(folder, None, stems=True) for folder in folders))
    costs = [measure(CostSetting(stride_frames=stride), FakeEncoder(), known) for stride in (1, 8)]
    assert costs[0].num_windows > 2 * costs[1].num_windows
    rows = as_markdown(costs).splitlines()
    assert rows[2].startswith("| 1 |")
    assert "| 1.00 |" in rows[2]


def test_folders_without_a_shared_sign_are_refused(folders: tuple[Path, Path]) -> None:
    one, two = (labelled_clips(folder, None, stems=False) for folder in folders)
    with pytest.raises(EvaluationError, match="share no gloss"):
        clips_of_shared_glosses(one, two)


def test_the_command_writes_its_table(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "open_file", lambda *_: FakeEncoder())
    app = Typer()
    app.command()(cost.main)
    out = tmp_path / "cost.md"
    words = ["--gallery", str(folders[0]), "--queries", str(folders[1]), "--encoder", "fake.onnx", "--stems"]
    found = CliRunner().invoke(app, [*words, "--write", str(out)])
    assert found.exit_code == 0, found.output
    assert f"{FakeEncoder().info.encoder_id}, 4 clips of one and two" in out.read_text()
    assert out.read_text().count("\n| ") == len(settings_to_measure(FakeEncoder().info)) + 1


def test_windows_are_not_farther_apart_than_they_are_long() -> None:
    info = FakeEncoder().info
    short = replace(info, config=compact(), stride_frames=2)
    assert {setting.stride_frames for setting in settings_to_measure(short)} == {None, 1}
    assert {
        setting.stride_frames for setting in settings_to_measure(replace(info, config=base(), stride_frames=2))
    } == {
        None,
        1,
        4,
        8,
    }
