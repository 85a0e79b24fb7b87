"""The reference: a matrix product and a sort. Every other index must agree with it."""

import numpy as np

from index.protocol import Floats, Ints, checked_queries, unit_rows


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

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `VectorIndex.search`. Equal scores come in row order."""
        scores = checked_queries(queries, k, self.dim) @ self._vectors.T
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int64)
        return np.take_along_axis(scores, rows, axis=1), rows
