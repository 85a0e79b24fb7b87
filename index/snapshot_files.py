"""The files of a snapshot: how each is written and read, and how it comes to the disk whole."""

import fcntl
import gc
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from index.entries import Entry
from index.protocol import Floats

STAGING_PREFIX = ".staging-"

FIELDS = [(each.name, each.default) for each in fields(Entry)]


def write_vectors(path: Path, vectors: Floats) -> None:
    """Write [N, D] float32 as an .npy file."""
    with path.open("wb") as file:
        np.save(file, vectors)


def read_vectors(path: Path) -> Floats:
    """[N, D] float32, mapped: pages are read when a hit is scored."""
    vectors: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def write_entries(path: Path, entries: Sequence[Entry]) -> None:
    """Write a line of JSON for each entry."""
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(_line(entry) for entry in entries)


def read_entries(path: Path) -> list[Entry]:
    """The entries, in the order of the vectors."""
    # Lines hold no raw line break, so all of them make one JSON array: much faster than one call for each.
    lines = path.read_bytes().decode().removesuffix("\n").replace("\n", ",")
    return [_entry(values) for values in json.loads(f"[{lines}]")]


@contextmanager
def only_writer(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees when the process ends, however it ends.

    Raises:
        BlockingIOError: another process holds it, and `wait` is False.
    """
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def replace_line(path: Path, line: str) -> None:
    """Write a file of one line in one step."""
    aside = path.with_name(f"{STAGING_PREFIX}{path.name}")
    aside.write_text(f"{line}\n")
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Bring a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def without_collecting() -> Iterator[None]:
    """Make many objects at once. All of them stay: looking for garbage meanwhile takes half as long as making them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _entry(values: dict[str, Any]) -> Entry:
    """An entry from its line; the dict is used up."""
    if "tags" in values:
        values["tags"] = tuple(values["tags"])
    return Entry(**values)


def _line(entry: Entry) -> str:
    """An entry as JSON, without what is as usual."""
    values = {name: value for name, default in FIELDS if (value := getattr(entry, name)) != default}
    return json.dumps(values, ensure_ascii=False) + "\n"
