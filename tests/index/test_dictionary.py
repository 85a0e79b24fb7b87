"""Search grouped by sign."""

from dataclasses import replace

import numpy as np
import pytest

from index import faiss_index
from index.catalogue import NO_FILTERS, Facet, Filters
from index.dictionary import Dictionary
from index.entries import Entry, sign_id
from index.errors import EncoderMismatchError, EntryUnknownError, SignUnknownError, VectorsError
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


def many(build, seed=4, num=600):
    """Entries as filmed and mirrored, in three languages with overlapping tags."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(num, 24)))
    entries = []
    for i in range(num // 2):
        tags = tuple(tag for tag in ("animal", "food", "verb") if rng.random() < 0.3)
        entry = Entry(
            f"e{i}", f"G{rng.integers(80)}", f"e{i}.mp4", f"s{i % 4}", [None, "ase", "gsg"][rng.integers(3)], tags
        )
        entries += [entry, replace(entry, mirrored=True)]
    return vectors, entries, dictionary(entries, vectors, build), unit(rng.normal(size=24))


def told(hits):
    return [(hit.rank, hit.sign, round(hit.score, 6), hit.mirrored, hit.entries) for hit in hits]


@pytest.mark.parametrize("build", [ExactIndex, faiss_index.build])
@pytest.mark.parametrize(
    "filters", [Filters("ase"), Filters(tag="food"), Filters("gsg", "animal"), Filters("jsl"), Filters(tag="plant")]
)
def test_a_filtered_search_is_a_search_in_a_dictionary_of_those_entries(build, filters):
    vectors, entries, found, query = many(build)
    kept = [
        row
        for row, entry in enumerate(entries)
        if filters.language in (None, entry.language) and (filters.tag is None or filters.tag in entry.tags)
    ]
    hits = found.search(query, k=12, encoder_id=ENCODER, filters=filters)
    if not kept:
        assert hits == ()
        return
    alone = dictionary([entries[row] for row in kept], vectors[kept], ExactIndex)
    assert told(hits) == told(alone.search(query, k=12, encoder_id=ENCODER))
    assert hits


def test_the_backends_give_the_same_hits():
    _, _, exact, query = many(ExactIndex)
    _, _, faiss, _ = many(faiss_index.build)
    for filters in (NO_FILTERS, Filters("ase"), Filters(tag="verb")):
        expected = exact.search(query, k=20, encoder_id=ENCODER, filters=filters)
        assert told(faiss.search(query, k=20, encoder_id=ENCODER, filters=filters)) == told(expected)
    for sign in exact.signs[:20]:
        assert told(faiss.neighbours(sign.id, 10)) == told(exact.neighbours(sign.id, 10))


@pytest.mark.parametrize("build", [ExactIndex, faiss_index.build])
def test_look_alikes_are_the_other_signs_nearest_to_any_entry_as_filmed(build):
    vectors, entries, found, _ = many(build)
    sign = found.signs[3]
    own = [row for row, entry in enumerate(entries) if entry.sign == sign and not entry.mirrored]
    best: dict[object, tuple[float, bool]] = {}
    for row, entry in enumerate(entries):
        if entry.sign != sign:
            score = float((vectors[own] @ vectors[row]).max())
            best[entry.sign] = max(best.get(entry.sign, (-2.0, False)), (score, entry.mirrored))
    expected = sorted(best.items(), key=lambda item: -item[1][0])[:9]
    hits = found.neighbours(sign.id, 9)
    assert [hit.sign for hit in hits] == [other for other, _ in expected]
    assert [(hit.score, hit.mirrored) for hit in hits] == [
        (pytest.approx(score, abs=1e-5), mirrored) for _, (score, mirrored) in expected
    ]
    assert [hit.rank for hit in hits] == list(range(1, 10))


def test_the_only_sign_has_no_look_alikes():
    found = dictionary([Entry("a", "HOUSE", "a.mp4")], unit([[1, 0]]))
    assert found.neighbours(found.signs[0].id, 5) == ()


def test_signs_and_entries_are_found_by_id():
    _, entries, found, _ = many(ExactIndex)
    sign = found.signs[5]
    record = found.sign(sign.id)
    assert record.sign == sign
    assert record.entries == tuple(entry for entry in entries if entry.sign == sign and not entry.mirrored)
    assert found.entry("e7") == entries[14]
    with pytest.raises(SignUnknownError, match="nothing"):
        found.sign("nothing")
    with pytest.raises(SignUnknownError):
        found.neighbours("nothing", 5)
    with pytest.raises(EntryUnknownError, match="e99999"):
        found.entry("e99999")


def texts(*glosses, **more):
    entries = [Entry(f"{i}", gloss, f"{i}.mp4", **more) for i, gloss in enumerate(glosses)]
    return dictionary(entries, unit(np.random.default_rng(0).normal(size=(len(entries), 4))))


def found_glosses(found, text="", **more):
    return [record.sign.gloss for record in found.find_signs(text, **more).signs]


@pytest.mark.parametrize("text", ["tür", "TÜR", "tur", "Tu\u0308r", "TUR "])
def test_text_is_found_whatever_its_case_and_accents(text):
    assert found_glosses(texts("HAUS", "Tür", "HAUSTÜR"), text) == ["Tür", "HAUSTÜR"]


def test_the_very_gloss_comes_first_then_what_begins_with_it_then_the_alphabet():
    found = texts("sheepdog", "DOGHOUSE", "dog", "hot dog", "Dogma")
    assert found_glosses(found, "dog") == ["dog", "DOGHOUSE", "Dogma", "hot dog", "sheepdog"]
    assert found_glosses(found, "straße") == []
    assert found_glosses(texts("STRASSE", "手話"), "straße") == ["STRASSE"]
    assert found_glosses(texts("STRASSE", "手話"), "手") == ["手話"]


def test_signs_come_in_pages_with_their_total():
    found = texts(*(f"G{i:02}" for i in range(25)))
    page = found.find_signs("g", limit=10, offset=20)
    assert page.total == 25
    assert [record.sign.gloss for record in page.signs] == [f"G{i}" for i in range(20, 25)]
    assert found.find_signs(limit=5, offset=100).signs == ()


def test_signs_are_filtered_by_language_and_tag():
    entries = [
        Entry("1", "HOUSE", "1.mp4", language="ase", tags=("home",)),
        Entry("2", "HOUSE", "2.mp4", language="gsg", tags=("home", "big")),
        Entry("3", "TREE", "3.mp4", language="gsg"),
        Entry("4", "TREE", "4.mp4", language="gsg", tags=("big",)),
    ]
    found = dictionary(entries, unit(np.eye(4)))
    assert [record.entries for record in found.find_signs(language="gsg", tag="big").signs] == [
        (entries[1],),
        (entries[2], entries[3]),
    ]
    assert found.find_signs(language="ase").total == 1
    assert found.find_signs(tag="plant").total == 0


def test_facets_count_signs_and_entries_once_even_where_they_are_mirrored():
    entry = Entry("1", "HOUSE", "1.mp4", "anna", "ase", ("home", "home"))
    other = Entry("2", "HOUSE", "2.mp4", "ben", "ase", ("home",))
    third = Entry("3", "TREE", "3.mp4", "ben", "gsg")
    rows = [entry, replace(entry, mirrored=True), other, replace(other, mirrored=True), third]
    facets = dictionary(rows, unit(np.random.default_rng(0).normal(size=(5, 4)))).facets()
    assert facets.languages == (Facet("ase", 1, 2), Facet("gsg", 1, 1))
    assert facets.tags == (Facet("home", 1, 2),)
    assert facets.signers == (Facet("ben", 2, 2), Facet("anna", 1, 1))
