"""The reference: a matrix product and a sort. Every other index must agree with it."""

import numpy as np

from index.protocol import AllowedRows, Floats, Ints, checked_queries, num_found, unit_rows


class ExactIndex:
    """Cosine search in float32 numpy."""

    def __init__(self, vectors: Floats) -> None:
        """Take [N, D] unit vectors.

        Raises:
            VectorsError: see `unit_rows`.
        """
        self._vectors = unit_rows(vectors)

    @property
    def num_vectors(self) -> int:
        """Vectors that are searched."""
        return len(self._vectors)

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return int(self._vectors.shape[1])

    def search(self, queries: Floats, k: int, allowed: AllowedRows | None = None) -> tuple[Floats, Ints]:
        """See `VectorIndex.search`. Equal scores come in row order."""
        rows = checked_queries(queries, k, self.dim)
        num = num_found(k, self.num_vectors, allowed)
        scores = rows @ self._vectors.T
        if allowed is not None:
            scores[:, ~allowed.flags] = -np.inf
        found = np.argsort(-scores, axis=1, kind="stable")[:, :num].astype(np.int64)
        return np.take_along_axis(scores, found, axis=1), found
