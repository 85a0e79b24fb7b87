"""Windows of all callers, joined into batches for the encoder."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from anyio import CapacityLimiter, to_thread

from app.errors import StoppedError
from model.encoder import Encoder, Encoding, Windows
from model.motion import looked_at

log = logging.getLogger(__name__)


class ClipWindows(Protocol):
    """Windows of one clip, as the encoder takes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Windows: ...


@dataclass
class Waiter:
    """A caller, and how far its windows are."""

    windows: ClipWindows
    done: "asyncio.Future[Encoding]"
    num_taken: int = 0
    """Windows that went into a batch."""
    parts: list[Encoding] = field(default_factory=list)

    @property
    def num_left(self) -> int:
        """Windows that wait for a batch."""
        return len(self.windows) - self.num_taken


@dataclass(frozen=True)
class Share:
    """What one caller has in a batch: windows `start` to `stop`."""

    waiter: Waiter
    start: int
    stop: int


class Batcher:
    """Encodes for many callers at once, one batch after the other. Belongs to one event loop.

    Callers take turns: after each batch whoever has windows left goes to the end of the line, so a short clip never
    waits for the whole of a long one. What a window's encoding is does not depend on what else is in its batch.
    """

    def __init__(self, encoder: Encoder, max_windows: int, observe: Callable[[int], None] = lambda _: None) -> None:
        """Start taking windows.

        Args:
            encoder: does the work, in a thread.
            max_windows: in one batch.
            observe: is told the size of every batch.
        """
        self._encoder = encoder
        self._max_windows = max_windows
        self._observe = observe
        self._thread = CapacityLimiter(1)
        self._line: deque[Waiter] = deque()
        self._arrived = asyncio.Event()
        self._runs = asyncio.get_running_loop().create_task(self._run())

    async def encode(self, windows: ClipWindows) -> Encoding:
        """Encode the windows of one clip. Whoever is cancelled takes no place in later batches.

        Args:
            windows: at least one.

        Raises:
            StoppedError: the service is shutting down.
            Exception: what the encoder raises for a batch that these windows are in.
        """
        if self._runs.done():
            raise StoppedError("the service is shutting down; ask again in a moment")
        waiter = Waiter(windows, asyncio.get_running_loop().create_future())
        self._line.append(waiter)
        self._arrived.set()
        return await waiter.done

    @property
    def num_waiting(self) -> int:
        """Windows that are in no batch yet."""
        return sum(waiter.num_left for waiter in self._line if not waiter.done.done())

    async def close(self) -> None:
        """Stop; whoever still waits gets an error."""
        self._runs.cancel()
        await asyncio.wait([self._runs])

    async def _run(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                if batch := self._next_batch():
                    await self._encode(batch)
                else:
                    self._arrived.clear()
        finally:  # whatever ended it: nobody waits for ever
            for waiter in self._line:
                _fail(waiter, StoppedError("the service is shutting down; ask again in a moment"))

    def _next_batch(self) -> list[Share]:
        """What is encoded next; nobody in it has gone."""
        batch: list[Share] = []
        room = self._max_windows
        again: list[Waiter] = []
        while room and self._line:
            waiter = self._line.popleft()
            if waiter.done.done():
                continue
            start = waiter.num_taken
            waiter.num_taken += min(room, waiter.num_left)
            batch.append(Share(waiter, start, waiter.num_taken))
            room -= waiter.num_taken - start
            if waiter.num_left:
                again.append(waiter)
        self._line.extend(again)
        return batch

    async def _encode(self, batch: list[Share]) -> None:
        """Encode a batch and give everybody their part; an error goes to those in it and to nobody else."""
        self._observe(sum(share.stop - share.start for share in batch))
        try:
            encoding = await to_thread.run_sync(self._encode_now, batch, limiter=self._thread)
        except Exception as error:  # noqa: BLE001 - it is not swallowed: it goes to everyone who waits for this batch
            for share in batch:
                _fail(share.waiter, error)
        except BaseException:
            for share in batch:
                _fail(share.waiter, StoppedError("the service is shutting down; ask again in a moment"))
            raise
        else:
            _hand_out(batch, encoding)

    def _encode_now(self, batch: list[Share]) -> Encoding:
        windows = np.stack([share.waiter.windows[i] for share in batch for i in range(share.start, share.stop)])
        info = self._encoder.info
        encoding = self._encoder.encode(windows, looked_at(windows, info.config, info.kept_share))
        if len(encoding.embedding) != len(windows) or len(encoding.activity) != len(windows):
            raise ValueError(f"the encoder gave {len(encoding.embedding)} rows for {len(windows)} windows")
        return encoding


def _hand_out(batch: list[Share], encoding: Encoding) -> None:
    """Give every caller its rows, and its result once it has all of them."""
    row = 0
    for share in batch:
        rows = slice(row, row := row + share.stop - share.start)
        share.waiter.parts.append(Encoding(encoding.embedding[rows], encoding.activity[rows]))
        if not share.waiter.num_left and not share.waiter.done.done():
            parts = share.waiter.parts
            share.waiter.done.set_result(
                Encoding(
                    np.concatenate([part.embedding for part in parts]),
                    np.concatenate([part.activity for part in parts]),
                )
            )


def _fail(waiter: Waiter, error: Exception) -> None:
    if not waiter.done.done():
        waiter.done.set_exception(error)
