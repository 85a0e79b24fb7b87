"""Features as they are read: of our own and of other code, damaged ones too."""

import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.translate.made_up import DIM, sentence, write_features, write_split
from training.errors import DataError, ManifestError
from training.translate.config import TranslateConfig
from training.translate.data import END, PAD, START, UNKNOWN, Sample, batches, collate, read_corpus, vocabulary_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_features(tmp_path / "features", num_train=9)


def changed(**fields: Any) -> dict[str, Any]:
    return sentence("odd", (0, 1), 5) | fields


def test_splits_are_read_with_their_features(folder: Path) -> None:
    corpus = read_corpus(folder, "words")
    assert {split: len(samples) for split, samples in corpus.splits.items()} == {"train": 9, "dev": 4, "test": 6}
    assert (corpus.dim, corpus.warnings, corpus.features_info) == (DIM, (), {})
    first = corpus.splits["train"][0]
    assert [word.upper() for word in first.text] == [*first.glosses[-1:], *first.glosses[:-1]]


def test_a_chinese_text_can_be_read_by_characters(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [changed(text="我 去。")])
    assert read_corpus(tmp_path, "characters").splits["train"][0].text == ("我", "去", "。")
    assert read_corpus(tmp_path, "words").splits["train"][0].text == ("我", "去。")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_named(folder: Path, kept: float) -> None:
    path = folder / "dev.pkl.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=r"dev\.pkl\.gz is damaged .*run training\.features again"):
        read_corpus(folder, "words")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [changed(), Evil()])
    with pytest.raises(DataError, match=r"asks for .*system; plain data and tensors were expected"):
        read_corpus(tmp_path, "words")


def test_a_tensor_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Storage:
        def __reduce__(self) -> tuple[object, tuple[bytes]]:
            return torch.storage._load_from_bytes, (pickle.dumps(Evil(), protocol=2),)

    write_split(tmp_path, "train", [Storage()])
    with pytest.raises(DataError, match="is damaged"):
        read_corpus(tmp_path, "words")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": 1}, "holds a dict"),
        (["me"], "sentence 1 is a str"),
        ([{"name": "a", "text": "b"}], "sentence 1 has no signer, gloss, sign"),
        ([changed(gloss=None)], "gloss of odd is no text; leave it empty"),
        ([changed(sign=torch.zeros(4))], r"features of odd are not float \[T, D\]"),
        ([changed(sign=torch.zeros(4, 2, dtype=torch.int64))], "are not float"),
        ([changed(sign=torch.full((4, 2), torch.nan))], "no numbers"),
        ([changed(), changed(name="other", sign=torch.zeros(4, DIM + 1))], "several widths: 6 of odd, 7 of other"),
        ([changed(text="")], "no sentence to train on"),
    ],
)
def test_files_of_another_form_are_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    with gzip.open(tmp_path / "train.pkl.gz", "wb") as file:
        pickle.dump(content, file)
    with pytest.raises(DataError, match=message):
        read_corpus(tmp_path, "words")


def test_a_folder_without_features_says_who_makes_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sentence to train on .*python -m training\.features"):
        read_corpus(tmp_path, "words")


def test_a_sentence_in_two_splits_is_refused(folder: Path) -> None:
    write_split(folder, "test", [sentence("train-3", (0, 1), 1)])
    with pytest.raises(ManifestError, match="train-3 is in train and in test"):
        read_corpus(folder, "words")


def test_sentences_that_lack_something_are_named_and_counted(folder: Path) -> None:
    odd = [
        changed(name="a", gloss=""),
        changed(name="b", text=" "),
        changed(name="c", sign=torch.zeros(0, DIM)),
        changed(name="d"),
    ]
    write_split(folder, "train", odd)
    corpus = read_corpus(folder, "words")
    assert [sample.name for sample in corpus.splits["train"]] == ["a", "d"]
    assert list(corpus.warnings) == [
        "train.pkl.gz: 1 sentences have no text and are left out: b",
        "train.pkl.gz: 1 sentences have no window and are left out: c",
        "train.pkl.gz: 1 sentences have no gloss; only their text counts: a",
    ]


def sample(name: str, text: str, num_windows: int, gloss: str = "") -> Sample:
    return Sample(name, tuple(gloss.split()), tuple(text.split()), torch.ones(num_windows, DIM))


def test_a_batch_is_padded_and_knows_its_lengths() -> None:
    samples = [sample("a", "me eat", 3, "EAT ME"), sample("b", "now", 5)]
    vocabulary = vocabulary_of(samples)
    batch = collate(samples, vocabulary)
    assert batch.sign.shape == (2, 5, DIM)
    assert not batch.sign[0, 3:].any()
    assert batch.num_windows.tolist() == [3, 5]
    assert vocabulary.words == ("eat", "me", "now")
    assert batch.text.tolist() == [[START, 5, 4, END], [START, 6, END, PAD]]
    assert (batch.glosses.tolist(), batch.num_glosses.tolist()) == ([1, 2], [2, 0])
    assert vocabulary.encode(["eat", "you"]) == [START, 4, UNKNOWN, END]
    assert vocabulary.decode([START, 5, UNKNOWN, END]) == ("me",)


def test_every_sentence_comes_once_before_any_comes_again_and_a_run_can_go_on(tmp_path: Path) -> None:
    samples = [sample(f"{n}", f"w{n}", 2) for n in range(6)]
    config = TranslateConfig(batch_size=4)
    vocabulary = vocabulary_of(samples)
    endless = batches(samples, vocabulary, config)
    seen = [batch.text[:, 1].tolist() for _, batch in zip(range(6), endless, strict=False)]
    flat = [unit for batch in seen for unit in batch]
    for first in range(0, 24, 6):
        assert len(set(flat[first : first + 6])) == 6
    again = batches(samples, vocabulary, config, first_batch=2)
    assert [next(again).text[:, 1].tolist() for _ in range(4)] == seen[2:]


def test_windows_are_dropped_but_never_all() -> None:
    torch.manual_seed(0)
    long, short = sample("a", "me", 400), sample("b", "me", 1)
    lengths = [collate([long, short], vocabulary_of([long]), drop_windows=0.5).num_windows.tolist() for _ in range(20)]
    assert {length for _, length in lengths} == {1}
    assert min(length for length, _ in lengths) > 200 - 40
    assert len({length for length, _ in lengths}) > 10
