"""Many clips through one encoder: several decoders feed it, and it always works on full batches.

    clips -> decoders (threads) -> windows, as filmed and mirrored -> batches across clips -> encoder -> clips again

Decoders are threads: FFmpeg and NumPy's copies let go of the interpreter's lock, and windows need not be copied between
processes. What waits for the encoder is bounded, so memory does not grow with the number of clips.
"""

import os
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model.cut import MovingWindow, open_windows
from model.embed import Embedder, EncodedWindows, joined, mirrored
from model.errors import VideoError
from model.runtime import BATCH_SIZES

BATCH = BATCH_SIZES[0]
MAX_WAITING = 32
"""Windows that wait for the encoder: 77 MB of 224 x 224 pixels."""
MAX_DECODERS = 8
STOP_POLL_S = 0.1
UNUSABLE = (VideoError, OSError)
"""What says that a clip can't be used; anything else ends the work."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a video file."""

    path: Path
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class EmbeddedClip:
    """What became of one clip."""

    number: int
    """Of the clip, from 0."""
    filmed: EncodedWindows | None = None
    mirrored: EncodedWindows | None = None
    error: Exception | None = None
    """Why it can't be used; then there are no windows."""


@dataclass(frozen=True)
class _Window:
    number: int
    window: MovingWindow


@dataclass(frozen=True)
class _Ended:
    """The last window of a clip was sent, or none will be."""

    number: int
    error: Exception | None = None


@dataclass
class _Open:
    """A clip some of whose windows are still under way."""

    num_sent: int = 0
    ended: _Ended | None = None
    filmed: list[EncodedWindows] = field(default_factory=list)
    mirrored: list[EncodedWindows] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return self.ended is not None and (self.ended.error is not None or len(self.filmed) == self.num_sent)


def embed_clips(clips: Sequence[Clip], embedder: Embedder, num_decoders: int | None = None) -> Generator[EmbeddedClip]:
    """Embed clips as filmed and mirrored; gives each as soon as it is done, in no order.

    Args:
        clips: what to embed.
        embedder: how.
        num_decoders: threads that decode; by default one per core, at most eight.
    """
    feed = _Feed(clips, embedder, num_decoders or min(MAX_DECODERS, os.cpu_count() or 1))
    try:
        yield from _encode(feed, embedder)
    finally:
        feed.stop()


def _encode(feed: "_Feed", embedder: Embedder) -> Iterator[EmbeddedClip]:
    """Take what decoders send, in full batches as long as there is more to come."""
    under_way: dict[int, _Open] = {}
    batch: list[_Window] = []
    for message in feed:
        clip = under_way.setdefault(message.number, _Open())
        if isinstance(message, _Ended):
            clip.ended = message
            if message.error is not None:
                batch = [sent for sent in batch if sent.number != message.number]
        else:
            clip.num_sent += 1
            batch.append(message)
        if len(batch) == BATCH // 2:
            _encode_batch(batch, embedder, under_way)
            batch = []
        yield from _completed(under_way)
    if batch:
        _encode_batch(batch, embedder, under_way)
        yield from _completed(under_way)


def _encode_batch(batch: Sequence[_Window], embedder: Embedder, under_way: dict[int, _Open]) -> None:
    """Encode windows, each as filmed and mirrored, and hand every clip its own."""
    filmed = [sent.window for sent in batch]
    encoded = embedder.encode([*filmed, *(mirrored(window) for window in filmed)])
    for row, sent in enumerate(batch):
        under_way[sent.number].filmed.append(encoded.rows(row, row + 1))
        under_way[sent.number].mirrored.append(encoded.rows(len(batch) + row, len(batch) + row + 1))


def _completed(under_way: dict[int, _Open]) -> Iterator[EmbeddedClip]:
    """Clips of which nothing is missing any more; they are not under way then."""
    for number in [number for number, clip in under_way.items() if clip.is_complete]:
        clip = under_way.pop(number)
        error = clip.ended.error if clip.ended is not None else None
        if error is None:
            yield EmbeddedClip(number, joined(clip.filmed), joined(clip.mirrored))
        elif isinstance(error, UNUSABLE):
            yield EmbeddedClip(number, error=error)
        else:
            raise error


class _Feed:
    """The decoders and the queue between them and the encoder."""

    def __init__(self, clips: Sequence[Clip], embedder: Embedder, num_decoders: int) -> None:
        self._embedder = embedder
        self._clips = iter(enumerate(clips))
        self._taking = threading.Lock()
        self._messages: queue.Queue[_Window | _Ended | None] = queue.Queue(MAX_WAITING)
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._decode, name=f"decoder-{number}") for number in range(num_decoders)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[_Window | _Ended]:
        """Everything that is sent, until every decoder has finished."""
        num_running = len(self._threads)
        while num_running:
            message = self._messages.get()
            if message is None:
                num_running -= 1
            else:
                yield message

    def stop(self) -> None:
        """Stop decoding and wait until nobody does."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _decode(self) -> None:
        """One decoder: clip after clip."""
        while not self._stopped.is_set():
            with self._taking:
                number, clip = next(self._clips, (None, None))
            if number is None or clip is None:
                break
            self._send(self._cut(number, clip))
        self._send(None)

    def _cut(self, number: int, clip: Clip) -> _Ended:
        """Send the windows of a clip; gives how it ended."""
        embedder = self._embedder
        try:
            with open_windows(
                clip.path, embedder.cutting, limits=embedder.limits, start_s=clip.start_s, end_s=clip.end_s
            ) as windows:
                for window in windows:
                    if not self._send(_Window(number, window)):
                        break
        except Exception as error:  # noqa: BLE001 - handed to whoever waits, who tells apart what is expected
            return _Ended(number, error)
        return _Ended(number)

    def _send(self, message: _Window | _Ended | None) -> bool:
        """Queue a message; False where nobody will take it any more."""
        while not self._stopped.is_set():
            try:
                self._messages.put(message, timeout=STOP_POLL_S)
            except queue.Full:
                continue
            return True
        return False
