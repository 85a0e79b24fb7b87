"""Search in one collection of a Milvus server: every vector is compared, in single precision."""

from typing import TYPE_CHECKING

import numpy as np

from index.errors import IndexAwayError
from index.exact import ExactIndex
from index.milvus.connection import Connection
from index.milvus.rows import expression
from index.protocol import AllowedRows, Floats, Ints, checked_queries, num_found

if TYPE_CHECKING:
    from pymilvus import MilvusClient

MAX_K = 16_384
"""The most neighbours that Milvus finds."""
SEARCH_S = 10.0
"""The longest that one search may take on the server."""


class MilvusIndex:
    """Cosine search, as inner product, by a server.

    Searches for more neighbours than Milvus finds are done here, over the float32 vectors, which a snapshot maps from
    its file.
    """

    def __init__(self, connection: Connection, collection: str, vectors: Floats) -> None:
        """Take what was made ready by `MilvusServer`.

        Args:
            connection: to the server.
            collection: its concrete name, never an alias, which could change between two pages of one search.
            vectors: [N, D] float32, unit rows; row i is the collection's row i.
        """
        self.collection = collection
        self._connection = connection
        self._vectors = vectors

    @property
    def num_vectors(self) -> int:
        """Vectors that are searched."""
        return len(self._vectors)

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return int(self._vectors.shape[1])

    def search(self, queries: Floats, k: int, allowed: AllowedRows | None = None) -> tuple[Floats, Ints]:
        """See `VectorIndex.search`. Equal scores come in row order.

        Raises:
            VectorsError: see there.
            IndexAwayError: the server does not answer, or gives less than it has.
            IndexRefusedError: it can't be asked this.
        """
        rows = checked_queries(queries, k, self.dim)
        num = num_found(k, self.num_vectors, allowed)
        if num == 0:
            return np.zeros((len(rows), 0), np.float32), np.zeros((len(rows), 0), np.int64)
        if num > MAX_K:
            return ExactIndex(self._vectors).search(rows, k, allowed)
        self._connection.require_not_paused()
        scores, found = self._connection.call(lambda client: self._ask(client, rows, num, expression(allowed)))
        best_first = np.lexsort((found, -scores), axis=-1)
        return np.take_along_axis(scores, best_first, axis=-1), np.take_along_axis(found, best_first, axis=-1)

    def _ask(self, client: "MilvusClient", queries: Floats, num: int, rule: str) -> tuple[Floats, Ints]:
        """Scores and rows [Q, num], as the server gives them."""
        answers = client.search(
            self.collection,
            data=list(queries),
            limit=num,
            filter=rule,
            anns_field="vector",
            search_params={"metric_type": "IP"},
            # Nothing is written to a collection once it has its name, so there is nothing to wait for.
            consistency_level="Eventually",
            timeout=SEARCH_S,
        )
        few = min(len(hits) for hits in answers)
        if few < num:
            raise IndexAwayError(
                f"Milvus at {self._connection.address} gave {few} of {num} rows of {self.collection}: a part of it is"
                " not in memory just now; it is tried again by itself"
            )
        scores = np.array([hits.distances for hits in answers], np.float32)
        return scores, np.array([hits.ids for hits in answers], np.int64)
