"""One published file, whole and verified, or no file at all.

While it arrives the file is called NAME.part, which an interrupted download leaves for the next one to go on from; it
gets its own name after its size and sha256 are right. NAME.part.etag says which version the server was sending.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from model.errors import FetchError

OTHER_WAYS = "get the file by other means and hand it over with --from FILE, or name a mirror with --url URL"
MAKE_ROOM = "Make room, or name a folder on another disk with --data DIR"
WAIT_AND_RETRY = {408, 425, 429, 500, 502, 503, 504}
UNREACHABLE = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError)
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class ReleaseAsset:
    """A published file, and how to verify a copy."""

    name: str
    """File name in the downloads folder."""
    origin: str
    """Who published it where, in words."""
    url: str
    num_bytes: int
    sha256: str
    """64 hex digits."""
    licence: str
    licence_url: str


@dataclass(frozen=True)
class RetryPolicy:
    """How often a server that does not answer is asked again."""

    attempts: int = 5
    """Attempts in a row that bring nothing new before it is given up."""
    first_wait_s: float = 1.0
    """Pause after the first failure; it doubles with each further one."""
    timeout_s: float = 30.0
    """Silence of the server that counts as a failure."""


DEFAULT_RETRY_POLICY = RetryPolicy()


class ProgressCallbacks(Protocol):
    """Progress callbacks of a download."""

    def on_message(self, sentence: str) -> None:
        """Called with what a person may want to read."""
        ...

    def on_bytes(self, num_bytes: int) -> None:
        """Called with how many bytes of the file are on the disk."""
        ...


class _TransientError(Exception):
    """Worth another attempt; the message says what happened."""


def download(
    asset: ReleaseAsset,
    folder: Path,
    callbacks: ProgressCallbacks,
    *,
    retry: RetryPolicy = DEFAULT_RETRY_POLICY,
    reserve_bytes: int = 0,
) -> Path:
    """Bring a file into a folder, going on from where an earlier attempt stopped.

    Args:
        asset: what to bring. A file of that name which is there and verified is left alone.
        folder: made when it is missing.
        callbacks: called with the bytes that arrived and before every retry.
        retry: how often and how long to try.
        reserve_bytes: room that must be left on the disk afterwards.

    Returns:
        The verified file.

    Raises:
        FetchError: it did not arrive, or is not what was published, or can't be stored. After trouble with the network
            the .part stays for the next attempt; after a wrong checksum or size, or on a full disk, nothing stays.
    """
    final = folder / asset.name
    make_folder(folder)
    with _only_download_in(folder):
        if final.exists():
            with suppress(FetchError):
                verify(final, asset)
                return final
            callbacks.on_message(f"{final} is damaged; it is downloaded again")
            final.unlink()
        part = part_of(final)
        require_room(folder, asset.num_bytes - num_bytes_of(part) + reserve_bytes)
        _complete(part, asset, callbacks, retry)
        _verify_or_discard(part, asset)
        with room_or_refusal(part):
            publish(part, final)
        _etag_file(part).unlink(missing_ok=True)
    return final


def verify(path: Path, asset: ReleaseAsset) -> None:
    """Check that a file is the published one, byte for byte.

    Raises:
        FetchError: it is missing, unreadable, or its size or sha256 differ.
    """
    if not path.is_file():
        raise FetchError(f"{path} is not a file; expected is a copy of {asset.url}")
    try:
        num_bytes = path.stat().st_size
        sha256 = sha256_of(path) if num_bytes == asset.num_bytes else None
    except OSError as error:
        raise FetchError(f"{path} can't be read: {error.strerror}") from error
    if sha256 is None:
        raise FetchError(f"{path} has {num_bytes:,} bytes; {asset.url} has {asset.num_bytes:,}")
    if sha256 != asset.sha256:
        raise FetchError(f"{path} has sha256 {sha256}; {asset.url} was published with {asset.sha256}")


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_of(path: Path) -> Path:
    """The name a file has until it is whole."""
    return path.with_name(f"{path.name}.part")


def num_bytes_of(path: Path) -> int:
    """Size of a file, 0 for one that is not there."""
    return path.stat().st_size if path.exists() else 0


def publish(part: Path, final: Path) -> None:
    """Give a complete file its name, so that a power cut leaves the old file or the new one."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(final)
    descriptor = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder that files can be written to.

    Raises:
        FetchError: it can't be made, or not be written to.
    """
    advice = "name a folder that can be written to with --data DIR"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"the folder {folder} can't be made ({error.strerror}); {advice}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FetchError(f"the folder {folder} can't be written to; {advice}")


def require_room(folder: Path, num_bytes: int) -> None:
    """Refuse to start what the disk has no room for.

    Raises:
        FetchError: fewer bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise FetchError(f"{folder} has {free:,} bytes free; {num_bytes:,} are needed. {MAKE_ROOM}")


@contextmanager
def room_or_refusal(path: Path) -> Iterator[None]:
    """While `path` is written: turn a full disk into a refusal that leaves nothing of it behind.

    Raises:
        FetchError: the disk, the quota or the largest allowed file is full, or the file can't be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            discard(path)
            raise FetchError(f"no room to write {path} ({error.strerror}); it was removed. {MAKE_ROOM}") from error
        raise FetchError(f"{path} can't be written: {error.strerror}") from error


def discard(part: Path) -> None:
    """Remove a file that is of no use, with what was remembered of it."""
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)


def _etag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


@contextmanager
def _only_download_in(folder: Path) -> Iterator[None]:
    """Hold the folder, so that two downloads never write one file. The system lets go of it when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FetchError(f"another download is writing to {folder}; wait for it to end") from error
        yield
    finally:
        os.close(descriptor)


