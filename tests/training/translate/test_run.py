"""Learning, resuming, testing and reporting, on features without an encoder."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
import torch
from typer.testing import CliRunner

from tests.training.pretrain.runs import Recorder
from tests.training.translate.made_up import ALONE, DIM, run_config, sentence, write_features, write_split
from training.errors import ConfigError, EvaluationError, ResumeError
from training.fit.files import BEST, LAST, best_or_last
from training.fit.overrides import as_plain_data, from_plain_data, override
from training.translate.__main__ import app
from training.translate.command import evaluate_split, read_data
from training.translate.config import PRESETS, TranslateConfig
from training.translate.loop import train_translator
from training.translate.report import TranslatedSentence, compare, evaluate_sentences, lines
from training.translate.state import TranslateState, open_run, read_trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("features"))


def learn(config: TranslateConfig, *, resume: bool = False, **how: Any) -> tuple[TranslateState, Recorder]:
    corpus = read_data(config)
    run, callbacks = open_run(config, corpus, ALONE.device, resume=resume), Recorder()
    return train_translator(run, corpus, ALONE, callbacks=callbacks, **how), callbacks


def after(steps: int) -> Callable[[], bool]:
    """Asks to stop after so many steps."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= steps


def test_what_is_seen_is_learned_to_be_said(folder: Path, tmp_path: Path) -> None:
    config = run_config(tmp_path / "run", folder, steps=120, batch_size=16, validate_every=40)
    run, callbacks = learn(config)
    first, last = callbacks.reports[0].terms, callbacks.reports[-1].terms
    assert last["words"] < 0.6 * first["words"]
    assert last["glosses"] < 0.3 * first["glosses"]
    found = evaluate_split(read_trained(best_or_last(config.output)), read_data(config), "test", config.output)
    assert found.bleu[0] > 90
    assert found.right > 60
    assert run.best_score is not None
    assert (config.output / BEST).exists()
    rows = list(csv.DictReader((config.output / "said.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [f"test-{n}" for n in range(6)]
    assert sum(row["meant"] == row["said"] for row in rows) == round(found.right * 6 / 100)
    assert json.loads((config.output / "report.json").read_text())["bleu"] == list(found.bleu)


def test_a_resumed_run_is_the_uninterrupted_one_bit_by_bit(folder: Path, tmp_path: Path) -> None:
    whole, _ = learn(run_config(tmp_path / "whole", folder))
    config = run_config(tmp_path / "parts", folder)
    part, _ = learn(config, stop=after(2))
    assert part.step == 2
    resumed, _ = learn(config, resume=True)
    assert resumed.step == whole.step == 6
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    other, _ = learn(run_config(tmp_path / "other", folder, seed=1))
    assert not torch.equal(other.network.to_words.weight, whole.network.to_words.weight)


def test_a_run_is_not_written_over_nor_gone_on_with_otherwise(folder: Path, tmp_path: Path) -> None:
    config = run_config(tmp_path / "run", folder, steps=1)
    learn(config)
    before = (config.output / LAST).read_bytes()
    with pytest.raises(ResumeError, match="go on with it"):
        learn(config)
    with pytest.raises(ResumeError, match="seed was 0 and is 3"):
        learn(run_config(tmp_path / "run", folder, steps=1, seed=3), resume=True)
    elsewhere = write_features(tmp_path / "elsewhere")
    (elsewhere / "features.json").write_text(json.dumps({"encoder_id": "abc"}))
    with pytest.raises(ResumeError, match="features were of encoder None and are of abc"):
        learn(run_config(tmp_path / "run", elsewhere, steps=1), resume=True)
    write_split(elsewhere, "train", [sentence("one", (0, 1), 1)])
    with pytest.raises(ResumeError, match="other words or glosses"):
        learn(run_config(tmp_path / "run", elsewhere, steps=1), resume=True)
    assert (config.output / LAST).read_bytes() == before


def test_features_of_another_width_are_refused(folder: Path, tmp_path: Path) -> None:
    run, _ = learn(run_config(tmp_path / "run", folder, steps=1))
    wide = sentence("wide", (0, 1), 1) | {"sign": torch.zeros(4, DIM + 2)}
    write_split(tmp_path / "wide", "train", [wide])
    corpus = read_data(run_config(tmp_path / "x", tmp_path / "wide"))
    with pytest.raises(EvaluationError, match="features have 8 values a window, learned were 6"):
        evaluate_sentences(run.trained, corpus.splits["train"])
    with pytest.raises(EvaluationError, match="no sentence in the split test; there are train"):
        evaluate_split(run.trained, corpus, "test", tmp_path)
    with pytest.raises(EvaluationError, match="no sentence to be tested on"):
        evaluate_sentences(run.trained, ())


def test_bleu_is_what_sacrebleu_says_of_the_same_texts() -> None:
    meant = ["heute nacht wird es kalt .", "morgen regnet es im norden", "guten abend"]
    said = ["heute nacht ist es kalt .", "morgen regnet es im süden und norden", "guten abend"]
    found = compare(
        [
            TranslatedSentence(str(n), tuple(a.split()), tuple(b.split()))
            for n, (a, b) in enumerate(zip(meant, said, strict=True))
        ]
    )
    expected = sacrebleu.corpus_bleu(said, [meant], tokenize="none", force=True)
    assert found.bleu[3] == expected.score
    assert found.bleu[0] == pytest.approx(expected.precisions[0] * expected.bp)
    assert found.right == pytest.approx(100 / 3)
    assert "nrefs:1" in found.signature
    assert "tok:none" in found.signature


def test_what_is_published_is_said_beside_what_is_reached_on_the_real_data() -> None:
    found = compare([TranslatedSentence("a", ("x",), ("x",))])
    assert lines(found, {"reader": "phoenix14t"})[-1] == "published for SignRep on phoenix14t: BLEU-4 20.38"
    assert lines(found, {"reader": "csl-daily"})[-1] == "published for SignRep on csl-daily: BLEU-4 16.33"
    assert not any("published" in line for line in lines(found, {"reader": "videos"}))
    assert not any("published" in line for line in lines(found, {}))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("network.reach_windows=4", "network.reach_windows is 4; it must be odd"),
        ("network.heads=5", "must be a divisor of network.width"),
        ("data.drop_windows=1", "at least 0 and below 1"),
        ("beam=0", "beam is 0; it must be at least 1"),
        ("losses.words=0", "more than 0"),
        ("network.deep=2", r"unknown setting 'network.deep'; valid are preset, output, data.folder"),
    ],
)
def test_settings_that_can_not_be_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(TranslateConfig(), [setting])


def test_configs_are_plain_data_and_back() -> None:
    for make in PRESETS.values():
        assert from_plain_data(TranslateConfig, json.loads(json.dumps(as_plain_data(make())))) == make()


SMALL = ("steps=3", "batch_size=4", "network.width=16", "network.hidden=16", "network.heads=2", "device=cpu")


def test_the_commands_learn_test_and_test_again(folder: Path, tmp_path: Path) -> None:
    settings = [f"data.folder={folder}", f"output={tmp_path / 'run'}", *SMALL]
    words = ["small", *(word for one in settings for word in ("--set", one))]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "3 of 3 steps" in done.output
    assert "6 sentences: BLEU-1" in done.output
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1
    assert "go on with it (--resume)" in again.output
    told = CliRunner().invoke(app, [*words, "--resume", "--json"])
    figures = json.loads(told.stdout)
    assert figures["num_sentences"] == 6
    tested = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run" / BEST), "--json"])
    assert json.loads(tested.stdout) == figures
    nothing = CliRunner().invoke(app, ["small", "--set", f"output={tmp_path / 'none'}"])
    assert nothing.exit_code == 1
    assert "data.folder is empty" in nothing.output
