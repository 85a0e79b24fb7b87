"""Every backend gets the same calls and must agree with numpy."""

import numpy as np
import pytest

from index import faiss_index
from index.errors import VectorsError
from index.exact import ExactIndex

BACKENDS = {"exact": ExactIndex, "faiss": faiss_index.build}
FP16_ROUNDING = 1e-3


@pytest.fixture(params=BACKENDS)
def build(request):
    return BACKENDS[request.param]


def unit(rng, num, dim=48):
    rows = rng.normal(size=(num, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_every_vector_finds_itself_first_with_a_score_of_one(build):
    vectors = unit(np.random.default_rng(0), 200)
    scores, rows = build(vectors).search(vectors, 1)
    assert rows[:, 0].tolist() == list(range(200))
    np.testing.assert_allclose(scores[:, 0], 1, atol=FP16_ROUNDING)


def test_scores_are_cosines_and_fall(build):
    rng = np.random.default_rng(1)
    vectors, queries = unit(rng, 300), unit(rng, 7)
    scores, rows = build(vectors).search(queries, 20)
    for query, query_scores, query_rows in zip(queries, scores, rows, strict=True):
        cosines = [float(np.dot(query.astype(np.float64), vectors[row].astype(np.float64))) for row in query_rows]
        np.testing.assert_allclose(query_scores, cosines, atol=FP16_ROUNDING)
        assert (np.diff(query_scores) <= 0).all()


def test_the_backends_find_the_same_neighbours():
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng, 1000), unit(rng, 50)
    expected_scores, expected_rows = ExactIndex(vectors).search(queries, 10)
    scores, rows = faiss_index.build(vectors).search(queries, 10)
    np.testing.assert_allclose(scores, expected_scores, atol=FP16_ROUNDING)
    swapped = rows != expected_rows  # only where the rounding of the storage can't tell two neighbours apart
    exact = np.take_along_axis(queries @ vectors.T, rows, axis=1)
    np.testing.assert_allclose(exact[swapped], expected_scores[swapped], atol=FP16_ROUNDING)
    assert swapped.mean() < 0.02


def test_a_single_query_gets_what_it_gets_in_a_batch(build):
    rng = np.random.default_rng(3)
    vectors, queries = unit(rng, 100), unit(rng, 4)
    searched = build(vectors)
    _, batch_rows = searched.search(queries, 5)
    for query, rows in zip(queries, batch_rows, strict=True):
        assert searched.search(query[None], 5)[1][0].tolist() == rows.tolist()


def test_more_neighbours_than_vectors_gives_all_of_them_once(build):
    vectors = unit(np.random.default_rng(4), 6)
    scores, rows = build(vectors).search(vectors[:2], 50)
    assert scores.shape == rows.shape == (2, 6)
    assert sorted(rows[0].tolist()) == list(range(6))


def test_size_and_dimension_are_told(build):
    searched = build(unit(np.random.default_rng(5), 9, dim=16))
    assert (searched.num_vectors, searched.dim) == (9, 16)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.zeros((0, 8), np.float32), "at least one row"),
        (np.ones(8, np.float32), "shape"),
        (np.ones((2, 8), np.float32), "length 2.8"),
        (np.full((2, 8), np.nan, np.float32), "length nan"),
        (np.zeros((2, 8), np.float32), "length 0.0"),
    ],
)
def test_vectors_that_are_no_unit_rows_are_refused(build, vectors, said):
    with pytest.raises(VectorsError, match=said):
        build(vectors)


@pytest.mark.parametrize(("shape", "k"), [((1, 7), 3), ((8,), 3), ((1, 8), 0)])
def test_queries_of_another_shape_are_refused(build, shape, k):
    vectors = unit(np.random.default_rng(6), 5, dim=8)
    with pytest.raises(VectorsError):
        build(vectors).search(np.ones(shape, np.float32), k)


def test_a_written_index_reads_back_the_same(tmp_path):
    rng = np.random.default_rng(7)
    vectors, queries = unit(rng, 64), unit(rng, 3)
    built = faiss_index.build(vectors)
    built.write(tmp_path / "index.faiss")
    loaded = faiss_index.read(tmp_path / "index.faiss", 64, 48)
    for got, expected in zip(loaded.search(queries, 5), built.search(queries, 5), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_half_the_memory_of_float32_is_stored(tmp_path):
    vectors = unit(np.random.default_rng(8), 2000, dim=64)
    faiss_index.build(vectors).write(tmp_path / "index.faiss")
    assert (tmp_path / "index.faiss").stat().st_size < 0.51 * vectors.nbytes


def test_an_index_of_another_size_or_kind_is_refused(tmp_path):
    import faiss

    vectors = unit(np.random.default_rng(9), 10, dim=8)
    faiss_index.build(vectors).write(tmp_path / "index.faiss")
    with pytest.raises(VectorsError, match="10 vectors of 8"):
        faiss_index.read(tmp_path / "index.faiss", 11, 8)
    faiss.write_index(faiss.IndexFlatL2(8), str(tmp_path / "other.faiss"))
    with pytest.raises(VectorsError, match="IndexFlatL2"):
        faiss_index.read(tmp_path / "other.faiss", 10, 8)
    (tmp_path / "text.faiss").write_text("this is not an index")
    with pytest.raises(VectorsError, match="not read"):
        faiss_index.read(tmp_path / "text.faiss", 10, 8)
