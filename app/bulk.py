"""Many clips through one encoder: several decoders feed it, and it always works on full batches.

    clips -> decoders -> windows, as filmed and mirrored -> batches across clips -> encoder -> clips again

Every batch has the same number of windows, the last one filled up: on a GPU, ONNX Runtime computes other last digits
for other batch sizes, but the same ones for a window wherever in the batch it lies and whatever lies beside it. So the
embeddings of a clip do not depend on which clips it is embedded with: docs/decisions/bulk-over-ray.md.

Decoders are processes like those of queries, each with a thread that waits for it: a video that takes FFmpeg down, or
that would take all memory, costs itself and nothing else. What waits for the encoder is bounded, so memory does not
grow with the number of clips: at worst every decoder holds the frames of one clip.
"""

import math
import os
import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.decoding.decoder import CutClip, Decoder, DecoderLimits
from app.decoding.pool import VIDEOS_PER_PROCESS
from app.errors import ServiceError, VideoTooCostlyError, VideoUndecodableError
from app.lookup import Stretch
from model.cut import MovingWindow
from model.embed import Embedder, EncodedWindows, joined
from model.errors import VideoError

MAX_WAITING = 32
"""Windows that wait for the encoder: 77 MB of 224 x 224 pixels."""
MAX_DECODERS = 8
CLIPS_PER_DECODER = 8
"""For fewer clips one more process would hardly have started before they are decoded."""
DECODER_LIMITS = DecoderLimits(memory_bytes=1_024_000_000, seconds=300.0)
STOP_POLL_S = 0.1
UNUSABLE = (VideoError, VideoTooCostlyError, VideoUndecodableError, OSError)
"""What says that a clip can't be used; anything else ends the work."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a video file."""

    path: Path
    start_s: float
    end_s: float | None
    sha256: str | None = None
    """Of the file's bytes, in hex, where it is known: another machine must not embed another file under this name."""


@dataclass(frozen=True)
class EmbeddedClip:
    """What became of one clip."""

    number: int
    """Of the clip, from 0."""
    filmed: EncodedWindows | None = None
    mirrored: EncodedWindows | None = None
    error: Exception | None = None
    """Why it can't be used; then there are no windows."""


class EmbedClips(Protocol):
    """Whoever embeds many clips: `embed_clips` on this machine, `app.cluster` on several."""

    def __call__(self, clips: Sequence[Clip], embedder: Embedder, *, limits: DecoderLimits) -> Generator[EmbeddedClip]:
        """Give every clip as soon as it is done, in no order."""
        ...


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


def embed_clips(
    clips: Sequence[Clip],
    embedder: Embedder,
    num_decoders: int | None = None,
    limits: DecoderLimits = DECODER_LIMITS,
) -> Generator[EmbeddedClip]:
    """Embed clips as filmed and mirrored; gives each as soon as it is done, in no order.

    Args:
        clips: what to embed.
        embedder: how.
        num_decoders: processes that decode; by default one per core, at most eight, and fewer for few clips.
        limits: of decoding one clip.

    Raises:
        ServiceError: the processes do not start.
    """
    worthwhile = math.ceil(len(clips) / CLIPS_PER_DECODER)
    feed = _Feed(clips, embedder, num_decoders or min(MAX_DECODERS, os.cpu_count() or 1, worthwhile), limits)
    try:
        yield from _encode(feed, embedder)
    finally:
        feed.stop()


def encode_cuts(cuts: Iterable[tuple[int, CutClip | Exception]], embedder: Embedder) -> Iterator[EmbeddedClip]:
    """Embed clips that were cut already, in full batches across clips.

    Args:
        cuts: the number of each clip, and its windows or why it can't be used.
        embedder: how.
    """
    return _encode(_sent(cuts), embedder)


def _sent(cuts: Iterable[tuple[int, CutClip | Exception]]) -> Iterator["_Window | _Ended"]:
    """What a decoder would have sent of clips that were cut already."""
    for number, cut in cuts:
        if isinstance(cut, Exception):
            yield _Ended(number, cut)
        else:
            yield from (_Window(number, window) for window in cut.moving_windows())
            yield _Ended(number)


