"""A pool of decoders that all requests share."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from app.decoding.decoder import Decoder
from app.decoding.limits import DecoderLimits
from model.errors import VideoError

T = TypeVar("T")

log = logging.getLogger(__name__)

VIDEOS_PER_PROCESS = 500
"""Then a process is replaced, so that memory leaks of FFmpeg stay small."""


class DecoderPool:
    """A fixed number of decoders; one that failed is replaced. Belongs to one event loop."""

    def __init__(self, size: int, limits: DecoderLimits, estimator: str | None = None) -> None:
        """Start the processes, without waiting for them.

        Args:
            size: number of processes.
            limits: of each video.
            estimator: of skeletons; see `Decoder`.
        """
        self._limits = limits
        self._estimator = estimator
        self._threads = CapacityLimiter(size)
        self._idle: asyncio.Queue[Decoder] = asyncio.Queue()
        self._all: set[Decoder] = set()
        self.num_replaced = 0
        """Decoders that failed over a video, were killed because their caller was cancelled, or ended while idle."""
        for _ in range(size):
            self._start_decoder()

    async def run(self, task: Callable[[Decoder], T]) -> T:
        """Run a task with a decoder of its own, in a thread; waits until one is idle.

        Cancelling kills the process: no processor time goes into videos that are not wanted any more.

        Raises:
            VideoError: the video can't be used; see `Decoder.decode_windows`.
        """
        decoder = await self._acquire()
        try:
            result = await to_thread.run_sync(task, decoder, abandon_on_cancel=True, limiter=self._threads)
        except VideoError:
            self._release(decoder)
            raise
        except BaseException:
            self.num_replaced += 1
            self._replace(decoder)
            raise
        self._release(decoder)
        return result

    async def start(self) -> None:
        """Wait until every process has started. Raises what `Decoder.start` raises."""
        await asyncio.gather(*(self.run(Decoder.start) for _ in range(len(self._all))))

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        return sorted(decoder.pid for decoder in self._all)

    def close(self) -> None:
        """End all processes."""
        for decoder in self._all:
            decoder.kill()
        self._all.clear()

    async def _acquire(self) -> Decoder:
        """The next idle decoder. One that ended while it was idle, which is no video's fault, is replaced."""
        while (decoder := await self._idle.get()).has_ended:
            log.warning("decoding process %d had ended while it was idle; it is replaced", decoder.pid)
            self.num_replaced += 1
            self._replace(decoder)
        return decoder

    def _release(self, decoder: Decoder) -> None:
        if decoder.num_done >= VIDEOS_PER_PROCESS:
            self._replace(decoder)
        else:
            self._idle.put_nowait(decoder)

    def _replace(self, decoder: Decoder) -> None:
        decoder.kill()
        self._all.discard(decoder)
        self._start_decoder()

    def _start_decoder(self) -> None:
        decoder = Decoder(self._limits, self._estimator)
        self._all.add(decoder)
        self._idle.put_nowait(decoder)
