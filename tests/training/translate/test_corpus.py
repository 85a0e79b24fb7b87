"""Made-up sentences: what is said, and drawn."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from training.data.listing.sentences import read_sentences
from training.errors import OutputError
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import Mannequins, sample_signer
from training.translate.corpus import CorpusPlan, plan_sentences, render_corpus, token, video_of, word

PLAN = CorpusPlan(num_signs=6, train_signers=2, dev_signers=1, test_signers=1, per_signer=2, seed=5, size_px=32)


def test_no_sentence_comes_twice_and_lengths_are_even() -> None:
    said = plan_sentences(CorpusPlan())
    assert len(said) == 15 * 24
    assert len({one.signs for one in said}) == len(said)
    assert len({one.name for one in said}) == len(said)
    assert [sum(len(one.signs) == length for one in said) for length in (2, 3, 4, 5)] == [90] * 4
    assert all(len(set(one.signs)) == len(one.signs) for one in said)
    assert said == plan_sentences(CorpusPlan())
    counts = np.bincount([sign for one in said for sign in one.signs])
    assert len(counts) == 20
    assert counts.min() > 40


def test_signers_are_in_one_split() -> None:
    plan = CorpusPlan()
    splits = [plan.split(signer) for signer in range(plan.num_signers)]
    assert splits == ["train"] * 10 + ["dev"] * 2 + ["test"] * 3


def test_a_text_has_the_last_sign_s_word_second() -> None:
    for one in plan_sentences(CorpusPlan())[:12]:
        first, *rest = [word(sign) for sign in one.signs]
        assert one.text.split() == [first, rest[-1], *rest[:-1]]


def test_every_sign_has_a_word_of_its_own() -> None:
    assert len({word(sign) for sign in range(4900)}) == 4900
    assert all(len(token(sign).split()) == 1 for sign in make_signs(40, 1))
    assert len({token(sign) for sign in make_signs(200, 1)}) == 200


@pytest.mark.parametrize("changes", [{"num_signs": 4}, {"num_signs": 6, "per_signer": 40}])
def test_more_sentences_than_there_can_be_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(OutputError, match="can't all differ"):
        plan_sentences(replace(PLAN, **changes))


@pytest.mark.gl
def test_sentences_are_drawn_once_and_listed_for_features(gl: None, tmp_path: Path) -> None:
    report = render_corpus(tmp_path, PLAN, None)
    assert (report.num_done, report.num_there, report.failed) == (8, 0, ())
    said = plan_sentences(PLAN)
    signs = make_signs(6, 5)
    listed = read_sentences(tmp_path / "sentences.csv", "videos")
    assert [one.gloss for one in listed] == [" ".join(token(signs[s]) for s in one.signs) for one in said]
    assert [one.text for one in listed] == [one.text for one in said]
    assert [one.split for one in listed] == ["train"] * 4 + ["dev"] * 2 + ["test"] * 2
    assert {one.signer for one in listed if one.split == "test"} == {"s03"}
    with av.open(str(listed[3].source)) as video:
        lengths = sum(1 for _ in video.decode(video=0))
        assert lengths > 60
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    video_of(tmp_path, said[1]).unlink()
    assert render_corpus(tmp_path, PLAN, None).num_done == 1
    kept = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir() if path.name != f"{said[1].name}.mp4"
    }
    assert kept.items() <= written.items()
    with pytest.raises(OutputError, match="seed 5 there, 6 requested"):
        render_corpus(tmp_path, replace(PLAN, seed=6), None)
    assert json.loads((tmp_path / "plan.json").read_text())["seed"] == 5
    assert sample_signer(Mannequins(), 0, 5, "right").style.leading == "right"
    assert len(list(csv.DictReader((tmp_path / "sentences.csv").read_text().splitlines()))) == 8
