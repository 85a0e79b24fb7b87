"""Looks one video up in this process; the service gives the same hits, beside other searches."""

import time
from dataclasses import dataclass

from index.catalogue import NO_FILTERS, Filters
from index.dictionary import Dictionary, Hit
from model.embed import ClipEmbedding, Embedder
from model.encoder import Encoder, EncoderInfo, Encoding, Floats, Frames, Ints
from model.video import VideoLimits, VideoSource
from model.video.time_range import TimeRange


@dataclass(frozen=True)
class Lookup:
    """One query and its hits."""

    query_id: str | None
    """By which it can be looked up again; None where it is not cached."""
    encoder_id: str
    snapshot_id: str
    vector: Floats
    """[D], unit length, of the query."""
    clip: ClipEmbedding | None
    """None where a vector was looked up instead of a video."""
    hits: tuple[Hit, ...]
    decode_s: float
    """Seconds to decode the video into windows."""
    encode_s: float
    search_s: float


class TimedEncoder:
    """An encoder that measures the time it takes, for one query."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.seconds = 0.0

    @property
    def info(self) -> EncoderInfo:
        """See `Encoder`."""
        return self._encoder.info

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """See `Encoder`."""
        began = time.perf_counter()
        try:
            return self._encoder.encode(windows, visible)
        finally:
            self.seconds += time.perf_counter() - began


def look_up(
    source: VideoSource,
    *,
    encoder: Encoder,
    dictionary: Dictionary,
    limits: VideoLimits,
    k: int,
    time_range: TimeRange,
    filters: Filters = NO_FILTERS,
) -> Lookup:
    """Find the signs nearest to a video.

    Args:
        source: a path, or a seekable file object.
        encoder: the one the dictionary was made by.
        dictionary: where to look.
        limits: what is refused.
        k: how many signs, >= 1.
        time_range: the part of the video that shows the sign.
        filters: which entries are searched.

    Raises:
        VideoError: the video can't be used, and why.
        EncoderMismatchError: the dictionary was made by another encoder.
    """
    began = time.perf_counter()
    timed = TimedEncoder(encoder)
    clip = Embedder(timed, limits=limits).embed(source, start_s=time_range.start_s, end_s=time_range.end_s)
    embedded = time.perf_counter()
    hits = dictionary.search(clip.vector, k=k, encoder_id=encoder.info.encoder_id, filters=filters)
    return Lookup(
        query_id=None,
        encoder_id=encoder.info.encoder_id,
        snapshot_id=dictionary.snapshot_id,
        vector=clip.vector,
        clip=clip,
        hits=hits,
        decode_s=embedded - began - timed.seconds,
        encode_s=timed.seconds,
        search_s=time.perf_counter() - embedded,
    )
