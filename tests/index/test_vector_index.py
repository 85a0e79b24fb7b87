"""Every backend gets the same calls and must agree with numpy."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from index import faiss_index
from index.catalogue import Filters
from index.entries import Entry
from index.errors import IndexDeviceError, VectorsError
from index.exact import ExactIndex
from index.gpu_index import GpuIndex, require_gpu
from index.protocol import AllowedRows
from tests.milvus_lite import is_installed

BACKENDS = {"exact": ExactIndex, "faiss": faiss_index.build, "gpu": GpuIndex}
FP16_ROUNDING = 1e-3
FP32_ROUNDING = 1e-5


def has_gpu():
    try:
        require_gpu()
    except IndexDeviceError:
        return False
    return True


GPU = ["gpu"] if has_gpu() else []


MILVUS = ["milvus"] if is_installed() else []


@pytest.fixture(params=["exact", "faiss", *GPU, *MILVUS])
def build(request):
    """Makes an index of vectors, and of entries, where a rule is to find them."""
    if request.param == "milvus":
        return request.getfixturevalue("build_on_milvus")
    return lambda vectors, entries=None: BACKENDS[request.param](vectors)


@pytest.fixture(params=["faiss", *GPU, *MILVUS])
def build_other(request):
    """Backends that are compared with numpy, and by how much their scores may be off."""
    if request.param == "milvus":
        return request.getfixturevalue("build_on_milvus"), FP32_ROUNDING
    return (lambda vectors, entries=None: BACKENDS[request.param](vectors)), FP16_ROUNDING


def marked(flags):
    """Some rows, and the entries in which a rule finds the same."""
    entries = [
        Entry(f"{row}", f"G{row}", f"{row}.mp4", tags=("x", "in") if flag else ()) for row, flag in enumerate(flags)
    ]
    return AllowedRows(flags, Filters(tag="in")), entries


def test_milvus_is_among_the_backends(build_on_milvus):
    """One visible skip for all that the contract tests leave out without Milvus Lite."""
    assert build_on_milvus(unit(np.random.default_rng(0), 5)).collection.startswith("signdex_1_")


@pytest.mark.gpu
def test_the_gpu_is_among_the_backends():
    """One visible skip for all that the contract tests leave out here."""
    if not GPU:
        pytest.skip("FAISS sees no GPU here: the contract tests run on the other backends")
    assert isinstance(BACKENDS["gpu"](unit(np.random.default_rng(0), 5)), GpuIndex)


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


def assert_agree(found, expected, queries, vectors, rounding):
    """The same neighbours; only where the rounding of the scores can't tell two apart may they change places."""
    (scores, rows), (expected_scores, expected_rows) = found, expected
    np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=rounding)
    swapped = rows != expected_rows
    exact = np.take_along_axis(queries @ vectors.T, rows, axis=1)
    np.testing.assert_allclose(exact[swapped], expected_scores[swapped], rtol=0, atol=rounding)
    assert rounding > FP32_ROUNDING or rows.shape[1] > 10 or not swapped.any()
    assert rows.shape[1] > 10 or swapped.mean() < 0.02


@pytest.mark.parametrize("num", [1, 7, 1000])
@pytest.mark.parametrize("num_queries", [1, 12])
@pytest.mark.parametrize("k", [1, 10, 3000])
def test_the_backends_agree_with_numpy(build_other, num, num_queries, k):
    build, rounding = build_other
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng, num), unit(rng, num_queries)
    expected = ExactIndex(vectors).search(queries, k)
    assert_agree(build(vectors).search(queries, k), expected, queries, vectors, rounding)


@pytest.mark.parametrize("share", [0.002, 0.1, 0.9])
@pytest.mark.parametrize("num_queries", [1, 20])
def test_the_backends_agree_with_numpy_where_only_some_rows_are_allowed(build_other, share, num_queries):
    build, rounding = build_other
    rng = np.random.default_rng(10)
    vectors, queries = unit(rng, 1003), unit(rng, num_queries)
    allowed, entries = marked(rng.random(1003) < share)
    found = build(vectors, entries).search(queries, 10, allowed)
    assert_agree(found, ExactIndex(vectors).search(queries, 10, allowed), queries, vectors, rounding)


def test_looking_at_some_rows_is_searching_those_alone(build):
    rng = np.random.default_rng(11)
    vectors, queries = unit(rng, 400), unit(rng, 5)
    allowed, entries = marked(rng.random(400) < 0.2)
    scores, rows = build(vectors, entries).search(queries, 1000, allowed)
    alone_scores, alone_rows = build(vectors[allowed.flags]).search(queries, 1000)
    assert scores.shape == (5, allowed.flags.sum())
    assert rows.tolist() == np.flatnonzero(allowed.flags)[alone_rows].tolist()
    np.testing.assert_allclose(scores, alone_scores, atol=1e-6)


def test_where_no_row_is_allowed_nothing_is_found(build):
    vectors = unit(np.random.default_rng(12), 20)
    scores, rows = build(vectors).search(vectors[:3], 5, AllowedRows(np.zeros(20, np.bool_)))
    assert scores.shape == rows.shape == (3, 0)


def test_flags_of_another_number_are_refused(build):
    vectors = unit(np.random.default_rng(13), 20)
    with pytest.raises(VectorsError, match="one flag for each of 20"):
        build(vectors).search(vectors[:1], 5, AllowedRows(np.ones(19, np.bool_)))


def test_threads_that_search_at_once_get_what_they_get_alone(build):
    rng = np.random.default_rng(14)
    vectors, queries = unit(rng, 2000), unit(rng, 40)
    searched = build(vectors)
    alone = [searched.search(query[None], 7)[1].tolist() for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: searched.search(query[None], 7)[1].tolist(), queries)) == alone


@pytest.mark.skipif(has_gpu(), reason="there is a GPU: nothing to refuse")
def test_an_index_on_a_gpu_is_refused_where_there_is_none_and_says_what_to_do():
    with pytest.raises(IndexDeviceError, match=r"SIGNDEX_INDEX_DEVICE=cpu"):
        GpuIndex(unit(np.random.default_rng(15), 5))


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
