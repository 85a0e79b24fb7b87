"""Where the replicas of a service meet: which jobs there are, who has them, and who serves which snapshot.

The board is a SQLite file in the data folder. A replica that serves beats: it adds one to a number of its own. Others
judge by their own clocks alone: whose number has stood still for `LEASE_S` has ended, is taken off the board, and a job
that it had belongs to whoever asks for it first. One that was only held up finds out before it publishes.

    replicas    name, beats, snapshot_id
    jobs        id, owner (a name, or nothing for a job that was handed over), what is known of it

A board that can't be opened is replaced by one in memory: then a replica is alone, and serves as well as any.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from app.errors import BoardError, JobRunningError, JobUnknownError
from app.progress import Skipped

SCHEMA = 1
LEASE_S = 10.0
"""How long the number of a replica may stand still."""
WAIT_S = 10.0
"""How long to wait for another process that writes."""
KEPT_JOBS = 32
"""Jobs that can still be asked for."""
MAX_TAKEOVERS = 2
"""How often a job is taken over: what has ended so many replicas would end the next one as well."""
NOBODY = ""
TABLES = """
CREATE TABLE IF NOT EXISTS replicas (name TEXT PRIMARY KEY, beats INTEGER NOT NULL, snapshot_id TEXT);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, is_over INTEGER NOT NULL,
    is_cancelled INTEGER NOT NULL DEFAULT 0, num_takeovers INTEGER NOT NULL DEFAULT 0, told TEXT NOT NULL
);
"""
ORPHANS = "NOT is_over AND owner NOT IN (SELECT name FROM replicas)"
BEAT = """
INSERT INTO replicas VALUES (?, 1, ?)
ON CONFLICT (name) DO UPDATE SET beats = beats + 1, snapshot_id = excluded.snapshot_id
"""

log = logging.getLogger(__name__)


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Job:
    """A job at one moment."""

    id: str
    kind: str
    mode: str
    state: JobState
    created_at: str
    """ISO 8601, UTC."""
    replica: str = NOBODY
    """Who has it; nobody, where it was handed over and waits for another one."""
    finished_at: str | None = None
    phase: str = ""
    """What it is doing: `scan`, `embed`, `publish`."""
    done: int = 0
    """Steps of the phase that are done, of `total`."""
    total: int = 0
    eta_s: float | None = None
    """Seconds left in this phase, from its pace so far."""
    skipped: tuple[Skipped, ...] = ()
    snapshot_id: str | None = None
    """What is current after it: what it published, or, where nothing had changed, the one of before."""
    error: str | None = None
    """Why it failed."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Beat:
    """A number of a replica, and since when it has stood still."""

    number: int
    since_s: float


