"""Embedding of many clips on one machine: several decoders feed one encoder, which always works on full batches.

    clips -> decoders -> windows, as filmed and mirrored -> batches across clips -> encoder -> embedded clips

Every batch has the same number of windows, the last one filled up: on a GPU, ONNX Runtime computes other last digits
for other batch sizes, but the same ones for a window wherever in the batch it lies and whatever lies beside it. So the
embeddings of a clip do not depend on which clips it is embedded with: docs/decisions/bulk-over-ray.md.

Decoders are processes like those of queries, each with a thread that waits for it: a video that crashes FFmpeg, or that
would take all memory, costs only itself. The queue to the encoder is bounded, so memory does not grow with the number
of clips: at worst every decoder holds the frames of one clip.
"""

import math
import os
import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.decoding.decoder import DecodedWindows, Decoder
from app.decoding.limits import DecoderLimits
from app.decoding.pool import VIDEOS_PER_PROCESS
from app.errors import ServiceError, VideoTooCostlyError, VideoUndecodableError
from model.clip_stream import MovingWindow
from model.embed import Embedder, EncodedWindows, joined
from model.errors import VideoError
from model.video.time_range import TimeRange

MAX_QUEUED_WINDOWS = 32
"""77 MB of 224 x 224 pixels."""
MAX_DECODERS = 8
CLIPS_PER_DECODER = 8
"""For fewer clips, one more process would hardly have started before they are decoded."""
DECODER_LIMITS = DecoderLimits(memory_bytes=1_024_000_000, seconds=300.0)
STOP_POLL_S = 0.1
CLIP_ERRORS = (VideoError, VideoTooCostlyError, VideoUndecodableError, OSError)
"""Errors of a clip, which is left out; any other error ends the work."""


@dataclass(frozen=True)
class ClipToEmbed:
    """The part of a video file that shows a sign."""

    path: Path
    start_s: float
    end_s: float | None
    sha256: str | None = None
    """Of the file, in hex, if known: a cluster must not embed another file that has this name on one of its nodes."""


@dataclass(frozen=True)
class EmbeddedClip:
    """The embeddings of one clip."""

    number: int
    """Of the clip, from 0."""
    filmed: EncodedWindows
    mirrored: EncodedWindows


@dataclass(frozen=True)
class FailedClip:
    """A clip that can't be used, and why."""

    number: int
    """Of the clip, from 0."""
    error: Exception
    """One of `CLIP_ERRORS`."""


ClipResult = EmbeddedClip | FailedClip


class EmbedClips(Protocol):
    """A function that embeds many clips: `embed_clips` on this machine, `app.indexing.cluster` on several."""

    def __call__(
        self, clips: Sequence[ClipToEmbed], embedder: Embedder, *, limits: DecoderLimits
    ) -> Generator[ClipResult]:
        """Yield the result of every clip as soon as it is done, in any order."""
        ...


@dataclass(frozen=True)
class _ClipWindow:
    """One window of a clip."""

    number: int
    """Of the clip."""
    window: MovingWindow


@dataclass(frozen=True)
class _ClipEnd:
    """The last window of a clip was sent, or none will be because of an error."""

    number: int
    """Of the clip."""
    error: Exception | None = None


_Message = _ClipWindow | _ClipEnd


@dataclass
class _PendingClip:
    """A clip some of whose windows are not decoded or not encoded yet."""

    num_windows: int = 0
    """That were decoded so far."""
    end: _ClipEnd | None = None
    filmed: list[EncodedWindows] = field(default_factory=list)
    mirrored: list[EncodedWindows] = field(default_factory=list)

    def result(self, number: int) -> ClipResult | None:
        """The result, once it is complete. Raises an error that is not the clip's own."""
        if self.end is None:
            return None
        if self.end.error is None:
            if len(self.filmed) < self.num_windows:
                return None
            return EmbeddedClip(number, joined(self.filmed), joined(self.mirrored))
        if isinstance(self.end.error, CLIP_ERRORS):
            return FailedClip(number, self.end.error)
        raise self.end.error


def embed_clips(
    clips: Sequence[ClipToEmbed],
    embedder: Embedder,
    num_decoders: int | None = None,
    limits: DecoderLimits = DECODER_LIMITS,
) -> Generator[ClipResult]:
    """Embed clips as filmed and mirrored; yields the result of each as soon as it is done, in any order.

    Args:
        clips: to embed.
        embedder: of clips.
        num_decoders: number of decoding processes; by default one per core, at most eight, and fewer for few clips.
        limits: of decoding one clip.

    Raises:
        ServiceError: the processes do not start.
    """
    worthwhile = math.ceil(len(clips) / CLIPS_PER_DECODER)
    num_decoders = num_decoders or min(MAX_DECODERS, os.cpu_count() or 1, worthwhile)
    decoders = _DecoderThreads(clips, embedder, num_decoders, limits)
    try:
        yield from _encode(decoders, embedder)
    finally:
        decoders.stop()


def embed_decoded(clips: Iterable[tuple[int, DecodedWindows | Exception]], embedder: Embedder) -> Iterator[ClipResult]:
    """Embed clips that are decoded already, in full batches across clips.

    Args:
        clips: the number of each clip, and its windows or why it can't be used.
        embedder: of clips.
    """
    return _encode(_messages(clips), embedder)


def _messages(clips: Iterable[tuple[int, DecodedWindows | Exception]]) -> Iterator[_Message]:
    """What decoders would send for clips that are decoded already."""
    for number, decoded in clips:
        if isinstance(decoded, Exception):
            yield _ClipEnd(number, decoded)
        else:
            yield from (_ClipWindow(number, window) for window in decoded.moving_windows())
            yield _ClipEnd(number)


