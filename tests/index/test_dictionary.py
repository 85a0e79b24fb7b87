"""Search grouped by sign."""

import numpy as np
import pytest

from index import faiss_index
from index.dictionary import Dictionary, Entry, sign_id
from index.errors import EncoderMismatchError, VectorsError
from index.exact import ExactIndex

ENCODER = "0123456789ab"


def unit(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def dictionary(entries, vectors, build=ExactIndex, encoder_id=ENCODER):
    return Dictionary(
        snapshot_id="a" * 12,
        encoder_id=encoder_id,
        created_at="2026-01-01T00:00:00+00:00",
        entries=entries,
        vectors=vectors,
        vector_index=build(vectors),
    )


def crowded(rng, build):
    """One sign with 500 entries around the query, thirty signs with one entry each further away."""
    centre = unit(rng.normal(size=32))
    crowd = unit(centre + 0.05 * rng.normal(size=(500, 32)))
    others = unit(rng.normal(size=(30, 32)))
    entries = [Entry(f"c{i}", "CROWD", f"c{i}.mp4") for i in range(500)]
    entries += [Entry(f"o{i}", f"OTHER{i}", f"o{i}.mp4") for i in range(30)]
    return centre, dictionary(entries, np.concatenate([crowd, others]), build)


@pytest.mark.parametrize("build", [ExactIndex, faiss_index.build])
def test_k_signs_come_even_when_one_sign_has_most_of_the_entries(build):
    centre, found = crowded(np.random.default_rng(0), build)
    hits = found.search(centre, k=10, encoder_id=ENCODER)
    assert hits[0].sign.gloss == "CROWD"
    assert len({hit.sign for hit in hits}) == len(hits) == 10
    assert [hit.rank for hit in hits] == list(range(1, 11))


@pytest.mark.parametrize("build", [ExactIndex, faiss_index.build])
def test_the_ranking_is_that_of_the_best_entry_of_each_sign(build):
    rng = np.random.default_rng(1)
    vectors = unit(rng.normal(size=(400, 16)))
    entries = [Entry(f"e{i}", f"G{rng.integers(60)}", f"e{i}.mp4") for i in range(400)]
    query = unit(rng.normal(size=16))
    best: dict[str, float] = {}
    for entry, vector in zip(entries, vectors, strict=True):
        cosine = float(vector.astype(np.float64) @ query.astype(np.float64))
        best[entry.gloss] = max(cosine, best.get(entry.gloss, -2))
    expected = sorted(best.items(), key=lambda item: -item[1])[:15]
    hits = dictionary(entries, vectors, build).search(query, k=15, encoder_id=ENCODER)
    assert [hit.sign.gloss for hit in hits] == [gloss for gloss, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-6)


def test_both_backends_give_equal_hits():
    rng = np.random.default_rng(2)
    vectors = unit(rng.normal(size=(300, 24)))
    entries = [Entry(f"e{i}", f"G{i % 70}", f"e{i}.mp4") for i in range(300)]
    exact, fast = (dictionary(entries, vectors, build) for build in (ExactIndex, faiss_index.build))
    for query in unit(rng.normal(size=(20, 24))):
        assert exact.search(query, k=5, encoder_id=ENCODER) == fast.search(query, k=5, encoder_id=ENCODER)


def test_a_hit_lists_all_entries_of_its_sign_best_first():
    vectors = unit([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    entries = [Entry("far", "HOUSE", "far.mp4"), Entry("near", "HOUSE", "near.mp4"), Entry("x", "TREE", "x.mp4")]
    house, tree = dictionary(entries, vectors).search(unit([0.5, 1, 0]), k=2, encoder_id=ENCODER)
    assert [scored.entry.id for scored in house.entries] == ["near", "far"]
    assert house.score == house.entries[0].score > house.entries[1].score
    assert tree.sign.id == sign_id("TREE", None)


def test_an_entry_that_is_also_there_mirrored_is_listed_once_and_the_hit_says_which_matched():
    vectors = unit([[1, 0], [0, 1]])
    entries = [Entry("e", "HOUSE", "e.mp4"), Entry("e", "HOUSE", "e.mp4", mirrored=True)]
    found = dictionary(entries, vectors)
    [as_filmed] = found.search(unit([1, 0.1]), k=3, encoder_id=ENCODER)
    [mirrored] = found.search(unit([0.1, 1]), k=3, encoder_id=ENCODER)
    assert (as_filmed.mirrored, mirrored.mirrored) == (False, True)
    assert len(mirrored.entries) == 1
    assert (found.num_entries, found.num_signs) == (1, 1)


def test_the_same_gloss_in_two_languages_is_two_signs():
    vectors = unit([[1, 0], [0, 1]])
    entries = [Entry("a", "HOUSE", "a.mp4", language="ase"), Entry("b", "HOUSE", "b.mp4", language="gsg")]
    hits = dictionary(entries, vectors).search(unit([1, 0.2]), k=5, encoder_id=ENCODER)
    assert [hit.sign.language for hit in hits] == ["ase", "gsg"]
    assert hits[0].sign.id != hits[1].sign.id


def test_a_score_never_leaves_the_range_of_a_cosine():
    rng = np.random.default_rng(3)
    vectors = unit(rng.normal(size=(200, 7)))
    found = dictionary([Entry(f"e{i}", f"G{i}", "v.mp4") for i in range(200)], vectors)
    for vector in vectors:
        assert -1 <= found.search(vector, k=200, encoder_id=ENCODER)[0].score <= 1


def test_a_vector_of_another_encoder_is_refused():
    found = dictionary([Entry("a", "HOUSE", "a.mp4")], unit([[1, 0]]))
    with pytest.raises(EncoderMismatchError, match="ffffffffffff"):
        found.search(unit([1, 0]), k=1, encoder_id="f" * 12)


def test_entries_and_vectors_must_be_as_many():
    with pytest.raises(VectorsError, match="2 entries, 1 vectors"):
        dictionary([Entry("a", "A", "a.mp4"), Entry("b", "B", "b.mp4")], unit([[1, 0]]))


@pytest.mark.parametrize("vector", [[0, 0], [np.nan, 0], [2, 0], [1, 0, 0]])
def test_a_query_that_is_no_unit_vector_of_this_size_is_refused(vector):
    found = dictionary([Entry("a", "HOUSE", "a.mp4")], unit([[1, 0]]))
    with pytest.raises(VectorsError):
        found.search(np.array(vector, np.float32), k=1, encoder_id=ENCODER)