class Board:
    """One replica's hand on the board, which is opened when it is needed first. Safe to use from any thread."""

    def __init__(
        self, path: Path, name: str, *, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Do nothing yet.

        Args:
            path: the file; made when it does not exist.
            name: of this replica; no other process ever had it.
            lease_s: how long the number of another one may stand still.
            clock: seconds; never goes back.
        """
        self.name = name
        self._path = path
        self._lease_s = lease_s
        self._clock = clock
        self._lock = threading.Lock()
        self._beats: dict[str, Beat] = {}
        self._database: sqlite3.Connection | None = None

    def beat(self, snapshot_id: str | None) -> None:
        """Say that this replica lives and what it serves; take replicas off the board that do not live any more.

        Raises:
            BoardError: the board can't be used.
        """
        with self._changing() as database:
            database.execute(BEAT, (self.name, snapshot_id))
            found: dict[str, int] = dict(database.execute("SELECT name, beats FROM replicas"))
            now = self._clock()
            fresh = {name: Beat(number, now) for name, number in found.items()}
            for name, beat in self._beats.items():
                if found.get(name) == beat.number:
                    fresh[name] = beat
            ended = [name for name, beat in fresh.items() if now - beat.since_s > self._lease_s and name != self.name]
            database.executemany("DELETE FROM replicas WHERE name = ?", ((name,) for name in ended))
            self._beats = {name: beat for name, beat in fresh.items() if name not in ended}
        for name in ended:
            log.warning("replica %s was not heard of for %g s; whatever it was at is taken over", name, self._lease_s)

    def leave(self) -> None:
        """Take this replica off the board and close it."""
        if self._database is None:
            return
        try:
            with self._changing() as database:
                database.execute("DELETE FROM replicas WHERE name = ?", (self.name,))
        except BoardError as error:
            log.warning("%s", error)
        with self._lock:
            self._database.close()
            self._database = None

    def others(self) -> list[str]:
        """The other replicas that live, or did a moment ago.

        Raises:
            BoardError: the board can't be used.
        """
        return [name for (name,) in self._rows("SELECT name FROM replicas WHERE name != ?", self.name)]

    def snapshots_in_use(self) -> set[str]:
        """The snapshots that replicas serve, by what they last said.

        Raises:
            BoardError: the board can't be used.
        """
        return {name for (name,) in self._rows("SELECT snapshot_id FROM replicas WHERE snapshot_id IS NOT NULL")}

    def post(self, job: Job) -> Job:
        """Put a job on the board that this replica has.

        Raises:
            JobRunningError: there is one that is not over; its id is in `members`.
            BoardError: the board can't be used.
        """
        mine = replace(job, replica=self.name)
        with self._changing() as database:
            running = database.execute("SELECT owner, told FROM jobs WHERE NOT is_over").fetchone()
            if running:
                raise _is_running(_job(*running))
            self._be_on(database)
            database.execute(
                "INSERT INTO jobs (id, owner, is_over, told) VALUES (?, ?, ?, ?)",
                (mine.id, self.name, mine.is_over, _told(mine)),
            )
            database.execute("DELETE FROM jobs WHERE number <= (SELECT max(number) FROM jobs) - ?", (KEPT_JOBS,))
        return mine

    def tell(self, job: Job) -> bool:
        """Say how far a job of this replica is; False where another one has it by now.

        Raises:
            BoardError: the board can't be used.
        """
        with self._changing() as database:
            changed = database.execute(
                "UPDATE jobs SET told = ?, is_over = ?, owner = ? WHERE id = ? AND owner = ? AND NOT is_over",
                (_told(job), job.is_over, job.replica, job.id, self.name),
            )
            return changed.rowcount == 1

    def take_over(self, now: str) -> Job | None:
        """A job that nobody has any more, and that is this replica's from now on; None where there is none.

        One that was cancelled meanwhile, or has ended too many replicas, is over then.

        Args:
            now: ISO 8601, UTC.

        Raises:
            BoardError: the board can't be used.
        """
        if not self._rows(f"SELECT 1 FROM jobs WHERE {ORPHANS}"):
            return None
        with self._changing() as database:
            row = database.execute(
                f"SELECT owner, told, is_cancelled, num_takeovers FROM jobs WHERE {ORPHANS}"
            ).fetchone()
            if row is None:
                return None
            self._be_on(database)
            owner, told, is_cancelled, num_takeovers = row
            job = _job(self.name, told)
            if is_cancelled:
                job = replace(job, state=JobState.CANCELLED, finished_at=now, eta_s=None)
            elif owner != NOBODY and num_takeovers >= MAX_TAKEOVERS:
                job = replace(job, state=JobState.FAILED, finished_at=now, eta_s=None, error=_too_often(num_takeovers))
            else:
                job = replace(job, state=JobState.QUEUED, phase="", done=0, total=0, eta_s=None, skipped=())
            database.execute(
                "UPDATE jobs SET owner = ?, told = ?, is_over = ?, num_takeovers = num_takeovers + ? WHERE id = ?",
                (self.name, _told(job), job.is_over, owner != NOBODY, job.id),
            )
        log.warning("job %s of %s is %s here now", job.id, owner or "a replica that was stopped", job.state)
        return job

    def cancel(self, job_id: str) -> None:
        """Ask whoever has a job to stop it.

        Raises:
            BoardError: the board can't be used.
        """
        with self._changing() as database:
            database.execute("UPDATE jobs SET is_cancelled = 1 WHERE id = ?", (job_id,))

    def is_cancelled(self, job_id: str) -> bool:
        """Whether a job was asked to stop.

        Raises:
            BoardError: the board can't be used.
        """
        return bool(self._rows("SELECT 1 FROM jobs WHERE id = ? AND is_cancelled", job_id))

    def job(self, job_id: str) -> Job:
        """A job as it was when it was told last.

        Raises:
            JobUnknownError: there is none of this id.
            BoardError: the board can't be used.
        """
        for owner, told in self._rows("SELECT owner, told FROM jobs WHERE id = ?", job_id):
            return _job(owner, told)
        raise JobUnknownError(f"there is no job {job_id[:40]}; the last {KEPT_JOBS} jobs are kept")

    def jobs(self) -> list[Job]:
        """The jobs that are kept, the latest first.

        Raises:
            BoardError: the board can't be used.
        """
        rows = self._rows("SELECT owner, told FROM jobs ORDER BY number DESC LIMIT ?", KEPT_JOBS)
        return [_job(owner, told) for owner, told in rows]

    def _be_on(self, database: sqlite3.Connection) -> None:
        """Put this replica on the board where it is not: what it has would be taken from it at once."""
        database.execute("INSERT INTO replicas VALUES (?, 1, NULL) ON CONFLICT (name) DO NOTHING", (self.name,))

    def _opened(self) -> sqlite3.Connection:
        """The file, which has taken a change; or a database in memory."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return _open_together(str(self._path))
        except (sqlite3.Error, OSError) as error:
            log.warning(
                "%s can't be used (%s): this replica does not know of others, nor they of its jobs; make the folder"
                " writable, or remove the file while nothing runs, and start again",
                self._path, error,
            )  # fmt: skip
            return _open(":memory:")

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with self._tried() as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Change the board: wholly or not at all, with nobody in between."""
        with self._tried() as database, database:
            database.execute("BEGIN IMMEDIATE")
            yield database

    @contextmanager
    def _tried(self) -> Iterator[sqlite3.Connection]:
        """The database; what is wrong is said where it does not do what it should."""
        with self._lock:
            try:
                self._database = self._database or self._opened()
                yield self._database
            except sqlite3.Error as error:
                raise BoardError(
                    f"the board of the replicas, {self._path}, can't be used: {error}; make room on its disk, and see"
                    " that the folder is writable"
                ) from error


def _open_together(path: str) -> sqlite3.Connection:
    """Open a file that other processes open as well: while one makes it, SQLite lets others fail instead of wait."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return _open(path)
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if code & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _open(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=WAIT_S, check_same_thread=False, isolation_level=None)
    try:
        with closing(database.execute("PRAGMA user_version")) as row:
            [version] = row.fetchone()
        if version not in (0, SCHEMA):
            raise sqlite3.DatabaseError(f"it has schema {version}; this version reads {SCHEMA}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(TABLES)
        database.execute(f"PRAGMA user_version = {SCHEMA}")  # written always: a disk that takes nothing is found here
    except BaseException:
        database.close()
        raise
    return database


def _too_often(num_takeovers: int) -> str:
    return f"{num_takeovers + 1} replicas, one after the other, ended while they had this job; their logs say why"


def _is_running(job: Job) -> JobRunningError:
    where = f"on replica {job.replica}" if job.replica else "on no replica yet"
    return JobRunningError(f"job {job.id} ({job.kind}) is {job.state} {where}; wait for it or cancel it", job_id=job.id)


def _told(job: Job) -> str:
    return json.dumps(asdict(job), ensure_ascii=False)


def _job(owner: str, told: str) -> Job:
    """A job from its row."""
    fields = json.loads(told)
    fields["skipped"] = tuple(Skipped(**each) for each in fields["skipped"])
    fields["state"] = JobState(fields["state"])
    return Job(**{**fields, "replica": owner})
