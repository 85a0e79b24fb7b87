"""Recent queries, to be searched again: their window embeddings, never their videos."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import QueryUnknownError
from model.embed import ClipEmbedding

LIFETIME_S = 900.0
"""How long a query can be searched again."""


@dataclass(frozen=True)
class CachedQuery:
    """A query and when it expires."""

    clip: ClipEmbedding
    expires_s: float

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        clip = self.clip
        return clip.embeddings.nbytes + clip.activity.nbytes + clip.encoded.nbytes + clip.start_s.nbytes


class QueryCache:
    """The latest queries, bounded in bytes and time. Belongs to one event loop."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._queries: OrderedDict[str, CachedQuery] = OrderedDict()
        self.num_bytes = 0
        """Memory in use."""

    def add(self, clip: ClipEmbedding) -> str:
        """Remember a query; gives an id that can't be guessed."""
        query_id = secrets.token_hex(16)
        query = CachedQuery(clip, self._clock() + LIFETIME_S)
        self._queries[query_id] = query
        self.num_bytes += query.num_bytes
        while self._queries and (self.num_bytes > self._max_bytes or self._oldest.expires_s <= self._clock()):
            _, dropped = self._queries.popitem(last=False)
            self.num_bytes -= dropped.num_bytes
        return query_id

    def get(self, query_id: str) -> ClipEmbedding:
        """A query that was added and has not expired.

        Raises:
            QueryUnknownError: there is none of this id.
        """
        query = self._queries.get(query_id)
        if query is None or query.expires_s <= self._clock():
            raise QueryUnknownError(
                f"no query {query_id[:40]!r} is kept here; queries are forgotten after {LIFETIME_S / 60:g} minutes, or"
                " earlier when there are many, and other replicas do not know them: post the video again"
            )
        return query.clip

    def __len__(self) -> int:
        return len(self._queries)

    @property
    def _oldest(self) -> CachedQuery:
        return next(iter(self._queries.values()))