def _encode(messages: Iterable[_Message], embedder: Embedder) -> Iterator[ClipResult]:
    """Encode what decoders send in full batches; only the last one is filled up."""
    pending: dict[int, _PendingClip] = {}
    batch: list[_ClipWindow] = []
    for message in messages:
        clip = pending.setdefault(message.number, _PendingClip())
        if isinstance(message, _ClipEnd):
            clip.end = message
            if message.error is not None:
                batch = [queued for queued in batch if queued.number != message.number]
        else:
            clip.num_windows += 1
            batch.append(message)
        if len(batch) == embedder.encoder.info.num_at_once // 2:
            _encode_batch(batch, embedder, pending)
            batch = []
        yield from _pop_results(pending)
    if batch:
        _encode_batch(batch, embedder, pending)
        yield from _pop_results(pending)


def _encode_batch(batch: Sequence[_ClipWindow], embedder: Embedder, pending: dict[int, _PendingClip]) -> None:
    """Encode windows, each as filmed and mirrored, and add the embeddings to their clips."""
    num_missing = embedder.encoder.info.num_at_once // 2 - len(batch)
    filmed = [each.window for each in batch] + [batch[-1].window] * num_missing
    encoded = embedder.encode([*filmed, *(embedder.mirrored(window) for window in filmed)])
    for row, each in enumerate(batch):
        pending[each.number].filmed.append(encoded.rows(row, row + 1))
        pending[each.number].mirrored.append(encoded.rows(len(filmed) + row, len(filmed) + row + 1))


def _pop_results(pending: dict[int, _PendingClip]) -> Iterator[ClipResult]:
    """Remove the clips that are complete, and yield their results."""
    for number, clip in list(pending.items()):
        if (result := clip.result(number)) is not None:
            del pending[number]
            yield result


class _DecoderThreads:
    """Threads that each decode clip after clip, and the queue between them and the encoder."""

    def __init__(
        self, clips: Sequence[ClipToEmbed], embedder: Embedder, num_decoders: int, limits: DecoderLimits
    ) -> None:
        self._embedder = embedder
        self._limits = limits
        self._clips = iter(enumerate(clips))
        self._clips_lock = threading.Lock()
        self._messages: queue.Queue[_Message | None] = queue.Queue(MAX_QUEUED_WINDOWS)
        """None from a thread that has finished."""
        self._stopped = threading.Event()
        self._decoders: dict[int, Decoder] = {}
        """By the number of the thread that uses it."""
        self._decoders_lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"decoder-{number}")
            for number in range(num_decoders)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[_Message]:
        """Everything that the decoders send, until all have finished."""
        num_running = len(self._threads)
        while num_running:
            message = self._messages.get()
            if message is None:
                num_running -= 1
            else:
                yield message

    def stop(self) -> None:
        """Stop decoding, and wait for the threads."""
        self._stopped.set()
        with self._decoders_lock:
            for decoder in self._decoders.values():
                decoder.kill()
        for thread in self._threads:
            thread.join()

    def _run(self, thread: int) -> None:
        """Decode clip after clip in one thread."""
        number = -1
        try:
            while (following := self._next_clip()) is not None:
                number, clip = following
                self._send(_ClipEnd(number, self._decode(thread, number, clip)))
        except Exception as error:  # noqa: BLE001 - sent to the thread that encodes, which raises it
            self._send(_ClipEnd(number, error))
        finally:
            self._kill_decoder(thread)
            self._send(None)

    def _next_clip(self) -> tuple[int, ClipToEmbed] | None:
        """The next clip; None after the last one, or once the work was stopped."""
        with self._clips_lock:
            return None if self._stopped.is_set() else next(self._clips, None)

    def _decode(self, thread: int, number: int, clip: ClipToEmbed) -> Exception | None:
        """Send the windows of a clip; returns the error if it can't be used."""
        embedder = self._embedder
        decoder = self._started_decoder(thread)
        try:
            with clip.path.open("rb") as video:
                time_range = TimeRange(clip.start_s, clip.end_s)
                decoded = decoder.decode_windows(video.fileno(), embedder.windowing, embedder.limits, time_range)
        except (VideoTooCostlyError, VideoUndecodableError) as error:
            self._kill_decoder(thread)
            return error
        except (VideoError, OSError) as error:
            return error
        for window in decoded.moving_windows():
            if not self._send(_ClipWindow(number, window)):
                break
        return None

    def _started_decoder(self, thread: int) -> Decoder:
        """The decoder of a thread; a new one if it has none, or if its own has decoded enough videos."""
        current = self._decoders.get(thread)
        if current is not None and current.num_done < VIDEOS_PER_PROCESS:
            return current
        self._kill_decoder(thread)
        decoder = Decoder(self._limits, self._embedder.encoder.info.estimator)
        with self._decoders_lock:
            self._decoders[thread] = decoder
        if self._stopped.is_set():  # `stop` may have missed it
            decoder.kill()
        try:
            decoder.start()
        except (VideoTooCostlyError, VideoUndecodableError) as error:  # there is no video yet that could be the cause
            raise ServiceError("a decoding process does not start; its own words are on the error stream") from error
        return decoder

    def _kill_decoder(self, thread: int) -> None:
        with self._decoders_lock:
            decoder = self._decoders.pop(thread, None)
        if decoder is not None:
            decoder.kill()

    def _send(self, message: _Message | None) -> bool:
        """Queue a message; False once the work was stopped."""
        while not self._stopped.is_set():
            try:
                self._messages.put(message, timeout=STOP_POLL_S)
            except queue.Full:
                continue
            return True
        return False
