"""The videos of the dictionary and pictures of them, as files that may be given away."""

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from app.errors import VideoMissingError
from app.lookup import Stretch
from app.places import Places
from app.searches import Searches
from app.services import Services
from index.entries import Entry

PICTURE_SIZE_PX = 256
KEPT_PICTURE_BYTES = 32_000_000
MAX_PICTURES = 64
"""Pictures that are made or wait at the same time."""

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


def video_of(services: Services, entry: Entry) -> Path:
    """The file of an entry, inside the dictionary folder.

    Raises:
        VideoMissingError: it is not there, or leads out of the folder.
    """
    root = services.video_folder()
    path = (root / entry.video).resolve()
    if not path.is_relative_to(root) or path.suffix.lower() not in MEDIA_TYPES or not path.is_file():
        raise VideoMissingError(f"the video of entry {entry.id!r} is not in the dictionary folder any more; reindex it")
    return path


def media_type(path: Path) -> str:
    """What a video file is, by its suffix."""
    return MEDIA_TYPES[path.suffix.lower()]


@dataclass(frozen=True)
class Picture:
    """A JPEG and the tag by which browsers know it again."""

    content: bytes
    etag: str


class Pictures:
    """Makes pictures of entries, and keeps the latest. Belongs to one event loop."""

    def __init__(self, services: Services, searches: Searches) -> None:
        self._services = services
        self._searches = searches
        self._places = Places(MAX_PICTURES, "pictures")
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._num_bytes = 0

    def etag_of(self, entry: Entry) -> str:
        """The tag of an entry's picture: another one as soon as the file or the stretch is another.

        Raises:
            VideoMissingError: there is no video.
        """
        path = video_of(self._services, entry)
        state = path.stat()
        facts = (str(path), state.st_mtime_ns, state.st_size, entry.start_s, entry.end_s, PICTURE_SIZE_PX)
        return f'"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}"'

    async def of(self, entry: Entry) -> Picture:
        """The middle of an entry's clip, decoded outside the server like any video.

        Raises:
            OverloadedError: too many pictures are being made.
            VideoMissingError: there is no video.
            VideoError: it can't be decoded.
        """
        etag = self.etag_of(entry)
        if etag in self._kept:
            self._kept.move_to_end(etag)
            return Picture(self._kept[etag], etag)
        with self._places.taken():
            content = await self._made(entry)
        self._keep(etag, content)
        return Picture(content, etag)

    async def _made(self, entry: Entry) -> bytes:
        number = os.open(video_of(self._services, entry), os.O_RDONLY | os.O_CLOEXEC)
        try:
            limits = self._services.settings.video_limits
            stretch = Stretch(entry.start_s, entry.end_s)
            return await self._searches.decode(
                lambda decoder: decoder.picture(number, PICTURE_SIZE_PX, limits, stretch)
            )
        finally:
            os.close(number)

    def _keep(self, etag: str, content: bytes) -> None:
        self._num_bytes += len(content) - len(self._kept.get(etag, b""))
        self._kept[etag] = content
        while self._num_bytes > KEPT_PICTURE_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._num_bytes -= len(dropped)