def _complete(part: Path, asset: ReleaseAsset, callbacks: ProgressCallbacks, retry: RetryPolicy) -> None:
    """Ask for what is missing until it is there. Getting further than ever starts the count of failures anew.

    Raises:
        FetchError: the server refuses, or too many attempts in a row brought nothing.
    """
    failures, furthest = 0, num_bytes_of(part)
    # Bytes are counted and resumed as stored, so the server must not compress them on the way.
    with httpx.Client(
        follow_redirects=True, timeout=retry.timeout_s, headers={"Accept-Encoding": "identity"}
    ) as client:
        while num_bytes_of(part) != asset.num_bytes:
            try:
                _receive(client, asset, part, callbacks)
            except (_TransientError, *UNREACHABLE) as error:
                failures = 1 if num_bytes_of(part) > furthest else failures + 1
                furthest = max(furthest, num_bytes_of(part))
                if failures >= retry.attempts:
                    raise _given_up(error, failures, part, asset) from error
                wait_s = retry.first_wait_s * 2.0 ** (failures - 1)
                callbacks.on_message(f"{_reason(error)}; next attempt in {wait_s:g} s")
                time.sleep(wait_s)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise FetchError(f"{asset.url} can't be fetched: {_reason(error)}; {OTHER_WAYS}") from error


def _given_up(error: Exception, failures: int, part: Path, asset: ReleaseAsset) -> FetchError:
    kept = ""
    if num_bytes_of(part):
        kept = f" {num_bytes_of(part):,} of {asset.num_bytes:,} bytes are kept: the same command goes on from there."
    return FetchError(
        f"{asset.url} could not be fetched in {failures} attempts: {_reason(error)}.{kept} "
        f"Without a network, {OTHER_WAYS}"
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _receive(client: httpx.Client, asset: ReleaseAsset, part: Path, callbacks: ProgressCallbacks) -> None:
    """One request for the rest of the file, written to `part` as it arrives."""
    done = num_bytes_of(part)
    if done > asset.num_bytes:
        discard(part)
        done = 0
    with client.stream("GET", asset.url, headers=_range_headers(part, done)) as response:
        _refuse_status(response, part, asset)
        start = _start_of(response, done, part, asset)
        if start == 0:
            _remember_etag(part, response)
        _write(response, part, start, asset, callbacks)
    if (done := num_bytes_of(part)) < asset.num_bytes:
        raise _TransientError(f"the answer ended after {done:,} of {asset.num_bytes:,} bytes")


def _write(response: httpx.Response, part: Path, start: int, asset: ReleaseAsset, callbacks: ProgressCallbacks) -> None:
    done = start
    with room_or_refusal(part), part.open("ab" if start else "wb") as file:
        callbacks.on_bytes(done)
        for chunk in response.iter_raw():
            done += len(chunk)
            if done > asset.num_bytes:
                discard(part)
                raise FetchError(f"{asset.url} sends more than the {asset.num_bytes:,} bytes published; {OTHER_WAYS}")
            file.write(chunk)
            callbacks.on_bytes(done)


def _range_headers(part: Path, done: int) -> dict[str, str]:
    """Ask for the rest; where the file has changed since, If-Range makes the server send the whole."""
    if not done:
        return {}
    etag = _etag_file(part)
    condition = {"If-Range": etag.read_text()} if etag.exists() else {}
    return {"Range": f"bytes={done}-", **condition}


def _remember_etag(part: Path, response: httpx.Response) -> None:
    """Keep the ETag for resuming. Weak ones (W/) may not be used with If-Range (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    with room_or_refusal(part):
        if etag.startswith('"'):
            _etag_file(part).write_text(etag)
        else:
            _etag_file(part).unlink(missing_ok=True)


def _refuse_status(response: httpx.Response, part: Path, asset: ReleaseAsset) -> None:
    status = response.status_code
    said = f"{response.url.host} answered {status} {response.reason_phrase}"
    if status in WAIT_AND_RETRY:
        raise _TransientError(said)
    if status == 416:  # the server's file ends before ours does
        discard(part)
        raise _TransientError(f"{said}; starting again from the first byte")
    if status not in {200, 206}:
        raise FetchError(f"{asset.url} is not to be had: {said}; {OTHER_WAYS}")


def _start_of(response: httpx.Response, done: int, part: Path, asset: ReleaseAsset) -> int:
    """Where in the file the answer begins: 0 where the server ignored the range."""
    if response.status_code == 200:
        _refuse_size(response.headers.get("Content-Length"), part, asset)
        return 0
    content_range = response.headers.get("Content-Range", "")
    stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
    if stated is None or int(stated[1]) != done:
        discard(part)
        raise _TransientError(
            f"asked for the bytes from {done}, {response.url.host} answered {content_range!r}; starting again"
        )
    _refuse_size(stated[2], part, asset)
    return done


def _refuse_size(stated: str | None, part: Path, asset: ReleaseAsset) -> None:
    if stated and stated.isdecimal() and int(stated) != asset.num_bytes:
        discard(part)
        raise FetchError(f"{asset.url} has {int(stated):,} bytes; {asset.num_bytes:,} were published; {OTHER_WAYS}")


def _verify_or_discard(part: Path, asset: ReleaseAsset) -> None:
    try:
        verify(part, asset)
    except FetchError as error:
        discard(part)
        raise FetchError(
            f"{error}. The file was removed; the same command downloads it afresh. If that fails too, {OTHER_WAYS}"
        ) from error
