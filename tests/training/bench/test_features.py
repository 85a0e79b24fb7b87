"""The benchmark of features: what it says is what was done."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from model.network.checkpoint import untrained
from model.network.export import export
from model.runtime.onnx_encoder import OnnxEncoder
from tests.model.micro import micro
from tests.tiny_videos import write_clip
from training.bench import features as features_bench
from training.bench.features import GOAL, LAYOUTS, Layout, Speed, as_markdown, measure, windows_of, write_pictures
from training.data.listing.sentences import Sentence
from training.features import FeaturePlan, open_sentence, read_pictures


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "micro.onnx"
    export(untrained(micro(), "micro"), path)
    return path


@pytest.fixture
def sentence(tmp_path: Path) -> Sentence:
    write_clip(tmp_path / "clips" / "a.mp4", 1)
    return Sentence("a", tmp_path / "clips" / "a.mp4")


def test_both_rates_are_of_the_same_windows(encoder: Path, sentence: Sentence) -> None:
    plan = FeaturePlan(encoder, stride_frames=4)
    speed = measure("videos", [sentence], plan, repeats=1)
    windows = list(windows_of(sentence, OnnxEncoder(encoder, threads=1), 4))
    assert speed.num_windows == len(windows) == 4
    assert windows[0].shape == (16, 64, 64, 3)
    assert speed.share == speed.features_per_s / speed.encoder_per_s
    assert speed.cpu_share > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_are_laid_out_as_data_sets_keep_them(sentence: Sentence, tmp_path: Path, layout: Layout) -> None:
    [laid] = write_pictures([sentence.source], layout, tmp_path / "out")
    with open_sentence(sentence.source, 25.0, 64) as frames:
        plain = list(frames)
    found = list(read_pictures(laid.source, 25.0, 64))
    assert len(found) == len(plain)
    if layout.width == layout.height:
        assert np.abs(found[5].astype(int) - plain[5]).mean() < 12, "the same picture, but for a JPEG's losses"


def test_the_command_prints_figures_and_writes_the_table(encoder: Path, sentence: Sentence, tmp_path: Path) -> None:
    app = Typer()
    app.command()(features_bench.main)
    words = ["--encoder", str(encoder), "--videos", str(sentence.source.parent), "--repeats", "1"]
    done = CliRunner().invoke(app, [*words, "--json", "--write", str(tmp_path / "features.md")])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert len(figures) == 3
    text = (tmp_path / "features.md").read_text()
    assert f"| videos | {figures[0]['num_windows']} |" in text
    nothing = CliRunner().invoke(app, [*words[:2], "--videos", str(tmp_path / "none")])
    assert nothing.exit_code == 1


def test_the_table_has_shares() -> None:
    text = as_markdown([Speed("videos", 10, 100.0, 90.0, 0.8)], "abc", "python -m x", "a machine")
    assert "| videos | 10 | 100.0 | 90.0 | 0.90 | 0.80 |" in text
    assert f"a share of {GOAL}" in text
