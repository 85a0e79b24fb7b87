"""The seam between the dictionary and whatever finds its nearest vectors."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.errors import VectorsError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

UNIT_TOLERANCE = 1e-3


class VectorIndex(Protocol):
    """Cosine search over a fixed set of unit vectors. Safe to share between threads."""

    @property
    def num_vectors(self) -> int:
        """Vectors that are searched."""
        ...

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        ...

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """Find the nearest vectors of each query.

        Args:
            queries: [Q, D] float32, unit rows.
            k: how many per query, >= 1; at most all vectors are given.

        Returns:
            Scores [Q, min(k, N)] float32, cosine, highest first, and the rows [Q, min(k, N)] int64 they belong to.

        Raises:
            VectorsError: the queries are not [Q, D] of this index, or k < 1.
        """
        ...


def unit_rows(vectors: Floats) -> Floats:
    """The vectors as contiguous float32, once they are known to be what an index takes.

    Args:
        vectors: [N, D], N >= 1, every row finite and of length 1.

    Raises:
        VectorsError: they are not; with the first row that is at fault.
    """
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise VectorsError(f"vectors of shape {vectors.shape}; an index takes [N, D] with at least one row")
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1) < UNIT_TOLERANCE))  # NaN compares false, so it is caught as well
    if len(wrong):
        raise VectorsError(f"vector {wrong[0]} has length {lengths[wrong[0]]}; every vector must have length 1")
    return rows


def checked_queries(queries: Floats, k: int, dim: int) -> Floats:
    """The queries as contiguous float32 [Q, dim].

    Raises:
        VectorsError: the queries have another shape, or k < 1.
    """
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise VectorsError(f"queries of shape {queries.shape}; this index takes [Q, {dim}]")
    if k < 1:
        raise VectorsError(f"k is {k}; it must be at least 1")
    return np.ascontiguousarray(queries, dtype=np.float32)
