"""What is found out about vectors before they are published."""

from dataclasses import replace

import numpy as np
import pytest

from index import checks, faiss_index
from index.checks import self_check
from index.entries import Entry
from index.errors import SelfCheckError
from index.exact import ExactIndex


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def some(num=300, dim=24, seed=0):
    vectors = unit(np.random.default_rng(seed).normal(size=(num, dim)))
    return vectors, [Entry(f"e{i:03}", f"G{i // 2}", f"{i}.mp4") for i in range(num)]


@pytest.mark.parametrize("build", [ExactIndex, faiss_index.build])
def test_vectors_that_find_themselves_pass(build):
    vectors, entries = some()
    told = []
    found = self_check(build(vectors), vectors, entries, told.append)
    assert (found.num_checked, sum(told), found.near_duplicates) == (300, 300, ())


@pytest.mark.parametrize("build", [ExactIndex, faiss_index.build])
def test_an_index_of_other_vectors_is_found_out_and_names_an_entry(build):
    vectors, entries = some()
    shuffled = vectors.copy()
    shuffled[[7, 8]] = shuffled[[8, 7]]
    with pytest.raises(SelfCheckError, match=r"entry 'e007' .* finds 'e008' first"):
        self_check(build(shuffled), vectors, entries)


def test_the_same_video_under_two_glosses_passes_and_is_reported_once():
    vectors, entries = some()
    vectors[10] = vectors[250]
    near = unit(vectors[250][None] + 0.01 * np.random.default_rng(1).normal(size=(1, 24)))
    vectors[100] = near[0]
    found = self_check(faiss_index.build(vectors), vectors, entries)
    assert found.num_near_duplicates == len(found.near_duplicates) == 3
    first = found.near_duplicates[0]
    assert (first.ids, first.glosses, first.score) == (("e010", "e250"), ("G5", "G125"), pytest.approx(1, abs=1e-6))


def test_videos_of_one_sign_may_be_alike():
    vectors, entries = some()
    vectors[10] = vectors[11]
    assert self_check(faiss_index.build(vectors), vectors, entries).near_duplicates == ()


def test_the_mirror_image_of_another_sign_is_reported_as_such():
    vectors, entries = some()
    entries[20] = replace(entries[20], mirrored=True)
    vectors[20] = vectors[200]
    assert self_check(faiss_index.build(vectors), vectors, entries).near_duplicates[0].mirrored


def test_of_very_many_vectors_an_even_share_is_looked_up(monkeypatch):
    monkeypatch.setattr(checks, "MAX_CHECKED", 50)
    rows = checks.checked_rows(1000)
    assert len(rows) == 50
    assert (rows[0], rows[-1]) == (0, 999)
    assert np.diff(rows).max() - np.diff(rows).min() <= 1
    vectors, entries = some()
    assert self_check(ExactIndex(vectors), vectors, entries).num_checked == 50


def test_only_the_most_alike_pairs_are_listed(monkeypatch):
    monkeypatch.setattr(checks, "MAX_REPORTED", 2)
    vectors, entries = some(num=60)
    for i in range(5):
        vectors[2 * i] = vectors[30 + 2 * i]
    found = self_check(ExactIndex(vectors), vectors, entries)
    assert (found.num_near_duplicates, len(found.near_duplicates)) == (5, 2)
