"""The arithmetic of the load generator, and that it does not wait for answers. The load itself: `make load`."""

import asyncio
import time

import httpx
import numpy as np
import pytest

from tests.fire.load import Called, Level, coming_callers, slope_mb_per_h
from tests.fire.server import Usage
from tests.fire.truth import Query, Truth, fixed_queries

ANSWER = {"hits": [], "vector": [1.0], "snapshot_id": "s"}


def level_of(calls, probes=()):
    return Level("x", rate=1, seconds=10, calls=list(calls), probes=list(probes))


def test_callers_come_at_their_rate_however_long_answers_take():
    """A service that answers nobody before 40 callers wait would hold up a generator that waits for answers."""
    waiting, enough = [], asyncio.Event()

    async def answer(request):
        waiting.append(request)
        if len(waiting) >= 40:
            enough.set()
        await asyncio.wait_for(enough.wait(), 30)
        return httpx.Response(200, json=ANSWER)

    async def main():
        level = Level("x", rate=200, seconds=0.5)
        truth = Truth.of(ANSWER)
        traffic = coming_callers([Query("q", b"")], [truth], np.random.default_rng(0))
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://x") as client:
            await traffic(client, level, time.perf_counter())
        return level

    level = asyncio.run(main())
    assert 60 <= len(level.calls) <= 150
    assert all(call.status == 200 and call.is_right for call in level.calls)


def test_only_answers_that_came_in_time_count():
    level = level_of([Called(200, 1, done_s) for done_s in (1, 5, 9.9, 10.1, 12)] + [Called(429, 0.01, 3, True)])
    assert level.goodput == 0.3


def test_whatever_is_neither_answer_nor_polite_refusal_is_a_problem():
    assert level_of([Called(200, 1, 1), Called(429, 0.01, 1, has_retry_after=True)]).problems() == []
    wrong = level_of(
        [Called(500, 1, 1), Called(0, 1, 1), Called(0, 1, 1), Called(429, 1, 1), Called(200, 1, 1, is_right=False)],
        [Called(503, 1, 1)],
    )
    assert sorted(wrong.problems()) == [
        "1 refusals without Retry-After", "1 times status 500", "1 times status 503", "1 wrong answers",
        "2 times status 0",
    ]  # fmt: skip


def test_refusals_and_other_routes_have_their_time():
    level = level_of(
        [Called(429, 0.049, 1, True), Called(429, 0.051, 1, True)], [Called(200, 0.099, 1), Called(200, 0.101, 1)]
    )
    assert level.slow() == ["1 refusals over 50 ms", "1 probes over 100 ms"]


def test_the_slope_of_memory_is_that_of_its_second_half():
    grows = [(float(at), Usage(int(1e8 + 1000 * max(0, at - 50)), 0, 0, 0)) for at in range(101)]
    assert slope_mb_per_h(grows) == pytest.approx(3.6, rel=0.01)
    assert slope_mb_per_h(grows[:40]) == pytest.approx(0, abs=1e-6)


def test_there_are_fifty_different_queries(dictionary):
    queries = fixed_queries(dictionary)
    assert len({query.body for query in queries}) == 50
    assert len({query.name for query in queries}) == 50


@pytest.fixture
def dictionary(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.mp4").write_bytes(bytes([number]))
    return sorted(tmp_path.glob("*.mp4"))
