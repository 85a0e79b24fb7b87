"""Several decoders, shared by all requests; one that misbehaved is replaced."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from app.decoding.decoder import Decoder, DecoderLimits
from model.errors import VideoError

T = TypeVar("T")

log = logging.getLogger(__name__)

VIDEOS_PER_PROCESS = 500
"""Then a process is replaced, so that what leaks in a decoder stays small."""


class DecoderPool:
    """Decoders and who waits for one. Belongs to one event loop."""

    def __init__(self, size: int, limits: DecoderLimits, estimator: str | None = None) -> None:
        """Start the processes; they get ready in the background.

        Args:
            size: how many videos are decoded at the same time.
            limits: of each video.
            estimator: what finds skeletons, where those are wanted; see `Decoder`.
        """
        self._limits = limits
        self._estimator = estimator
        self._threads = CapacityLimiter(size)
        self._free: asyncio.Queue[Decoder] = asyncio.Queue()
        self._all: set[Decoder] = set()
        self.num_replaced = 0
        """Decoders that were ended because of a video or of a caller that had gone, or ended while nobody used them."""
        for _ in range(size):
            self._add()

    async def run(self, task: Callable[[Decoder], T]) -> T:
        """Do something with a decoder of one's own, in a thread; waits for one that is free.

        Whoever is cancelled meanwhile takes the process down with it: nothing is decoded that nobody wants.

        Raises:
            VideoError: the video can't be used; see `Decoder.cut`.
        """
        decoder = await self._living()
        try:
            result = await to_thread.run_sync(task, decoder, abandon_on_cancel=True, limiter=self._threads)
        except VideoError:
            self._give_back(decoder)
            raise
        except BaseException:
            self.num_replaced += 1
            self._replace(decoder)
            raise
        self._give_back(decoder)
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

    async def _living(self) -> Decoder:
        """The next decoder that is free. One that ended while nobody used it is no video's fault, and is replaced."""
        while (decoder := await self._free.get()).has_ended:
            log.warning("decoding process %d had ended while nobody used it; another one takes its place", decoder.pid)
            self.num_replaced += 1
            self._replace(decoder)
        return decoder

    def _give_back(self, decoder: Decoder) -> None:
        if decoder.num_done >= VIDEOS_PER_PROCESS:
            self._replace(decoder)
        else:
            self._free.put_nowait(decoder)

    def _replace(self, decoder: Decoder) -> None:
        decoder.kill()
        self._all.discard(decoder)
        self._add()

    def _add(self) -> None:
        decoder = Decoder(self._limits, self._estimator)
        self._all.add(decoder)
        self._free.put_nowait(decoder)
