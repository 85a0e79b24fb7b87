"""Entries with their vectors, and the search that ranks signs. Immutable once made."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from index.catalogue import NO_FILTERS, Catalogue, Facets, Filters, SignPage, SignRecord
from index.entries import Entry, Sign
from index.errors import EncoderMismatchError, VectorsError
from index.protocol import AllowedRows, Floats, Ints, VectorIndex, unit_rows


@dataclass(frozen=True)
class ScoredEntry:
    """An entry of a hit."""

    entry: Entry
    """`mirrored` where the vector of its mirrored film was the nearer one."""
    score: float
    """Cosine with the query, of the better of its vectors."""


@dataclass(frozen=True)
class Hit:
    """A sign that was found."""

    rank: int
    """From 1."""
    sign: Sign
    score: float
    """Cosine of its best entry, in [-1, 1]."""
    mirrored: bool
    """True where the best vector was of the mirrored film."""
    entries: tuple[ScoredEntry, ...]
    """The entries of the sign that pass the filters, best first."""


class Dictionary:
    """All entries of one snapshot. Safe to share between threads; nothing changes it."""

    def __init__(
        self,
        *,
        snapshot_id: str,
        encoder_id: str,
        created_at: str,
        entries: Sequence[Entry],
        vectors: Floats,
        vector_index: VectorIndex,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Put entries and vectors together.

        Args:
            snapshot_id: 12 hex digits.
            encoder_id: the encoder that the vectors come from.
            created_at: ISO 8601.
            entries: N of them; entry i belongs to vector i.
            vectors: [N, D] float32, unit rows.
            vector_index: finds rows of `vectors`.
            notes: what an operator should know of how it was loaded.

        Raises:
            VectorsError: the three do not have the same number.
        """
        counts = (len(entries), len(vectors), vector_index.num_vectors)
        if len(set(counts)) != 1:
            raise VectorsError("{} entries, {} vectors, {} in the index; they must be as many".format(*counts))
        self.snapshot_id = snapshot_id
        self.encoder_id = encoder_id
        self.created_at = created_at
        self.notes = notes
        self.entries = tuple(entries)
        self.signs, numbers = _signs_shown(self.entries)
        self._vectors = vectors
        self._vector_index = vector_index
        self._sign_of_row = np.array(numbers, dtype=np.int64)
        self._rows_of_sign = _group(self._sign_of_row, len(self.signs))
        self._number_of_sign = {sign.id: number for number, sign in enumerate(self.signs)}
        self._rows_of_tag = _rows_of_tags(self.entries)
        self._catalogue = Catalogue(*_as_filmed(self.entries, self.signs, numbers))

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._vector_index.dim

    @property
    def num_signs(self) -> int:
        """Different signs."""
        return len(self.signs)

    @property
    def num_entries(self) -> int:
        """Different entries; one that is also there mirrored counts once."""
        return self._catalogue.num_entries

    def require_encoder(self, encoder_id: str) -> None:
        """Make sure that vectors of this encoder can be looked up here.

        Raises:
            EncoderMismatchError: the dictionary was made by another one.
        """
        if encoder_id != self.encoder_id:
            raise EncoderMismatchError(
                f"snapshot {self.snapshot_id} was made by encoder {self.encoder_id}, the encoder in use is "
                f"{encoder_id}; index the dictionary again, or use the encoder it was made by"
            )

    def search(self, vector: Floats, *, k: int, encoder_id: str, filters: Filters = NO_FILTERS) -> tuple[Hit, ...]:
        """The k signs whose best entry is nearest to a vector, or all signs where there are fewer.

        The index finds the signs; their entries are then scored in float32, so that every backend gives the same hits.

        Args:
            vector: [D] float32, unit length.
            k: how many signs, >= 1.
            encoder_id: the encoder that made the vector.
            filters: entries that do not pass are left out, as if the dictionary were without them.

        Raises:
            EncoderMismatchError: the vector comes from another encoder.
            VectorsError: the vector has another size or length, or k < 1.
        """
        self.require_encoder(encoder_id)
        return self._hits(unit_rows(vector[None]), k, self._allowed(filters))

    def neighbours(self, sign_id: str, k: int) -> tuple[Hit, ...]:
        """The look-alikes of a sign: the k other signs nearest to any of its entries as filmed.

        Raises:
            SignUnknownError: no sign has this id.
            VectorsError: k < 1.
        """
        own = self._rows_of_sign[self._number_of_sign[self.sign(sign_id).sign.id]]
        others = np.ones(len(self.entries), np.bool_)
        others[own] = False
        as_filmed = [row for row in own.tolist() if not self.entries[row].mirrored]
        return self._hits(unit_rows(self._vectors[as_filmed]), k, AllowedRows(others, other_than=sign_id))

    def sign(self, sign_id: str) -> SignRecord:
        """See `Catalogue.sign`."""
        return self._catalogue.sign(sign_id)

    def entry(self, entry_id: str) -> Entry:
        """See `Catalogue.entry`."""
        return self._catalogue.entry(entry_id)

    def find_signs(
        self, text: str = "", language: str | None = None, tag: str | None = None, limit: int = 50, offset: int = 0
    ) -> SignPage:
        """See `Catalogue.find_signs`."""
        return self._catalogue.find_signs(text, language, tag, limit, offset)

    def facets(self) -> Facets:
        """See `Catalogue.facets`."""
        return self._catalogue.facets()

    def _allowed(self, filters: Filters) -> AllowedRows | None:
        """Which rows pass; None where all do."""
        if filters == NO_FILTERS:
            return None
        flags = np.ones(len(self.entries), np.bool_)
        if filters.language is not None:
            speaks = np.array([sign.language == filters.language for sign in self.signs])
            flags &= speaks[self._sign_of_row]
        if filters.tag is not None:
            tagged = np.zeros(len(self.entries), np.bool_)
            tagged[self._rows_of_tag.get(filters.tag, [])] = True
            flags &= tagged
        return AllowedRows(flags, filters)

    def _hits(self, queries: Floats, k: int, allowed: AllowedRows | None) -> tuple[Hit, ...]:
        """The k signs nearest to any of the queries [Q, D]."""
        if allowed is not None and not allowed.flags.any():
            return ()
        hits = [self._hit(sign, queries, allowed) for sign in self._nearest_signs(queries, k, allowed)]
        hits.sort(key=lambda hit: -hit.score)
        return tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits[:k], start=1))

    def _nearest_signs(self, queries: Floats, k: int, allowed: AllowedRows | None) -> set[int]:
        """Numbers of signs, among them the k nearest; asks for more rows while a few signs take them all.

        What is not among the k signs that a query is nearest to can't be among the k that all queries are.
        """
        num_allowed = len(self.entries) if allowed is None else int(allowed.flags.sum())
        num_rows = k
        while True:
            _, rows = self._vector_index.search(queries, num_rows, allowed)
            signs = [list(dict.fromkeys(found))[:k] for found in self._sign_of_row[rows].tolist()]
            if num_rows >= num_allowed or all(len(nearest) >= k for nearest in signs):
                return {sign for nearest in signs for sign in nearest}
            num_rows *= 4

    def _hit(self, sign: int, queries: Floats, allowed: AllowedRows | None) -> Hit:
        """The hit for one sign, not ranked yet."""
        rows = self._rows_of_sign[sign]
        if allowed is not None:
            rows = rows[allowed.flags[rows]]
        scores = np.clip((self._vectors[rows] @ queries.T).max(axis=1), -1.0, 1.0)
        best_first = [(self.entries[rows[i]], float(scores[i])) for i in np.argsort(-scores, kind="stable")]
        best_of_each: dict[str, ScoredEntry] = {}
        for entry, score in best_first:
            best_of_each.setdefault(entry.id, ScoredEntry(entry, score))
        nearest, score = best_first[0]
        return Hit(0, self.signs[sign], score, nearest.mirrored, tuple(best_of_each.values()))


