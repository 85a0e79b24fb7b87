"""Searches of many callers at once: decoded in other processes, encoded in shared batches, cached for a while."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from anyio import to_thread

from app.decoding.decoder import Decoder
from app.decoding.pool import DecoderPool
from app.errors import ServiceError, VectorError
from app.replica.services import READY, Services
from app.search.admission import Admission
from app.search.batcher import Batcher
from app.search.offline import Lookup
from app.search.query_cache import QueryCache
from index.catalogue import Filters
from index.dictionary import Dictionary
from model.clip_stream import WindowingConfig
from model.embed import ClipEmbedding, EncodedWindows, clip_embedding
from model.encoder import Floats
from model.errors import TimeRangeError
from model.pooling import pool
from model.video.time_range import WHOLE_VIDEO, TimeRange

T = TypeVar("T")

TOLERANCE_S = 0.02
"""Half a frame: times come rounded."""

log = logging.getLogger(__name__)


class SearchService:
    """Everything that searches share. Belongs to one event loop; made when it runs."""

    def __init__(self, services: Services, decoders: DecoderPool, observe_batch: Callable[[int], None]) -> None:
        """Start the batcher, and wait for the decoding processes in the background.

        Args:
            services: encoder, dictionary and settings.
            decoders: decoding processes, which may still be starting; `close` ends them.
            observe_batch: called with the number of windows of every batch.
        """
        settings = services.settings
        self._services = services
        self._windowing = WindowingConfig.of(services.encoder.info)
        self._decoders = decoders
        self._batcher = Batcher(services.encoder, services.encoder.info.num_at_once, observe_batch)
        self.decoders_state = "warming up"
        """State of the decoding processes, for `/readyz`."""
        self._starting = asyncio.get_running_loop().create_task(self._start())
        self.query_cache = QueryCache(settings.query_cache_mb * 1_000_000)
        self.admission = Admission(settings.max_searches, "SIGNDEX_MAX_SEARCHES")

    async def look_up(self, video: int, *, k: int, time_range: TimeRange, filters: Filters) -> Lookup:
        """Find the signs nearest to a video; the same as `offline.look_up`, beside other searches.

        Args:
            video: an open file.
            k: how many signs, >= 1.
            time_range: the part that shows the sign.
            filters: which entries are searched.

        Raises:
            OverloadedError: too many searches are in progress.
            VideoError: the video can't be used, and why.
            VideoTooCostlyError: it takes more time or memory than allowed.
            EncoderMismatchError: the dictionary was made by another encoder.
            IndexServerError: the server that searches can't be used.
        """
        with self.admission.slot():
            dictionary = self._services.searchable_dictionary()
            started = time.perf_counter()
            limits = self._services.settings.video_limits
            windows = await self.decode(
                lambda decoder: decoder.decode_windows(video, self._windowing, limits, time_range)
            )
            decoded = time.perf_counter()
            encoding = await self._batcher.encode(windows)
            encoded_windows = EncodedWindows(windows.start_frames, windows.motion, encoding)
            clip = clip_embedding(encoded_windows, windows.info, self._windowing, self._services.encoder.info)
            encoded = time.perf_counter()
            found = await self._search(dictionary, clip.vector, k, filters)
        return replace(
            found,
            query_id=self.query_cache.add(clip),
            clip=clip,
            decode_s=decoded - started,
            encode_s=encoded - decoded,
        )

    async def look_up_again(self, query_id: str, *, k: int, time_range: TimeRange, filters: Filters) -> Lookup:
        """Look up a cached query, or a part of it, without decoding and encoding.

        Raises:
            QueryUnknownError: it is not cached.
            TimeRangeError: nothing moves in the part.
        """
        clip = self.query_cache.get(query_id)
        vector = part_vector(clip, self._windowing.window_s, time_range, self._services.encoder.info.num_parts)
        found = await self._search(self._services.searchable_dictionary(), vector, k, filters)
        return replace(found, query_id=query_id, clip=clip)

    async def look_up_vector(self, vector: Sequence[float], *, k: int, filters: Filters) -> Lookup:
        """Find the signs nearest to a vector of any length.

        Raises:
            VectorError: it has another size than the dictionary's, or no direction.
        """
        dim = self._services.encoder.info.vector_dim
        if len(vector) != dim:
            raise VectorError(f"the vector has {len(vector)} numbers; those of this encoder have {dim}")
        return await self._search(self._services.searchable_dictionary(), unit_vector(vector), k, filters)

    async def decode(self, task: Callable[[Decoder], T]) -> T:
        """Run a task on a decoder, see `DecoderPool.run`."""
        return await self._decoders.run(task)

    @property
    def num_decoders_replaced(self) -> int:
        """Decoding processes that were ended and replaced since the start."""
        return self._decoders.num_replaced

    @property
    def num_windows_waiting(self) -> int:
        """Windows of all searches that are in no batch yet."""
        return self._batcher.num_waiting

    @property
    def decoder_pids(self) -> list[int]:
        """Of the decoding processes."""
        return self._decoders.pids

    async def close(self) -> None:
        """End the processes; callers that still wait get an error."""
        self._starting.cancel()
        await asyncio.wait([self._starting])
        await self._batcher.close()
        await asyncio.to_thread(self._decoders.close)

    async def _start(self) -> None:
        try:
            await self._decoders.start()
        except ServiceError as error:
            log.error("the decoding processes do not start: %s", error)
            self.decoders_state = f"failed to start: {error}"
        else:
            self.decoders_state = READY

    async def _search(self, dictionary: Dictionary, vector: Floats, k: int, filters: Filters) -> Lookup:
        started = time.perf_counter()
        encoder_id = self._services.encoder.info.encoder_id
        search = partial(dictionary.search, vector, k=k, encoder_id=encoder_id, filters=filters)
        hits = await to_thread.run_sync(search)
        return Lookup(
            query_id=None,
            encoder_id=encoder_id,
            snapshot_id=dictionary.snapshot_id,
            vector=vector,
            clip=None,
            hits=hits,
            decode_s=0.0,
            encode_s=0.0,
            search_s=time.perf_counter() - started,
        )


def part_vector(clip: ClipEmbedding, window_s: float, time_range: TimeRange, num_parts: int) -> Floats:
    """The vector of a part of a clip, pooled from its windows: those inside, or else the one that is nearest to it.

    Unlike a search with the same time range it keeps the windows of the whole: they may start a few frames earlier or
    later, and show the crop that suited the whole.

    Args:
        clip: the whole.
        window_s: seconds that a window shows.
        time_range: the part, in seconds of the video.
        num_parts: the encoder's, of the vector.

    Raises:
        TimeRangeError: the part lies outside of the clip, or nothing moves in it.
    """
    if time_range == WHOLE_VIDEO:
        return clip.vector
    first_s, last_s = float(clip.start_s[0]), float(clip.start_s[-1]) + window_s
    end_s = last_s if time_range.end_s is None else time_range.end_s
    if time_range.start_s >= last_s or end_s <= first_s:
        raise TimeRangeError(
            f"the part from {time_range.start_s:g} to {end_s:g} s lies outside of the clip, which lasts from"
            f" {first_s:g} to {last_s:g} s"
        )
    inside = (clip.start_s >= time_range.start_s - TOLERANCE_S) & (clip.start_s + window_s <= end_s + TOLERANCE_S)
    if not inside.any():
        inside[np.argmin(np.abs(clip.start_s + window_s / 2 - (time_range.start_s + end_s) / 2))] = True
    rows = inside & clip.encoded
    if not rows.any():
        raise TimeRangeError(f"nothing moves between {time_range.start_s:g} and {end_s:g} s; choose another part")
    return pool(clip.embeddings[rows], clip.activity[rows], num_parts)


def unit_vector(vector: Sequence[float]) -> Floats:
    """A vector scaled to length 1, in float32, which numbers that come in need not fit into.

    Raises:
        VectorError: it has no direction.
    """
    numbers = np.array(vector, np.float64)
    largest = np.abs(numbers).max()
    if not 0 < largest < np.inf:
        raise VectorError(f"the largest number of the vector is {largest:g}; a direction is needed")
    scaled = numbers / largest  # so that no square is too large
    return np.asarray(scaled / np.linalg.norm(scaled), np.float32)
