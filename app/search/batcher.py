"""Joins windows of all callers into batches for the encoder."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from anyio import CapacityLimiter, to_thread

from app.errors import StoppedError
from model.embed import encode_windows
from model.encoder import Encoder, Encoding, Windows, concatenate

SHUTTING_DOWN = "the service is shutting down; ask again in a moment"


class ClipWindows(Protocol):
    """Windows of one clip, as the encoder takes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Windows: ...


@dataclass
class PendingClip:
    """A clip whose caller waits, and how many of its windows went into batches."""

    windows: ClipWindows
    result: "asyncio.Future[Encoding]"
    num_batched: int = 0
    parts: list[Encoding] = field(default_factory=list)

    @property
    def num_left(self) -> int:
        """Windows that are in no batch yet."""
        return len(self.windows) - self.num_batched

    def fail(self, error: Exception) -> None:
        """Raise an error in the caller, unless it has gone."""
        if not self.result.done():
            self.result.set_exception(error)


@dataclass(frozen=True)
class BatchSlice:
    """The windows `start` to `stop` of one clip, in a batch."""

    clip: PendingClip
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


class Batcher:
    """Encodes for many callers at once, one batch after the other. Belongs to one event loop.

    Callers take turns: after each batch a clip with windows left goes to the end of the queue, so a short clip never
    waits for the whole of a long one. A window's encoding does not depend on what else is in its batch.
    """

    def __init__(
        self, encoder: Encoder, max_windows: int, observe_batch: Callable[[int], None] = lambda _: None
    ) -> None:
        """Start taking windows.

        Args:
            encoder: does the work, in a thread.
            max_windows: in one batch.
            observe_batch: called with the number of windows of every batch.
        """
        self._encoder = encoder
        self._max_windows = max_windows
        self._observe_batch = observe_batch
        self._thread = CapacityLimiter(1)
        self._queue: deque[PendingClip] = deque()
        self._arrived = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def encode(self, windows: ClipWindows) -> Encoding:
        """Encode the windows of one clip. A caller that is cancelled takes no room in later batches.

        Args:
            windows: at least one.

        Raises:
            StoppedError: the service is shutting down.
            Exception: what the encoder raises for a batch that these windows are in.
        """
        if self._task.done():
            raise StoppedError(SHUTTING_DOWN)
        clip = PendingClip(windows, asyncio.get_running_loop().create_future())
        self._queue.append(clip)
        self._arrived.set()
        return await clip.result

    @property
    def num_waiting(self) -> int:
        """Windows that are in no batch yet."""
        return sum(clip.num_left for clip in self._queue if not clip.result.done())

    async def close(self) -> None:
        """Stop; callers that still wait get an error."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                if batch := self._next_batch():
                    await self._encode(batch)
                else:
                    self._arrived.clear()
        finally:  # whatever ended it: no caller waits for ever
            for clip in self._queue:
                clip.fail(StoppedError(SHUTTING_DOWN))

    def _next_batch(self) -> list[BatchSlice]:
        """What is encoded next; clips whose callers have gone are dropped."""
        batch: list[BatchSlice] = []
        room = self._max_windows
        unfinished: list[PendingClip] = []
        while room and self._queue:
            clip = self._queue.popleft()
            if clip.result.done():
                continue
            start = clip.num_batched
            clip.num_batched += min(room, clip.num_left)
            batch.append(BatchSlice(clip, start, clip.num_batched))
            room -= clip.num_batched - start
            if clip.num_left:
                unfinished.append(clip)
        self._queue.extend(unfinished)
        return batch

    async def _encode(self, batch: list[BatchSlice]) -> None:
        """Encode a batch and give every caller its rows; an error goes to the callers in it and to nobody else."""
        self._observe_batch(sum(map(len, batch)))
        try:
            encoding = await to_thread.run_sync(self._encode_in_thread, batch, limiter=self._thread)
        except Exception as error:  # noqa: BLE001 - it is not swallowed: every caller in this batch gets it
            for part in batch:
                part.clip.fail(error)
        except BaseException:
            for part in batch:
                part.clip.fail(StoppedError(SHUTTING_DOWN))
            raise
        else:
            _distribute(batch, encoding)

    def _encode_in_thread(self, batch: list[BatchSlice]) -> Encoding:
        windows = [part.clip.windows[number] for part in batch for number in range(part.start, part.stop)]
        return encode_windows(self._encoder, windows, self._encoder.info.kept_share)


def _distribute(batch: list[BatchSlice], encoding: Encoding) -> None:
    """Give every caller its rows, and its result once it has all of them."""
    row = 0
    for part in batch:
        clip = part.clip
        clip.parts.append(encoding.rows(row, row + len(part)))
        row += len(part)
        if not clip.num_left and not clip.result.done():
            clip.result.set_result(concatenate(clip.parts))
