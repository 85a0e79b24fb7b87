"""Several decoders: one that misbehaved is replaced, and the next video works."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from app.decoding import pool as pools
from app.decoding.limits import DecoderLimits
from app.decoding.pool import DecoderPool
from app.errors import VideoTooCostlyError, VideoUndecodableError
from model.clip_stream import WindowingConfig
from model.errors import NotAVideoError
from model.video import VideoLimits
from tests.tiny_videos import write_clip

WINDOWING = WindowingConfig(fps=25, num_frames=16, size=64, stride_frames=4)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 1)


def run(scenario, size=1, seconds=30.0):
    async def main():
        pool = DecoderPool(size, DecoderLimits(memory_bytes=256_000_000, seconds=seconds))
        try:
            return await asyncio.wait_for(scenario(pool), 60)
        finally:
            pool.close()

    return asyncio.run(main())


async def cut(pool, path):
    with path.open("rb") as file:
        return await pool.run(lambda decoder: decoder.decode_windows(file.fileno(), WINDOWING, VideoLimits()))


def is_running(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGSTOP, VideoTooCostlyError), (signal.SIGKILL, VideoUndecodableError)]
)
def test_after_a_process_that_hangs_or_dies_the_next_video_works(clip, number, error):
    async def scenario(pool):
        await cut(pool, clip)
        [pid] = pool.pids
        os.kill(pid, signal.SIGSTOP)
        caller = asyncio.ensure_future(cut(pool, clip))
        await asyncio.sleep(0.1)
        os.kill(pid, number)
        with pytest.raises(error):
            await caller
        assert not is_running(pid)
        assert pool.pids != [pid]
        assert pool.num_replaced == 1
        assert len(await cut(pool, clip)) > 1

    run(scenario, seconds=0.5)


def test_a_process_that_died_while_idle_costs_no_video(clip, caplog):
    async def scenario(pool):
        await cut(pool, clip)
        pids = pool.pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        while any(is_running(pid) for pid in pids):
            await asyncio.sleep(0.01)
        for _ in range(3):
            assert len(await cut(pool, clip)) > 1
        assert not {*pids} & {*pool.pids}
        assert len(pool.pids) == 2
        assert pool.num_replaced == 2

    run(scenario, size=2)
    assert caplog.text.count("had ended while it was idle") == 2


def test_a_refused_video_costs_no_process(clip, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"nothing")

    async def scenario(pool):
        before = pool.pids
        with pytest.raises(NotAVideoError):
            await cut(pool, tmp_path / "x.mp4")
        await cut(pool, clip)
        assert pool.pids == before
        assert pool.num_replaced == 0

    run(scenario)


def test_a_cancelled_caller_takes_its_process_down_and_the_next_is_served(clip):
    async def scenario(pool):
        await cut(pool, clip)
        [pid] = pool.pids
        os.kill(pid, signal.SIGSTOP)
        caller = asyncio.ensure_future(cut(pool, clip))
        await asyncio.sleep(0.1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert not is_running(pid)
        assert len(await cut(pool, clip)) > 1

    run(scenario)


def test_a_caller_who_waits_for_a_decoder_can_be_cancelled(clip):
    async def scenario(pool):
        await cut(pool, clip)
        [pid] = pool.pids
        os.kill(pid, signal.SIGSTOP)
        first = asyncio.ensure_future(cut(pool, clip))
        second = asyncio.ensure_future(cut(pool, clip))
        await asyncio.sleep(0.1)
        second.cancel()
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGCONT)
        assert len(await first) > 1
        assert pool.pids == [pid]

    run(scenario)


def test_two_decoders_work_side_by_side(clip):
    async def scenario(pool):
        await asyncio.gather(cut(pool, clip), cut(pool, clip))
        stopped, _ = pool.pids
        os.kill(stopped, signal.SIGSTOP)
        hangs = asyncio.ensure_future(cut(pool, clip))
        others = asyncio.ensure_future(cut(pool, clip))
        await asyncio.wait([hangs, others], return_when=asyncio.FIRST_COMPLETED)
        assert hangs.done() != others.done()
        os.kill(stopped, signal.SIGCONT)
        await asyncio.gather(hangs, others)

    run(scenario, size=2)


def test_a_process_is_replaced_after_many_videos(clip, monkeypatch):
    monkeypatch.setattr(pools, "VIDEOS_PER_PROCESS", 2)

    async def scenario(pool):
        seen = []
        for _ in range(4):
            seen.append(pool.pids)
            await cut(pool, clip)
        assert seen[0] == seen[1] != seen[2] == seen[3]
        assert pool.num_replaced == 0

    run(scenario)


def test_closing_ends_every_process(clip):
    async def scenario(pool):
        await cut(pool, clip)
        return pool.pids

    pids = run(scenario, size=2)
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(is_running(pid) for pid in pids)
