"""The self-check of vectors before they are published: each finds itself, and near duplicates are reported."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from index.entries import Entry
from index.errors import SelfCheckError
from index.protocol import Floats, Ints, VectorIndex

MAX_CHECKED = 20_000
"""The most rows that are looked up, evenly spread: every look-up goes over all vectors."""
NUM_NEAREST = 8
BATCH = 256
STORAGE_ROUNDING = 2e-3
"""Two cosines that differ by less may change places where vectors are stored in half precision."""
NEAR_DUPLICATE_COSINE = 0.995
"""Cosine from which two videos of different signs are reported: the same video twice, or a wrong gloss."""
MAX_REPORTED = 100
"""Pairs that are listed, the most alike first."""


@dataclass(frozen=True)
class NearDuplicate:
    """Two entries of different signs with almost the same vector."""

    ids: tuple[str, str]
    glosses: tuple[str, str]
    score: float
    """Cosine."""
    mirrored: bool
    """True where one is like the mirror image of the other."""


@dataclass(frozen=True)
class SelfCheck:
    """The result of a self-check."""

    num_checked: int
    """Vectors that were looked up and came first for themselves."""
    num_near_duplicates: int
    near_duplicates: tuple[NearDuplicate, ...]
    """The most alike of them."""


def self_check(
    vector_index: VectorIndex,
    vectors: Floats,
    entries: Sequence[Entry],
    on_batch: Callable[[int], None] = lambda _: None,
) -> SelfCheck:
    """Look vectors up in the index that is about to be published.

    Args:
        vector_index: built from the vectors.
        vectors: [N, D] float32, unit rows.
        entries: N of them; entry i belongs to vector i.
        on_batch: called after each batch with how many rows it looked up; may raise to stop.

    Raises:
        SelfCheckError: a vector is not the nearest to itself.
    """
    rows = checked_rows(len(vectors))
    pairs: dict[tuple[str, str], NearDuplicate] = {}
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        _, found = vector_index.search(vectors[batch], NUM_NEAREST)
        _require_self_first(batch, found, vectors, entries)
        for near in _near_duplicates(batch, found, vectors, entries):
            known = pairs.get(near.ids)
            if known is None or near.score > known.score:
                pairs[near.ids] = near
        on_batch(len(batch))
    by_score = sorted(pairs.values(), key=lambda near: (-near.score, near.ids))
    return SelfCheck(len(rows), len(by_score), tuple(by_score[:MAX_REPORTED]))


def checked_rows(num_vectors: int) -> Ints:
    """The rows that `self_check` looks up, ascending."""
    return np.unique(np.linspace(0, num_vectors - 1, min(num_vectors, MAX_CHECKED)).round().astype(np.int64))


def _require_self_first(batch: Ints, found: Ints, vectors: Floats, entries: Sequence[Entry]) -> None:
    first = found[:, 0]
    cosines = np.einsum("ij,ij->i", vectors[batch], vectors[first])
    lost = np.flatnonzero((first != batch) & (cosines < 1 - STORAGE_ROUNDING))
    if len(lost):
        entry, instead = entries[batch[lost[0]]], entries[first[lost[0]]]
        raise SelfCheckError(
            f"entry {entry.id!r} looked up by its own vector finds {instead.id!r} first ({len(lost)} such in a batch of"
            f" {len(batch)}): the index is not that of the vectors; nothing was published"
        )


def _near_duplicates(batch: Ints, found: Ints, vectors: Floats, entries: Sequence[Entry]) -> Iterator[NearDuplicate]:
    cosines = np.einsum("id,ijd->ij", vectors[batch], vectors[found])
    for i, j in np.argwhere(cosines >= NEAR_DUPLICATE_COSINE).tolist():
        one, other = sorted((entries[batch[i]], entries[found[i, j]]), key=lambda entry: entry.id)
        if (one.gloss, one.language) != (other.gloss, other.language):
            score = round(min(1.0, float(cosines[i, j])), 6)
            yield NearDuplicate((one.id, other.id), (one.gloss, other.gloss), score, one.mirrored != other.mirrored)
