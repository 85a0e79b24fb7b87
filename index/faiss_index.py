"""FAISS, flat: every vector is compared, stored in half precision."""

import os
from pathlib import Path

import faiss
import numpy as np

from index.errors import VectorsError
from index.protocol import AllowedRows, Floats, Ints, checked_queries, num_found, unit_rows

BACKEND = "faiss-flat-fp16"


class FlatIndex:
    """What every flat index of FAISS, wherever it lies, knows of its vectors."""

    def __init__(self, flat: faiss.Index) -> None:
        self._flat = flat

    @property
    def num_vectors(self) -> int:
        """Vectors that are searched."""
        return int(self._flat.ntotal)

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return int(self._flat.d)


class FaissIndex(FlatIndex):
    """Cosine search as inner product over unit vectors in float16: half the memory, the same neighbours.

    Scores are off by the rounding of the storage, under 1e-3.
    """

    def search(self, queries: Floats, k: int, allowed: AllowedRows | None = None) -> tuple[Floats, Ints]:
        """See `VectorIndex.search`."""
        rows = checked_queries(queries, k, self.dim)
        num = num_found(k, self.num_vectors, allowed)
        if num == 0:
            return np.zeros((len(rows), 0), np.float32), np.zeros((len(rows), 0), np.int64)
        # OpenMP keeps this number per calling thread. Waking a team for one query costs more than the query.
        faiss.omp_set_num_threads(1 if len(rows) == 1 else os.cpu_count() or 1)
        scores, found = self._flat.search(rows, num, params=_only(allowed))
        return scores, found.astype(np.int64, copy=False)

    def write(self, path: Path) -> None:
        """Write the index to a file.

        Raises:
            OSError: the file can't be written whole.
        """
        try:
            faiss.write_index(self._flat, str(path))
        except RuntimeError as error:
            raise OSError(f"{path}: {error}") from error


def _only(allowed: AllowedRows | None) -> faiss.SearchParameters | None:
    """The wish to look at some vectors only, as FAISS takes it."""
    if allowed is None:
        return None
    bits = np.packbits(allowed.flags, bitorder="little")
    # The stubs know the C++ signatures, not the ones that FAISS gives its Python classes.
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))  # type: ignore[call-arg, arg-type]


def build(vectors: Floats) -> FaissIndex:
    """An index over [N, D] unit vectors.

    Raises:
        VectorsError: see `unit_rows`.
    """
    rows = unit_rows(vectors)
    flat = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    flat.add(rows)
    return FaissIndex(flat)


def read(path: Path, num_vectors: int, dim: int) -> FaissIndex:
    """An index from a file written by `FaissIndex.write`; the caller has checked that the bytes are those.

    Raises:
        VectorsError: it is no FAISS file, or one of another kind, size or dimension.
    """
    try:
        flat = faiss.read_index(str(path))
    except RuntimeError as error:
        raise VectorsError(f"{path} is not read by this version of FAISS: {error}") from error
    if not isinstance(flat, faiss.IndexScalarQuantizer) or flat.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise VectorsError(f"{path} holds a {type(flat).__name__}; this backend is {BACKEND}")
    if (flat.ntotal, flat.d) != (num_vectors, dim):
        raise VectorsError(f"{path} holds {flat.ntotal} vectors of {flat.d}; expected {num_vectors} of {dim}")
    return FaissIndex(flat)