def _signs_shown(entries: Sequence[Entry]) -> tuple[tuple[Sign, ...], list[int]]:
    """All signs, and for each entry the number of its sign."""
    known: dict[tuple[str, str | None], int] = {}
    signs: list[Sign] = []
    numbers = []
    for entry in entries:
        number = known.setdefault((entry.gloss, entry.language), len(signs))
        if number == len(signs):
            signs.append(entry.sign)
        numbers.append(number)
    return tuple(signs), numbers


def _group(sign_of_row: Ints, num_signs: int) -> list[Ints]:
    """For each sign its rows."""
    by_sign = np.argsort(sign_of_row, kind="stable")
    firsts = np.searchsorted(sign_of_row[by_sign], np.arange(1, num_signs))
    return np.split(by_sign, firsts)


def _rows_of_tags(entries: Sequence[Entry]) -> Mapping[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, entry in enumerate(entries):
        for tag in entry.tags:
            rows[tag].append(row)
    return dict(rows)


def _as_filmed(
    entries: Sequence[Entry], signs: Sequence[Sign], numbers: Sequence[int]
) -> tuple[list[Entry], list[Sign]]:
    """Each entry once, with its sign."""
    rows = [row for row, entry in enumerate(entries) if not entry.mirrored]
    return [entries[row] for row in rows], [signs[numbers[row]] for row in rows]
