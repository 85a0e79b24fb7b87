"""The whole experiment, small: drawn, encoded, learned from and compared."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.encoder import EncoderInfo
from model.network.checkpoint import untrained
from model.network.export import export
from model.runtime.onnx_encoder import OnnxEncoder
from tests.training.finetune.runs import glimpses
from tests.training.translate.made_up import run_config, write_features
from training.errors import DataError, EvaluationError
from training.fit.files import LAST
from training.recipes.translation import (
    ComparisonSettings,
    FeaturesResult,
    as_markdown,
    compare_encoders,
    features_of,
    make_untrained,
    read_encoder_file,
    run_seed,
)
from training.translate.corpus import CorpusPlan, plan_sentences, render_corpus, video_of
from training.translate.report import TranslatedSentence, compare

PLAN = CorpusPlan(num_signs=6, train_signers=2, dev_signers=1, test_signers=1, per_signer=2, seed=5, size_px=32)
SETTINGS = ComparisonSettings(
    PLAN,
    seeds=2,
    assignments=(
        "steps=2",
        "batch_size=2",
        "max_units=6",
        "network.width=16",
        "network.hidden=16",
        "network.heads=2",
        "device=cpu",
    ),
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "mine.onnx"
    export(replace(untrained(glimpses(), "glimpses", seed=3), trained=True, stride_frames=1), path)
    return path


def info(path: Path) -> EncoderInfo:
    return OnnxEncoder(path, threads=1).info


def test_the_untrained_encoder_is_the_same_but_for_its_weights(encoder: Path, tmp_path: Path) -> None:
    path = make_untrained(encoder, tmp_path)
    mine, blank = info(encoder), info(path)
    assert (blank.config, blank.fps, blank.stride_frames) == (mine.config, mine.fps, mine.stride_frames)
    assert (mine.trained, blank.trained) == (True, False)
    window = np.random.default_rng(0).integers(0, 256, (1, *mine.config.window_shape), dtype=np.uint8)
    outputs = [OnnxEncoder(file, threads=1).encode(window).embedding for file in (encoder, path)]
    assert not np.allclose(*outputs)
    written = path.stat().st_mtime_ns
    assert make_untrained(encoder, tmp_path) == path
    assert path.stat().st_mtime_ns == written


@pytest.mark.gl
def test_every_encoder_is_compared_on_the_same_sentences_and_nothing_is_done_twice(
    gl: None, encoder: Path, tmp_path: Path
) -> None:
    results = compare_encoders([encoder], SETTINGS, tmp_path)
    assert [one.name.partition(" (")[0] for one in results] == [
        "trained",
        "random weights",
        "no encoder: the exact skeleton",
    ]
    for one in results:
        assert len(one.by_seed) == 2
        assert [len(result.sentences) for result in one.by_seed] == [2, 2]
        assert (tmp_path / "features" / one.key / "test.pkl.gz").exists()
        assert (tmp_path / "runs" / f"{one.key}-1" / "report.json").exists()
    files = [path for path in (tmp_path / "features").rglob("*.npy")] + list((tmp_path / "corpus" / "videos").iterdir())
    before = {path: path.stat().st_mtime_ns for path in files}
    again = compare_encoders([encoder], SETTINGS, tmp_path)
    assert [[result.bleu for result in one.by_seed] for one in again] == [
        [result.bleu for result in one.by_seed] for one in results
    ]
    assert {path: path.stat().st_mtime_ns for path in files} == before
    text = as_markdown(results, PLAN, "python -m x")
    assert "4 sentences by 2 signers for training, 2 by 1 others" in text
    assert f"| trained ({results[0].key}) |" in text


@pytest.mark.gl
def test_a_video_that_can_not_be_read_stops_the_comparison_and_is_named(
    gl: None, encoder: Path, tmp_path: Path
) -> None:
    render_corpus(tmp_path / "corpus", PLAN, None)
    broken = video_of(tmp_path / "corpus", plan_sentences(PLAN)[2])
    broken.write_bytes(b"no video")
    with pytest.raises(DataError, match=f"7 done, 0 were there, 1 failed .*\n.*{broken.stem}"):
        features_of(read_encoder_file(encoder), tmp_path / "corpus", tmp_path / "features", workers=1)


def stop_once_there(path: Path) -> None:
    """What Ctrl-C does, as soon as a file is there."""
    while not path.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_somebody_stops_is_no_result_and_goes_on_later(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "features", num_train=8)
    config = run_config(tmp_path / "run", folder, steps=1_000_000, save_every=1)
    waiting = threading.Thread(target=stop_once_there, args=(config.output / LAST,))
    waiting.start()
    with pytest.raises(EvaluationError, match=r"was stopped at step .* of 1000000; run again to go on"):
        run_seed(config)
    waiting.join()
    found, minutes = run_seed(replace(config, minutes=1e-6))
    assert len(found.sentences) == 6
    assert minutes > 0


def test_the_table_has_means_and_spreads_over_seeds() -> None:
    right, wrong = ("a", "b", "c", "d"), ("x", "y", "z", "w")
    found = tuple(
        compare([TranslatedSentence("1", right, right), TranslatedSentence("2", right, said)])
        for said in (right, wrong)
    )
    result = FeaturesResult("trained (abc)", "abc", found, 1.25)
    text = as_markdown([result], CorpusPlan(), "python -m x")
    assert "| trained (abc) | 75.0 ± 35.4 | 75.0 ± 35.4 | 75.0 ± 35.4 | 1.2 |" in text
    assert "240 sentences by 10 signers for training, 48 by 2 others" in text
    assert "72 by 3 further ones" in text
