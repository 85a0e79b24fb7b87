"""Windows of many callers in one batch: the same results, fair turns, nobody hangs."""

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from app.errors import StoppedError
from app.search.batcher import Batcher
from model import config
from model.encoder import Encoding
from model.motion import moving_units
from tests.fakes import FakeEncoder

SHAPE = (*config.tiny().window_size, 3)


def windows(number, seed):
    return np.random.default_rng(seed).integers(0, 256, (number, *SHAPE), dtype=np.uint8)


class Gated(FakeEncoder):
    """Remembers its batches; each waits for a permit where `permits` is set."""

    def __init__(self):
        super().__init__()
        self.batches = []
        self.permits = None
        self.bad = None
        self.entered = threading.Event()

    def encode(self, windows, visible=None):
        self.batches.append(len(windows))
        self.entered.set()
        if self.permits is not None:
            assert self.permits.acquire(timeout=30)
        if self.bad is not None and any(np.array_equal(window, self.bad) for window in windows):
            raise RuntimeError("a bad window")
        return super().encode(windows, visible)


@asynccontextmanager
async def batching(encoder, max_windows=8, observe=lambda _: None):
    batcher = Batcher(encoder, max_windows, observe)
    try:
        yield batcher
    finally:
        await batcher.close()


def run(scenario):
    async def main():
        return await asyncio.wait_for(scenario(), 60)

    return asyncio.run(main())


def held():
    encoder = Gated()
    encoder.permits = threading.Semaphore(0)
    return encoder


async def entered(encoder):
    await asyncio.to_thread(encoder.entered.wait, 30)


def test_everybody_gets_what_encoding_alone_gives():
    async def scenario():
        encoder, sizes = Gated(), []
        async with batching(encoder, observe=sizes.append) as batcher:
            clips = [windows(number, number) for number in (1, 3, 20, 8, 2, 5)]
            together = await asyncio.gather(*(batcher.encode(clip) for clip in clips))
        for clip, encoding in zip(clips, together, strict=True):
            alone = FakeEncoder().encode(clip)
            assert np.array_equal(encoding.embedding, alone.embedding)
            assert np.array_equal(encoding.activity, alone.activity)
        assert sizes == encoder.batches
        assert sum(sizes) == 39
        assert max(sizes) <= 8
        assert len(sizes) <= 7

    run(scenario)


def test_a_short_clip_does_not_wait_for_the_whole_of_a_long_one():
    async def scenario():
        encoder = held()
        async with batching(encoder) as batcher:
            long = asyncio.ensure_future(batcher.encode(windows(80, 0)))
            await entered(encoder)
            short = asyncio.ensure_future(batcher.encode(windows(2, 1)))
            await asyncio.sleep(0)
            encoder.permits.release(3)
            await short
            assert not long.done()
            assert batcher.num_waiting >= 48
            encoder.permits.release(20)
            assert len((await long).embedding) == 80

    run(scenario)


def test_a_caller_that_goes_takes_no_place_in_later_batches():
    async def scenario():
        encoder = held()
        async with batching(encoder) as batcher:
            first = asyncio.ensure_future(batcher.encode(windows(8, 0)))
            await entered(encoder)
            goes = asyncio.ensure_future(batcher.encode(windows(5, 1)))
            stays = asyncio.ensure_future(batcher.encode(windows(2, 2)))
            await asyncio.sleep(0)
            assert batcher.num_waiting == 7
            goes.cancel()
            await asyncio.sleep(0)
            assert batcher.num_waiting == 2
            encoder.permits.release(10)
            await asyncio.gather(first, stays)
            assert encoder.batches == [8, 2]

    run(scenario)


def test_a_caller_that_goes_during_its_batch_harms_nobody():
    async def scenario():
        encoder = held()
        async with batching(encoder) as batcher:
            await_both = [asyncio.ensure_future(batcher.encode(windows(4, seed))) for seed in (0, 1)]
            await entered(encoder)
            await_both[0].cancel()
            encoder.permits.release(2)
            assert np.array_equal((await await_both[1]).embedding, FakeEncoder().encode(windows(4, 1)).embedding)

    run(scenario)


def test_a_failing_batch_fails_those_in_it_and_nobody_else():
    async def scenario():
        encoder = held()
        poison = windows(8, 1)
        encoder.bad = poison[3]
        async with batching(encoder) as batcher:
            before = asyncio.ensure_future(batcher.encode(windows(8, 0)))
            await entered(encoder)
            bad = asyncio.ensure_future(batcher.encode(poison))
            after = asyncio.ensure_future(batcher.encode(windows(8, 2)))
            await asyncio.sleep(0)
            encoder.permits.release(10)
            assert len((await before).embedding) == 8
            with pytest.raises(RuntimeError, match="a bad window"):
                await bad
            assert len((await after).embedding) == 8

    run(scenario)


def test_a_clip_that_failed_is_not_encoded_further():
    async def scenario():
        encoder = Gated()
        poison = windows(40, 1)
        encoder.bad = poison[0]
        async with batching(encoder) as batcher:
            with pytest.raises(RuntimeError):
                await batcher.encode(poison)
            await batcher.encode(windows(1, 0))
        assert encoder.batches == [8, 1]

    run(scenario)


def test_an_encoder_that_gives_too_little_fails_its_callers_and_the_next_works():
    async def scenario():
        encoder = FakeEncoder()
        encode = encoder.encode
        encoder.encode = lambda windows, visible=None: Encoding(
            np.zeros((0, 192), np.float32), np.zeros((0, 2), np.float32)
        )
        async with batching(encoder) as batcher:
            with pytest.raises(ValueError, match="gave 0 rows for 3 windows"):
                await batcher.encode(windows(3, 0))
            encoder.encode = encode
            assert len((await batcher.encode(windows(3, 0))).embedding) == 3

    run(scenario)


def test_stopping_frees_everybody_and_refuses_newcomers():
    async def scenario():
        encoder = held()
        batcher = Batcher(encoder, 8)
        callers = [asyncio.ensure_future(batcher.encode(windows(8, seed))) for seed in (0, 1)]
        await entered(encoder)
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0)
        encoder.permits.release(10)
        await closing
        for caller in callers:
            with pytest.raises(StoppedError):
                await caller
        with pytest.raises(StoppedError):
            await batcher.encode(windows(1, 0))

    run(scenario)


def test_only_the_units_that_the_encoder_is_meant_to_see_are_encoded():
    class Looking(FakeEncoder):
        def encode(self, windows, visible=None):
            self.visible = visible
            return super().encode(windows)

    async def scenario():
        encoder = Looking()
        encoder.info = replace(encoder.info, kept_share=0.25)
        async with batching(encoder) as batcher:
            await batcher.encode(windows(3, seed=0))
        expected = [moving_units(window, encoder.info.config, 32) for window in windows(3, seed=0)]
        assert np.array_equal(encoder.visible, expected)

    run(scenario)