def _encode(feed: Iterable[_Window | _Ended], embedder: Embedder) -> Iterator[EmbeddedClip]:
    """Take what decoders send, in full batches; only the last is filled up."""
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
        if len(batch) == embedder.encoder.info.num_at_once // 2:
            _encode_batch(batch, embedder, under_way)
            batch = []
        yield from _completed(under_way)
    if batch:
        _encode_batch(batch, embedder, under_way)
        yield from _completed(under_way)


def _encode_batch(batch: Sequence[_Window], embedder: Embedder, under_way: dict[int, _Open]) -> None:
    """Encode windows, each as filmed and mirrored, and hand every clip its own."""
    missing = embedder.encoder.info.num_at_once // 2 - len(batch)
    filmed = [sent.window for sent in batch] + [batch[-1].window] * missing
    encoded = embedder.encode([*filmed, *(embedder.mirrored(window) for window in filmed)])
    for row, sent in enumerate(batch):
        under_way[sent.number].filmed.append(encoded.rows(row, row + 1))
        under_way[sent.number].mirrored.append(encoded.rows(len(filmed) + row, len(filmed) + row + 1))


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

    def __init__(self, clips: Sequence[Clip], embedder: Embedder, num_decoders: int, limits: DecoderLimits) -> None:
        self._embedder = embedder
        self._limits = limits
        self._clips = iter(enumerate(clips))
        self._taking = threading.Lock()
        self._messages: queue.Queue[_Window | _Ended | None] = queue.Queue(MAX_WAITING)
        self._stopped = threading.Event()
        self._changing = threading.Lock()
        self._decoders: dict[int, Decoder] = {}
        """By the number of the thread that waits for it."""
        self._threads = [
            threading.Thread(target=self._decode, args=(number,), name=f"decoder-{number}")
            for number in range(num_decoders)
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
        with self._changing:
            for decoder in self._decoders.values():
                decoder.kill()
        for thread in self._threads:
            thread.join()

    def _decode(self, thread: int) -> None:
        """One decoder: clip after clip."""
        number = -1
        try:
            while (taken := self._next()) is not None:
                number, clip = taken
                self._send(_Ended(number, self._cut(thread, number, clip)))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits: it is no fault of a clip
            self._send(_Ended(number, error))
        finally:
            self._end_decoder(thread)
            self._send(None)

    def _next(self) -> tuple[int, Clip] | None:
        """A clip that nobody has taken; None where there is none, or nobody waits for it any more."""
        with self._taking:
            return None if self._stopped.is_set() else next(self._clips, None)

    def _cut(self, thread: int, number: int, clip: Clip) -> Exception | None:
        """Send the windows of a clip; gives why it can't be used, where it can't."""
        embedder = self._embedder
        decoder = self._decoder(thread)
        try:
            with clip.path.open("rb") as video:
                stretch = Stretch(clip.start_s, clip.end_s)
                cut = decoder.cut(video.fileno(), embedder.cutting, embedder.limits, stretch)
        except (VideoTooCostlyError, VideoUndecodableError) as error:
            self._end_decoder(thread)
            return error
        except (VideoError, OSError) as error:
            return error
        for window in cut.moving_windows():
            if not self._send(_Window(number, window)):
                break
        return None

    def _decoder(self, thread: int) -> Decoder:
        """The process of a thread, started; a new one where it has none, or where its own has done enough."""
        known = self._decoders.get(thread)
        if known is not None and known.num_done < VIDEOS_PER_PROCESS:
            return known
        self._end_decoder(thread)
        decoder = Decoder(self._limits, self._embedder.encoder.info.estimator)
        with self._changing:
            self._decoders[thread] = decoder
        if self._stopped.is_set():  # `stop` may have missed it
            decoder.kill()
        try:
            decoder.start()
        except (VideoTooCostlyError, VideoUndecodableError) as error:  # no video was there yet to be blamed
            raise ServiceError("a decoding process does not start; its own words are on the error stream") from error
        return decoder

    def _end_decoder(self, thread: int) -> None:
        with self._changing:
            decoder = self._decoders.pop(thread, None)
        if decoder is not None:
            decoder.kill()

    def _send(self, message: _Window | _Ended | None) -> bool:
        """Queue a message; False where nobody will take it any more."""
        while not self._stopped.is_set():
            try:
                self._messages.put(message, timeout=STOP_POLL_S)
            except queue.Full:
                continue
            return True
        return False
