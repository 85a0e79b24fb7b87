"""The cache of window embeddings: a reindex embeds only clips that are new or changed.

One SQLite file, by content: a video that is renamed, or listed under another gloss, is not embedded again. Losing it
costs time, never data. So whatever is wrong with it becomes a note, and the work goes on without what it held.

Embeddings are kept in float32, as the encoder gave them: a vector pooled from the cache is bit for bit the one that was
pooled when the clip was embedded, and a snapshot does not depend on what happened to be cached. Half precision would
save half of a file that is bounded anyway.
"""

import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from index.protocol import Floats, Ints

SCHEMA = 2
WHOLE = -1.0
"""Stands for the end of the video: NULL would make every row another one."""
WAIT_S = 30
"""How long to wait for another process that writes."""
TABLE = """
CREATE TABLE IF NOT EXISTS windows (
    video_sha256 TEXT, encoder_id TEXT, settings TEXT, start_s REAL, end_s REAL, mirrored INTEGER,
    num INTEGER NOT NULL, dim INTEGER NOT NULL, data BLOB NOT NULL, crc32 INTEGER NOT NULL, used_at REAL NOT NULL,
    run TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (video_sha256, encoder_id, settings, start_s, end_s, mirrored)
)
"""
FROM_SCHEMA_1 = "ALTER TABLE windows ADD COLUMN run TEXT NOT NULL DEFAULT ''"
KEY = "video_sha256 = ? AND encoder_id = ? AND settings = ? AND start_s = ? AND end_s = ? AND mirrored = ?"


@dataclass(frozen=True)
class ClipKey:
    """What decides the embeddings of a clip."""

    video_sha256: str
    """Of the file's bytes, in hex."""
    encoder_id: str
    settings: str
    """How the clip becomes windows: `Embedder.settings` of model."""
    start_s: float
    end_s: float | None
    mirrored: bool


@dataclass(frozen=True)
class WindowEmbeddings:
    """Those windows of a clip that were encoded."""

    start_frames: Ints
    """[N] number of the first frame of each."""
    embedding: Floats
    """[N, D]."""
    activity: Floats
    """[N, 2] in [0, 1], left and right hand."""


class EmbeddingCache:
    """An open cache file. Not to be shared between threads; processes may share the file."""

    def __init__(self, path: Path, run: str | None = None) -> None:
        """Open the file.

        Args:
            path: made when it does not exist.
            run: name of the run that embeds now; unique by default.
        """
        self._path = path
        self._run = run or secrets.token_hex(6)
        self.notes: list[str] = []
        """What went wrong with it so far."""
        self._database: sqlite3.Connection | None = None
        try:
            self._database = _open(path)
        except (sqlite3.DatabaseError, OSError) as error:
            self._recover(error)

    def get(self, key: ClipKey, *, of_this_run: bool = False) -> WindowEmbeddings | None:
        """What is kept for a clip; None where nothing is, or what is was damaged.

        Args:
            key: the clip.
            of_this_run: only what was put under the run of this cache.
        """
        run = self._run if of_this_run else None
        with self._noting_errors() as database:
            found = database.execute(
                f"SELECT num, dim, data, crc32 FROM windows WHERE {KEY} AND coalesce(run = ?, 1)", (*_columns(key), run)
            ).fetchone()
            return _unpack(*found) if found else None
        return None

    def put(self, rows: Iterable[tuple[ClipKey, WindowEmbeddings]]) -> None:
        """Keep clips, all of them or none."""
        packed = [(*_columns(key), *_pack(windows), time.time(), self._run) for key, windows in rows]
        with self._noting_errors() as database, database:
            database.executemany(f"INSERT OR REPLACE INTO windows VALUES ({', '.join('?' * 12)})", packed)

    def touch(self, keys: Iterable[ClipKey]) -> None:
        """Note that clips were used, so that pruning takes others first."""
        now = time.time()
        with self._noting_errors() as database, database:
            database.executemany(f"UPDATE windows SET used_at = ? WHERE {KEY}", ((now, *_columns(key)) for key in keys))

    def prune(self, max_bytes: int) -> int:
        """Remove what was not used for longest until the embeddings take at most so many bytes.

        Returns:
            How many rows went. Their place in the file is used again.
        """
        with self._noting_errors() as database, database:
            newest_first = database.execute(
                "SELECT rowid, sum(length(data)) OVER (ORDER BY used_at DESC, rowid DESC) FROM windows"
            )
            doomed = [(rowid,) for rowid, num_bytes in newest_first if num_bytes > max_bytes]
            database.executemany("DELETE FROM windows WHERE rowid = ?", doomed)
            return len(doomed)
        return 0

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def __enter__(self) -> "EmbeddingCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _noting_errors(self) -> Iterator[sqlite3.Connection]:
        """Run the block on the database; what the database can't do becomes a note, and the block ends there."""
        try:
            yield self._database or _nothing()
        except sqlite3.DatabaseError as error:
            self._recover(error)

    def _recover(self, error: Exception) -> None:
        """Set a file aside that is no whole database and begin a new one; where that does not help, do without."""
        self.close()
        code = getattr(error, "sqlite_errorcode", None)
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._note(f"the cache {self._path} can't be used: {error}; clips are embedded without it")
            return
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._database = _open(self._path)
        except (sqlite3.DatabaseError, OSError) as further:
            self._note(f"the cache {self._path} is damaged ({error}) and can't be begun anew: {further}")
        else:
            self._note(f"the cache {self._path} was damaged ({error}); it lies in {aside.name}, a new one was begun")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=WAIT_S, check_same_thread=False)
    try:
        with closing(database.execute("PRAGMA user_version")) as row:
            [version] = row.fetchone()
        if version == 1:
            database.execute(FROM_SCHEMA_1)
        elif version not in (0, SCHEMA):
            database.execute("DROP TABLE IF EXISTS windows")
        database.execute("PRAGMA journal_mode = WAL")
        # In WAL mode a crash never damages the file; at worst the last clips are embedded again.
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(TABLE)
        database.execute(f"PRAGMA user_version = {SCHEMA}")
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


def _nothing() -> sqlite3.Connection:
    """A database that holds nothing, in place of one that can't be used."""
    database = sqlite3.connect(":memory:")
    database.execute(TABLE)
    return database


def _columns(key: ClipKey) -> tuple[object, ...]:
    *columns, end_s, mirrored = astuple(key)
    return (*columns, WHOLE if end_s is None else end_s, mirrored)


def _pack(windows: WindowEmbeddings) -> tuple[int, int, bytes, int]:
    """Number of windows, size of an embedding, all numbers as little-endian bytes, and their checksum."""
    num, dim = windows.embedding.shape
    data = b"".join(
        (
            windows.start_frames.astype("<i4").tobytes(),
            windows.embedding.astype("<f4").tobytes(),
            windows.activity.astype("<f4").tobytes(),
        )
    )
    return num, dim, data, zlib.crc32(data)


def _unpack(num: int, dim: int, data: bytes, crc32: int) -> WindowEmbeddings | None:
    """None where the bytes are not those that were packed: SQLite itself would not notice."""
    if zlib.crc32(data) != crc32 or len(data) != 4 * num * (1 + dim + 2):
        return None
    numbers = np.frombuffer(data, "<f4")
    return WindowEmbeddings(
        np.frombuffer(data, "<i4", num).astype(np.int64),
        numbers[num : num * (1 + dim)].reshape(num, dim).astype(np.float32, copy=False),
        numbers[num * (1 + dim) :].reshape(num, 2).astype(np.float32, copy=False),
    )
