"""Entries with their vectors, and the search that ranks signs. Immutable once made."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from index.errors import EncoderMismatchError, VectorsError
from index.protocol import Floats, Ints, VectorIndex, unit_rows


@dataclass(frozen=True)
class Entry:
    """One dictionary record, for one vector."""

    id: str
    gloss: str
    video: str
    """Path inside the dictionary folder, with forward slashes."""
    signer: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    mirrored: bool = False
    """True where the vector is of the mirrored film: the same signing by the other hand."""

    @property
    def sign(self) -> "Sign":
        """The sign that this entry shows."""
        return Sign(sign_id(self.gloss, self.language), self.gloss, self.language)


@dataclass(frozen=True)
class Sign:
    """What a person looks up: all entries of one gloss in one language."""

    id: str
    """12 hex digits that follow from gloss and language alone, so they outlive a reindex."""
    gloss: str
    language: str | None


@dataclass(frozen=True)
class ScoredEntry:
    """An entry of a hit."""

    entry: Entry
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
    """All entries of the sign, best first."""


def sign_id(gloss: str, language: str | None) -> str:
    """The id of the sign with this gloss in this language, 12 hex digits."""
    return hashlib.sha256(f"{language or ''}\0{gloss}".encode()).hexdigest()[:12]


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
        self.signs = tuple(dict.fromkeys(entry.sign for entry in self.entries))
        self._vectors = vectors
        self._vector_index = vector_index
        self._sign_of_row, self._rows_of_sign = _group(self.entries, self.signs)

    @property
    def num_signs(self) -> int:
        """Different signs."""
        return len(self.signs)

    @property
    def num_entries(self) -> int:
        """Different entries; one that is also there mirrored counts once."""
        return len({entry.id for entry in self.entries})

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

    def search(self, vector: Floats, *, k: int, encoder_id: str) -> tuple[Hit, ...]:
        """The k signs whose best entry is nearest to a vector, or all signs where there are fewer.

        The index finds the signs; their entries are then scored in float32, so that every backend gives the same hits.

        Args:
            vector: [D] float32, unit length.
            k: how many signs, >= 1.
            encoder_id: the encoder that made the vector.

        Raises:
            EncoderMismatchError: the vector comes from another encoder.
            VectorsError: the vector has another size or length, or k < 1.
        """
        self.require_encoder(encoder_id)
        [vector] = unit_rows(vector[None])
        hits = [self._hit(sign, vector) for sign in self._nearest_signs(vector, k)]
        hits.sort(key=lambda hit: -hit.score)
        return tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1))

    def _nearest_signs(self, vector: Floats, k: int) -> list[int]:
        """Numbers of the k signs with the nearest rows; asks for more rows while a few signs take them all."""
        num_rows = k
        while True:
            _, rows = self._vector_index.search(vector[None], num_rows)
            signs = list(dict.fromkeys(self._sign_of_row[rows[0]].tolist()))
            if len(signs) >= k or num_rows >= len(self.entries):
                return signs[:k]
            num_rows *= 4

    def _hit(self, sign: int, vector: Floats) -> Hit:
        """The hit for one sign, not ranked yet."""
        rows = self._rows_of_sign[sign]
        scores = np.clip(self._vectors[rows] @ vector, -1.0, 1.0)
        best_first = [(self.entries[rows[i]], float(scores[i])) for i in np.argsort(-scores, kind="stable")]
        best_of_each: dict[str, ScoredEntry] = {}
        for entry, score in best_first:
            best_of_each.setdefault(entry.id, ScoredEntry(entry, score))
        nearest, score = best_first[0]
        return Hit(0, self.signs[sign], score, nearest.mirrored, tuple(best_of_each.values()))


def _group(entries: Sequence[Entry], signs: Sequence[Sign]) -> tuple[Ints, list[Ints]]:
    """For each row the number of its sign, and for each sign its rows."""
    number = {sign: i for i, sign in enumerate(signs)}
    sign_of_row = np.array([number[entry.sign] for entry in entries], dtype=np.int64)
    by_sign = np.argsort(sign_of_row, kind="stable")
    firsts = np.searchsorted(sign_of_row[by_sign], np.arange(1, len(signs)))
    return sign_of_row, np.split(by_sign, firsts)
