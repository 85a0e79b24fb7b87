"""Uploads that somebody with bad intentions would send: made here, nothing is downloaded."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from fractions import Fraction

import av
import numpy as np
from numpy.random import Generator

from tests.clips import moving_square, write_clip

CONTAINERS = ("moov", "trak", "mdia", "minf", "stbl", "edts", "udta", "moof", "traf", "mvex", "dinf", "meta")
TABLES = (b"stts", b"stss", b"stsz", b"stsc", b"stco", b"co64", b"ctts", b"elst", b"dref", b"stsd", b"trun")
EDGES = (0, 1, 7, 8, 9, 15, 16, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


def valid(container: str, codec: str, **options: object) -> bytes:
    """A small video of half a second."""
    target = io.BytesIO()
    pictures = moving_square(14, width=64, height=48, centre=(32, 24))
    write_clip(target, pictures, codec=codec, container=container, **options)
    return target.getvalue()


def bases() -> Mapping[str, bytes]:
    """Valid videos, which mutations begin with."""
    return {
        "mp4 h264": valid("mp4", "libx264"),
        "fragmented mp4": valid("mp4", "libx264", container_options={"movflags": "frag_keyframe+empty_moov"}),
        "mov mjpeg": valid("mov", "mjpeg", pixel_format="yuvj420p"),
        "webm vp8": valid("webm", "libvpx"),
        "mkv h264": valid("matroska", "libx264"),
        "avi mjpeg": valid("avi", "mjpeg", pixel_format="yuvj420p"),
        "mpegts h264": valid("mpegts", "libx264"),
        "gif": valid("gif", "gif", pixel_format="rgb8", picture_format="rgb24"),
    }


def box(kind: bytes, payload: bytes = b"", size: int | None = None) -> bytes:
    """One MP4 box; its size may lie."""
    return struct.pack(">I4s", len(payload) + 8 if size is None else size & 0xFFFFFFFF, kind) + payload


def boxes(data: bytes) -> list[int]:
    """Where the boxes of an MP4 begin, inner ones too."""
    found, waiting = [], [(0, len(data))]
    while waiting:
        start, end = waiting.pop()
        while start + 8 <= end:
            size, kind = struct.unpack(">I4s", data[start : start + 8])
            if size < 8 or start + size > end:
                break
            found.append(start)
            if kind.decode("latin-1") in CONTAINERS:
                waiting.append((start + 8, start + size))
            start += size
    return sorted(found)


def mutant(base: bytes, rng: Generator) -> bytes:
    """A video with one to four things wrong."""
    data = base
    for _ in range(int(rng.integers(1, 5))):
        data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
    return data


def _flipped(data: bytes, rng: Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), size=int(rng.integers(1, 33))):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _box_of_another_size(data: bytes, rng: Generator) -> bytes:
    places = boxes(data)
    return _edged(data, int(rng.choice(places)) if places else _any_place(data, rng), rng)


def _table_of_another_count(data: bytes, rng: Generator) -> bytes:
    """In these boxes the number of what follows stands 4 or 8 bytes behind the name, and values after it."""
    places = [place for kind in TABLES if (place := data.find(kind)) >= 0]
    behind = int(rng.choice([4, 8, 12, 16, 20]))
    return _edged(data, int(rng.choice(places)) + behind if places else _any_place(data, rng), rng)


def _header_of_another_number(data: bytes, rng: Generator) -> bytes:
    """The first bytes of a file hold its geometry, sizes and offsets, whatever the format."""
    return _edged(data, int(rng.integers(0, min(512, len(data)))), rng)


def _edged(data: bytes, place: int, rng: Generator) -> bytes:
    """A number in the file replaced by one at the edge of something."""
    value = int(rng.choice(EDGES))
    return data[:place] + struct.pack(">I" if rng.random() < 0.7 else "<I", value) + data[place + 4 :]


def _cut_off(data: bytes, rng: Generator) -> bytes:
    return data[: _any_place(data, rng) + 1]


def _part_twice(data: bytes, rng: Generator) -> bytes:
    start, end = sorted((_any_place(data, rng), _any_place(data, rng)))
    place = _any_place(data, rng)
    return data[:place] + data[start : end + 1] + data[place:]


def _part_missing(data: bytes, rng: Generator) -> bytes:
    place = _any_place(data, rng)
    return data[:place] + data[place + int(rng.integers(1, 65)) :] or b"\0"


def _noise(data: bytes, rng: Generator) -> bytes:
    place = _any_place(data, rng)
    noise = rng.integers(0, 256, size=int(rng.integers(1, 257)), dtype=np.uint8).tobytes()
    return data[:place] + noise + data[place + len(noise) :]


def _any_place(data: bytes, rng: Generator) -> int:
    return int(rng.integers(len(data)))


MUTATIONS: tuple[Callable[[bytes, Generator], bytes], ...] = (
    _flipped,
    _box_of_another_size,
    _box_of_another_size,
    _table_of_another_count,
    _table_of_another_count,
    _header_of_another_number,
    _cut_off,
    _part_twice,
    _part_missing,
    _noise,
)


def handmade(url: str, path: str) -> Mapping[str, bytes]:
    """Uploads that are each meant for one weakness.

    Args:
        url: of a server; nobody may ask it for anything.
        path: of a valid video; nobody may open it.
    """
    mp4 = valid("mp4", "libx264")
    return {
        **bombs(mp4),
        **references(url, path),
        "html before mp4": b"<html><script>alert(1)</script></html>" + mp4,
        "mp4 with html behind it": mp4 + b"<html><script>alert(1)</script></html>",
        "mp4 with a zip behind it": mp4 + zipped(b"x" * 1000),
        "zip of a video": zipped(mp4),
        "zip bomb": zipped(b"\0" * 20_000_000),
        "gzip bomb": gzip.compress(b"\0" * 20_000_000),
        "shell script": b"#!/bin/sh\ntouch /tmp/owned\n" * 10,
        "elf": b"\x7fELF" + b"\0" * 2000,
        "pdf": b"%PDF-1.7\n" + b"x" * 2000,
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "png": picture("png", "rgb24"),
        "jpeg": picture("mjpeg", "yuvj420p"),
        "wav": b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + b"\0" * 100,
        "zeros": b"\0" * 100_000,
        "one byte": b"\0",
        "ftyp alone": mp4[:28],
        "ebml head alone": b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff",
    }


def bombs(mp4: bytes) -> Mapping[str, bytes]:
    """Small files that ask for much."""
    return {
        "boxes 50,000 deep": mp4[:28] + deep(50_000),
        "boxes that all begin at once": mp4[:28] + b"".join(box(b"moov", size=0xFFFFFFFF) for _ in range(10_000)),
        "200,000 empty boxes": mp4[:28] + box(b"free") * 200_000 + mp4[28:],
        "box of size zero": mp4[:28] + box(b"moov", size=0) + mp4[28:],
        "mp4 of 65535 x 65535": resized(mp4, 65535, 65535),
        "gif of 65535 x 65535": gif(65535, 65535, 1),
        "gif of 60000 x 1 and 200 frames": gif(60000, 1, 200),
        "gif of a million frames": gif(1, 1, 1_000_000),
        "gif of 500 frames as large as allowed": gif(4096, 2304, 500),
        "avi of 30000 x 30000": valid("avi", "mjpeg", pixel_format="yuvj420p").replace(
            struct.pack("<II", 64, 48), struct.pack("<II", 30000, 30000)
        ),
        "mp4 that lasts for ever": lasting(mp4, 0xFFFFFFFF),
        "mp4 of four thousand million pictures": counted(mp4, b"stts", 0xFFFFFFFF),
        "mp4 of a table without end": counted(mp4, b"stsz", 0x7FFFFFFF),
    }


def references(url: str, path: str) -> Mapping[str, bytes]:
    """Files that name other files, for players that follow."""
    mov = valid("mov", "mjpeg", pixel_format="yuvj420p")
    dref = mov.index(b"dref") - 4
    entry = box(b"url ", b"\0\0\0\0" + path.encode() + b"\0")
    alias = box(b"dref", struct.pack(">II", 0, 1) + entry)
    return {
        "playlist of a url": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n".encode(),
        "playlist of a file": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n".encode(),
        "list to join": f"ffconcat version 1.0\nfile '{path}'\n".encode(),
        "list to join, a url": f"ffconcat version 1.0\nfile '{url}/a.mp4'\n".encode(),
        "dash manifest": f'<?xml version="1.0"?><MPD><Period><BaseURL>{url}/</BaseURL></Period></MPD>'.encode(),
        "session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "reference movie": box(b"moov", box(b"rmra", box(b"rmda", box(b"rdrf", b"\0\0\0\0url " + url.encode())))),
        "mov whose pictures lie elsewhere": mov[:dref] + alias + mov[dref + len(alias) :],
        "asx": f'<asx version="3"><entry><ref href="{url}/a"/></entry></asx>'.encode(),
    }


def deep(depth: int) -> bytes:
    """Boxes in boxes in boxes."""
    sizes = range(8 * depth, 0, -8)
    return b"".join(struct.pack(">I4s", size, b"moov") for size in sizes)


def gif(width: int, height: int, num_frames: int) -> bytes:
    """A GIF of which every frame is one dot, whatever the size it declares."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"!\xf9\x04\0\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0"
    return head + frame * num_frames + b";"


