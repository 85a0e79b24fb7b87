"""What is remembered of a query for a while: its window embeddings, never its video."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import QueryUnknownError
from model.embed import ClipEmbedding

KEPT_S = 900.0
"""How long a query can be asked again."""


@dataclass(frozen=True)
class Kept:
    """A query, and until when it is kept."""

    clip: ClipEmbedding
    until_s: float

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        clip = self.clip
        return clip.embeddings.nbytes + clip.activity.nbytes + clip.encoded.nbytes + clip.start_s.nbytes


class KeptQueries:
    """The latest queries, bounded in bytes and time. Belongs to one event loop."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self.num_bytes = 0
        """Memory in use."""

    def keep(self, clip: ClipEmbedding) -> str:
        """Remember a query; gives an id that can't be guessed."""
        query_id = secrets.token_hex(16)
        kept = Kept(clip, self._clock() + KEPT_S)
        self._kept[query_id] = kept
        self.num_bytes += kept.num_bytes
        while self._kept and (self.num_bytes > self._max_bytes or self._oldest.until_s <= self._clock()):
            _, dropped = self._kept.popitem(last=False)
            self.num_bytes -= dropped.num_bytes
        return query_id

    def get(self, query_id: str) -> ClipEmbedding:
        """A query that is still kept.

        Raises:
            QueryUnknownError: it is not.
        """
        kept = self._kept.get(query_id)
        if kept is None or kept.until_s <= self._clock():
            raise QueryUnknownError(
                f"no query {query_id[:40]!r} is kept here; queries are forgotten after {KEPT_S / 60:g} minutes, or"
                " earlier when there are many, and other replicas do not know them: post the video again"
            )
        return kept.clip

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def _oldest(self) -> Kept:
        return next(iter(self._kept.values()))
