"""Files of dictionary entries as they are given out: videos, and thumbnails of them."""

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from app.errors import VideoMissingError
from app.replica.services import Services
from app.search.admission import Admission
from app.search.service import SearchService
from index.entries import Entry
from model.video.time_range import TimeRange

THUMBNAIL_SIZE_PX = 256
CACHE_BYTES = 32_000_000
"""Of thumbnails that are kept in memory."""
MAX_IN_PROGRESS = 64
"""Thumbnails that are made, or wait, at the same time."""

MEDIA_TYPES = {
    ".3gp": "video/3gpp",
    ".avi": "video/x-msvideo",
    ".flv": "video/x-flv",
    ".gif": "image/gif",
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpeg",
    ".mts": "video/mp2t",
    ".ogv": "video/ogg",
    ".ts": "video/mp2t",
    ".webm": "video/webm",
    ".wmv": "video/x-ms-wmv",
}
"""By suffix; the machine's own table may lack some, or say that .ts is a programming language."""


def video_path(services: Services, entry: Entry) -> Path:
    """The video file of an entry, inside the dictionary folder.

    Raises:
        VideoMissingError: it does not exist, or leads out of the folder.
    """
    root = services.video_folder()
    path = (root / entry.video).resolve()
    if not path.is_relative_to(root) or path.suffix.lower() not in MEDIA_TYPES or not path.is_file():
        raise VideoMissingError(f"the video of entry {entry.id!r} is not in the dictionary folder any more; reindex it")
    return path


def media_type(path: Path) -> str:
    """The media type of a video file, by its suffix."""
    return MEDIA_TYPES[path.suffix.lower()]


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG and its entity tag."""

    content: bytes
    etag: str


class Thumbnails:
    """Makes thumbnails of entries, and keeps the latest in memory. Belongs to one event loop."""

    def __init__(self, services: Services, search_service: SearchService) -> None:
        self._services = services
        self._search_service = search_service
        self._admission = Admission(MAX_IN_PROGRESS, "thumbnails")
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._num_bytes = 0

    def etag(self, entry: Entry) -> str:
        """The entity tag of an entry's thumbnail, which changes with the file and the time range.

        Raises:
            VideoMissingError: there is no video.
        """
        path = video_path(self._services, entry)
        state = path.stat()
        decisive = (str(path), state.st_mtime_ns, state.st_size, entry.start_s, entry.end_s, THUMBNAIL_SIZE_PX)
        return f'"{hashlib.sha256(repr(decisive).encode()).hexdigest()[:32]}"'

    async def get(self, entry: Entry) -> Thumbnail:
        """The middle frame of an entry's clip, decoded outside the server like any video.

        Raises:
            OverloadedError: too many thumbnails are being made.
            VideoMissingError: there is no video.
            VideoError: it can't be decoded.
        """
        etag = self.etag(entry)
        if etag in self._cache:
            self._cache.move_to_end(etag)
            return Thumbnail(self._cache[etag], etag)
        with self._admission.slot():
            content = await self._decode(entry)
        self._add(etag, content)
        return Thumbnail(content, etag)

    async def _decode(self, entry: Entry) -> bytes:
        descriptor = os.open(video_path(self._services, entry), os.O_RDONLY | os.O_CLOEXEC)
        try:
            limits = self._services.settings.video_limits
            time_range = TimeRange(entry.start_s, entry.end_s)
            return await self._search_service.decode(
                lambda decoder: decoder.decode_thumbnail(descriptor, THUMBNAIL_SIZE_PX, limits, time_range)
            )
        finally:
            os.close(descriptor)

    def _add(self, etag: str, content: bytes) -> None:
        self._num_bytes += len(content) - len(self._cache.get(etag, b""))
        self._cache[etag] = content
        while self._num_bytes > CACHE_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._num_bytes -= len(dropped)