def resized(mp4: bytes, width: int, height: int) -> bytes:
    """An H.264 track that declares another size in its sample description."""
    place = mp4.index(b"avc1", mp4.index(b"stsd")) + 4 + 24
    return mp4[:place] + struct.pack(">HH", width, height) + mp4[place + 4 :]


def lasting(mp4: bytes, duration: int) -> bytes:
    """A video that declares another duration, for itself and for its track."""
    changed = bytearray(mp4)
    for kind in (b"mvhd", b"mdhd"):
        place = mp4.index(kind) + 4 + 16
        changed[place : place + 4] = struct.pack(">I", duration)
    return bytes(changed)


def counted(mp4: bytes, table: bytes, count: int) -> bytes:
    """A table that declares another number of rows."""
    place = mp4.index(table) + (8 if table != b"stsz" else 12)
    return mp4[:place] + struct.pack(">I", count) + mp4[place + 4 :]


def zipped(content: bytes) -> bytes:
    """A ZIP archive of one file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../a.mp4", content)
    return target.getvalue()


def picture(codec: str, pixel_format: str) -> bytes:
    """One still picture."""
    encoder = av.VideoCodecContext.create(codec, "w")
    encoder.width = encoder.height = 64
    encoder.pix_fmt, encoder.time_base = pixel_format, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode()])
