"""What a dictionary answers without vectors: signs by text, entries by id, and values to filter by."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from index.entries import Entry, Sign
from index.errors import EntryUnknownError, SignUnknownError


@dataclass(frozen=True)
class Filters:
    """Which entries count; None for all."""

    language: str | None = None
    tag: str | None = None


NO_FILTERS = Filters()


@dataclass(frozen=True)
class SignRecord:
    """A sign with everything that shows it."""

    sign: Sign
    entries: tuple[Entry, ...]
    """As filmed, in the order of the source."""


@dataclass(frozen=True)
class SignPage:
    """Some of the signs that a text search found."""

    total: int
    """How many there are over all pages."""
    signs: tuple[SignRecord, ...]


@dataclass(frozen=True)
class Facet:
    """A value that one can filter by, and how much there is of it."""

    value: str
    num_signs: int
    num_entries: int


@dataclass(frozen=True)
class Facets:
    """All values, the most frequent first."""

    languages: tuple[Facet, ...]
    tags: tuple[Facet, ...]
    signers: tuple[Facet, ...]


class Catalogue:
    """Signs and entries of one dictionary. Nothing changes it."""

    def __init__(self, entries: Iterable[Entry], signs: Iterable[Sign]) -> None:
        """Arrange the entries as filmed; entry i shows sign i."""
        shown: dict[str, list[Entry]] = defaultdict(list)
        by_id: dict[str, Sign] = {}
        self._entries: dict[str, Entry] = {}
        for entry, sign in zip(entries, signs, strict=True):
            self._entries[entry.id] = entry
            by_id[sign.id] = sign
            shown[sign.id].append(entry)
        self._records = {sign_id: SignRecord(sign, tuple(shown[sign_id])) for sign_id, sign in by_id.items()}
        self._folded = {sign_id: folded(sign.gloss) for sign_id, sign in by_id.items()}
        self._alphabetical = sorted(
            self._records.values(), key=lambda record: (self._folded[record.sign.id], record.sign.language or "")
        )

    @property
    def num_entries(self) -> int:
        """Different entries."""
        return len(self._entries)

    def sign(self, sign_id: str) -> SignRecord:
        """A sign with its entries.

        Raises:
            SignUnknownError: no sign has this id.
        """
        try:
            return self._records[sign_id]
        except KeyError as error:
            raise SignUnknownError(f"no sign of this dictionary has the id {sign_id!r}") from error

    def entry(self, entry_id: str) -> Entry:
        """An entry as filmed.

        Raises:
            EntryUnknownError: no entry has this id.
        """
        try:
            return self._entries[entry_id]
        except KeyError as error:
            raise EntryUnknownError(f"no entry of this dictionary has the id {entry_id!r}") from error

    def find_signs(
        self, text: str = "", language: str | None = None, tag: str | None = None, limit: int = 50, offset: int = 0
    ) -> SignPage:
        """Signs whose gloss contains a text: the gloss itself first, then those that begin with it, then the alphabet.

        Args:
            text: upper and lower case are the same, and letters with and without accents; empty finds all.
            language: only signs of this language.
            tag: only signs of which an entry has this tag.
            limit: how many to give.
            offset: how many of the first to leave out.
        """
        sought = folded(text)
        found = [record for record in self._alphabetical if sought in self._folded[record.sign.id]]
        found = [record for record in found if _passes(record, language, tag)]
        found.sort(key=lambda record: _distance(self._folded[record.sign.id], sought))
        return SignPage(len(found), tuple(found[offset : offset + limit]))

    def facets(self) -> Facets:
        """The values one can filter by."""
        entries = self._entries.values()
        return Facets(
            languages=_facets(entries, lambda entry: [entry.language] if entry.language else []),
            tags=_facets(entries, lambda entry: entry.tags),
            signers=_facets(entries, lambda entry: [entry.signer] if entry.signer else []),
        )


def folded(text: str) -> str:
    """A text without case and accents, for comparing."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).strip()


def _passes(record: SignRecord, language: str | None, tag: str | None) -> bool:
    if language is not None and record.sign.language != language:
        return False
    return tag is None or any(tag in entry.tags for entry in record.entries)


def _distance(gloss: str, sought: str) -> int:
    """0 for the text itself, 1 where the gloss begins with it, 2 where it stands further inside."""
    return 0 if gloss == sought else 1 if gloss.startswith(sought) else 2


def _facets(entries: Iterable[Entry], values_of: Callable[[Entry], Sequence[str]]) -> tuple[Facet, ...]:
    """Each value with its signs and entries."""
    signs: dict[str, set[tuple[str, str | None]]] = defaultdict(set)
    num_entries: dict[str, int] = defaultdict(int)
    for entry in entries:
        for value in set(values_of(entry)):
            signs[value].add((entry.gloss, entry.language))
            num_entries[value] += 1
    facets = (Facet(value, len(signs[value]), num_entries[value]) for value in signs)
    return tuple(sorted(facets, key=lambda facet: (-facet.num_entries, facet.value)))
