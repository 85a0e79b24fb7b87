"""The seams between the dictionary and whatever finds its nearest vectors."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.catalogue import NO_FILTERS, Filters
from index.entries import Entry
from index.errors import VectorsError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class AllowedRows:
    """Which rows a search may find, in two forms: an index in this process takes flags, one on a server the rule."""

    flags: Flags
    """[N]"""
    filters: Filters = NO_FILTERS
    """Of the rule: only rows whose entries pass."""
    other_than: str | None = None
    """Of the rule: no row of the sign with this id."""


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

    def search(self, queries: Floats, k: int, allowed: AllowedRows | None = None) -> tuple[Floats, Ints]:
        """Find the nearest vectors of each query.

        Args:
            queries: [Q, D] float32, unit rows.
            k: how many per query, >= 1; at most all vectors are given.
            allowed: which vectors may be found; None for all.

        Returns:
            Scores [Q, n] float32, cosine, highest first, and the rows [Q, n] int64 they belong to; n is k, or the
            number of allowed vectors where those are fewer.

        Raises:
            VectorsError: the queries are not [Q, D] of this index, k < 1, or `allowed` has another size.
            IndexServerError: the index lies on a server, which can't be used just now.
        """
        ...


class VectorServer(Protocol):
    """A server that keeps the vectors of snapshots and searches them. What it has is derived: files are the truth."""

    def open_index(self, snapshot_id: str, encoder_id: str, vectors: Floats, entries: Sequence[Entry]) -> VectorIndex:
        """The index of a snapshot, whose vectors are brought to the server first where it does not have them.

        Args:
            snapshot_id: 12 hex digits.
            encoder_id: the encoder that the vectors come from.
            vectors: [N, D] float32, unit rows.
            entries: N of them; entry i belongs to vector i.

        Raises:
            IndexAwayError: the server does not answer.
            IndexRefusedError: what it has is not what was expected.
        """
        ...

    def set_current(self, snapshot_id: str, encoder_id: str) -> None:
        """Note on the server which snapshot is the current one, for whoever looks there; nothing here reads it.

        Raises:
            IndexServerError: see `open_index`.
        """
        ...

    def drop_all_but(self, snapshot_ids: Collection[str]) -> list[str]:
        """Remove the vectors of snapshots that are neither named nor in use anywhere; gives the names of what went.

        Raises:
            IndexServerError: see `open_index`.
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


def num_found(k: int, num_vectors: int, allowed: AllowedRows | None) -> int:
    """How many rows a search gives per query.

    Raises:
        VectorsError: the flags are not [num_vectors].
    """
    if allowed is None:
        return min(k, num_vectors)
    flags = allowed.flags
    if flags.shape != (num_vectors,):
        raise VectorsError(f"allowed is {list(flags.shape)}; it must have one flag for each of {num_vectors} vectors")
    return min(k, int(flags.sum()))


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
