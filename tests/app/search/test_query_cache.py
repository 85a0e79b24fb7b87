"""Queries that can be looked up again."""

import pytest

from app.errors import QueryUnknownError
from app.search.query_cache import LIFETIME_S, QueryCache
from tests.app.search.clips import make_clip


def test_cached_queries_are_bounded_in_bytes_and_the_oldest_goes_first():
    cache = QueryCache(max_bytes=1000)
    ids = [cache.add(make_clip()) for _ in range(5)]  # 160 + 80 + 10 + 40 bytes each
    assert cache.num_bytes == 3 * 290
    assert len(cache) == 3
    for forgotten in ids[:2]:
        with pytest.raises(QueryUnknownError):
            cache.get(forgotten)
    assert cache.get(ids[-1]).encoded.all()


def test_cached_queries_are_forgotten_after_a_while():
    now = [100.0]
    cache = QueryCache(max_bytes=10_000, clock=lambda: now[0])
    old = cache.add(make_clip())
    now[0] += LIFETIME_S - 1
    cache.get(old)
    now[0] += 2
    with pytest.raises(QueryUnknownError, match="15 minutes"):
        cache.get(old)
    cache.add(make_clip())
    assert len(cache) == 1
