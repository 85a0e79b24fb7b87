"""Searches for many callers at once: decoded outside, encoded in shared batches, remembered for a while."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from anyio import to_thread

from app.batcher import Batcher
from app.decoding.decoder import Decoder
from app.errors import ServiceError, StretchError, VectorError
from app.lookup import WHOLE, Lookup, Stretch
from app.metrics import Metrics
from app.places import Places
from app.queries import KeptQueries
from app.services import READY, Services
from index.catalogue import Filters
from index.dictionary import Dictionary
from model.cut import Cutting
from model.embed import ClipEmbedding, EncodedWindows, clip_embedding
from model.encoder import Floats
from model.pooling import pool

T = TypeVar("T")

log = logging.getLogger(__name__)


class Searches:
    """What searches share. Belongs to one event loop; made when it runs."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        settings = services.settings
        self._services = services
        self._metrics = metrics
        self._cutting = Cutting.of(services.encoder.info)
        self._decoders = services.take_decoders()
        self._batcher = Batcher(services.encoder, services.encoder.info.num_at_once, metrics.batch_windows.observe)
        self.decoders_state = "warming up"
        """What `/readyz` tells of the decoding processes."""
        self._starting = asyncio.get_running_loop().create_task(self._start())
        self.kept = KeptQueries(settings.query_cache_mb * 1_000_000)
        self.places = Places(settings.max_searches, "SIGNDEX_MAX_SEARCHES")

    async def look_up(self, video: int, *, k: int, stretch: Stretch, filters: Filters) -> Lookup:
        """Find the signs nearest to a video; the same as `lookup.look_up`, beside other searches.

        Args:
            video: an open file.
            k: how many signs, >= 1.
            stretch: the part that shows the sign.
            filters: which entries are looked at.

        Raises:
            OverloadedError: too many searches are in the works.
            VideoError: the video can't be used, and why.
            VideoTooCostlyError: it takes more time or memory than allowed.
            EncoderMismatchError: the dictionary was made by another encoder.
            IndexServerError: the server that searches can't be used.
        """
        with self.places.taken():
            dictionary = self._services.searchable()
            began = time.perf_counter()
            limits = self._services.settings.video_limits
            cut = await self.decode(lambda decoder: decoder.cut(video, self._cutting, limits, stretch))
            decoded = time.perf_counter()
            encoding = await self._batcher.encode(cut)
            windows = EncodedWindows(cut.start_frames, cut.motion, encoding)
            clip = clip_embedding(windows, cut.seen, self._cutting, self._services.encoder.info)
            encoded = time.perf_counter()
            found = await self._nearest(dictionary, clip.vector, k, filters)
        return replace(
            found,
            query_id=self.kept.keep(clip),
            clip=clip,
            decode_s=decoded - began,
            encode_s=encoded - decoded,
        )

    async def again(self, query_id: str, *, k: int, stretch: Stretch, filters: Filters) -> Lookup:
        """Look a query up again, or a part of it, without decoding and encoding.

        Raises:
            QueryUnknownError: it is not kept.
            StretchError: nothing moves in the part.
        """
        clip = self.kept.get(query_id)
        vector = vector_of(clip, self._cutting.window_s, stretch, self._services.encoder.info.num_parts)
        found = await self._nearest(self._services.searchable(), vector, k, filters)
        return replace(found, query_id=query_id, clip=clip)

    async def nearest(self, vector: Sequence[float], *, k: int, filters: Filters) -> Lookup:
        """Find the signs nearest to a vector of any length.

        Raises:
            VectorError: it has another size than the dictionary's, or no direction.
        """
        dim = self._services.encoder.info.vector_dim
        if len(vector) != dim:
            raise VectorError(f"the vector has {len(vector)} numbers; those of this encoder have {dim}")
        return await self._nearest(self._services.searchable(), unit(vector), k, filters)

    async def decode(self, task: Callable[[Decoder], T]) -> T:
        """Do something with a decoder, see `DecoderPool.run`."""
        replaced = self._decoders.num_replaced
        try:
            return await self._decoders.run(task)
        finally:
            self._metrics.decoders_replaced.inc(self._decoders.num_replaced - replaced)

    @property
    def num_windows_waiting(self) -> int:
        """Windows of all searches that are in no batch yet."""
        return self._batcher.num_waiting

    @property
    def decoder_pids(self) -> list[int]:
        """Of the decoding processes."""
        return self._decoders.pids

    async def close(self) -> None:
        """End the processes; whoever still waits gets an error."""
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

    async def _nearest(self, dictionary: Dictionary, vector: Floats, k: int, filters: Filters) -> Lookup:
        began = time.perf_counter()
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
            search_s=time.perf_counter() - began,
        )


def vector_of(clip: ClipEmbedding, window_s: float, stretch: Stretch, num_parts: int) -> Floats:
    """The vector of a part of a clip, pooled from its windows: those inside, or else the one that is nearest to it.

    Unlike a search with the same stretch it keeps the windows of the whole: they may begin a few frames earlier or
    later, and show the crop that suited the whole.

    Args:
        clip: the whole.
        window_s: seconds that a window shows.
        stretch: the part, in seconds of the video.
        num_parts: the encoder's, of the vector.

    Raises:
        StretchError: the part lies outside of the clip, or nothing moves in it.
    """
    if stretch == WHOLE:
        return clip.vector
    begin_s, last_s = float(clip.start_s[0]), float(clip.start_s[-1]) + window_s
    end_s = last_s if stretch.end_s is None else stretch.end_s
    if stretch.start_s >= last_s or end_s <= begin_s:
        raise StretchError(
            f"the stretch from {stretch.start_s:g} to {end_s:g} s lies outside of the clip, which lasts from"
            f" {begin_s:g} to {last_s:g} s"
        )
    inside = (clip.start_s >= stretch.start_s - TOLERANCE_S) & (clip.start_s + window_s <= end_s + TOLERANCE_S)
    if not inside.any():
        inside[np.argmin(np.abs(clip.start_s + window_s / 2 - (stretch.start_s + end_s) / 2))] = True
    rows = inside & clip.encoded
    if not rows.any():
        raise StretchError(f"nothing moves between {stretch.start_s:g} and {end_s:g} s; choose another stretch")
    return pool(clip.embeddings[rows], clip.activity[rows], num_parts)


TOLERANCE_S = 0.02
"""Half a frame: times come rounded."""


def unit(vector: Sequence[float]) -> Floats:
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
