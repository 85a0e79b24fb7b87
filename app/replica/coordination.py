"""Coordination of the replicas of a service: which of them are alive, which jobs there are, who has the lease of each.

The coordination store is a SQLite file in the data folder. A replica that serves sends heartbeats: it adds one to a
counter of its own. The others judge by their own clocks alone: a replica whose counter has stood still for `LEASE_S` is
dead, its row is deleted, and the first replica that asks takes its job over. One that was only held up finds out before
it publishes.

    replicas    name, beats (older files have snapshot_id as well, which nothing reads)
    jobs        id, owner (the replica with the lease; empty for a job that was handed over), told (its state as JSON)

Where the file can't be opened, a database in memory takes its place: such a replica serves as well as any, but alone.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.errors import CoordinationError, JobRunningError, JobUnknownError
from app.progress import JobState, SkippedVideo

SCHEMA = 1
LEASE_S = 10.0
"""How long the heartbeat of a replica may stand still before it loses its job."""
WAIT_S = 10.0
"""How long to wait while another process writes."""
KEPT_JOBS = 32
"""Jobs that are kept, the latest ones."""
MAX_TAKEOVERS = 2
"""How often a job is taken over: one that took so many replicas down would take the next one down too."""
NOBODY = ""
"""Owner of a job that was handed over."""
TABLES = """
CREATE TABLE IF NOT EXISTS replicas (name TEXT PRIMARY KEY, beats INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, is_over INTEGER NOT NULL,
    is_cancelled INTEGER NOT NULL DEFAULT 0, num_takeovers INTEGER NOT NULL DEFAULT 0, told TEXT NOT NULL
);
"""
ORPHANS = "NOT is_over AND owner NOT IN (SELECT name FROM replicas)"
HEARTBEAT = "INSERT INTO replicas (name, beats) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET beats = beats + 1"
REGISTER = "INSERT INTO replicas (name, beats) VALUES (?, 1) ON CONFLICT (name) DO NOTHING"

log = logging.getLogger(__name__)


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
    """The replica that has its lease; empty where it was handed over and waits for another one."""
    finished_at: str | None = None
    phase: str = ""
    """What it is doing, such as `scan`, `embed` or `publish`."""
    done: int = 0
    """Steps of the phase that are done, of `total`."""
    total: int = 0
    eta_s: float | None = None
    """Seconds left in this phase, from its speed so far."""
    skipped: tuple[SkippedVideo, ...] = ()
    snapshot_id: str | None = None
    """The current snapshot after it: the one it published, or the one before where nothing had changed."""
    error: str | None = None
    """Why it failed."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Heartbeat:
    """The counter of a replica, and since when it has stood still."""

    count: int
    since_s: float


class CoordinationStore:
    """One replica's access to the store, which is opened at its first use. Safe to use from any thread."""

    def __init__(
        self, path: Path, name: str, *, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open nothing yet.

        Args:
            path: the file; created if it does not exist.
            name: of this replica; no other process ever had it.
            lease_s: how long the heartbeat of another replica may stand still.
            clock: monotonic, in seconds.
        """
        self.name = name
        self._path = path
        self._lease_s = lease_s
        self._clock = clock
        self._lock = threading.Lock()
        self._heartbeats: dict[str, Heartbeat] = {}
        """Of all replicas, by name."""
        self._database: sqlite3.Connection | None = None

    def heartbeat(self) -> None:
        """Show that this replica is alive, and delete the rows of replicas that are not.

        Raises:
            CoordinationError: the store can't be used.
        """
        with self._transaction() as database:
            database.execute(HEARTBEAT, (self.name,))
            counts: dict[str, int] = dict(database.execute("SELECT name, beats FROM replicas"))
            now = self._clock()
            latest = {name: Heartbeat(count, now) for name, count in counts.items()}
            for name, heartbeat in self._heartbeats.items():
                if counts.get(name) == heartbeat.count:
                    latest[name] = heartbeat
            dead = [name for name, each in latest.items() if now - each.since_s > self._lease_s and name != self.name]
            database.executemany("DELETE FROM replicas WHERE name = ?", ((name,) for name in dead))
            self._heartbeats = {name: heartbeat for name, heartbeat in latest.items() if name not in dead}
        for name in dead:
            log.warning(
                "replica %s sent no heartbeat for %g s; its job, if it had one, is taken over", name, self._lease_s
            )

    def leave(self) -> None:
        """Delete the row of this replica and close the store."""
        if self._database is None:
            return
        try:
            with self._transaction() as database:
                database.execute("DELETE FROM replicas WHERE name = ?", (self.name,))
        except CoordinationError as error:
            log.warning("%s", error)
        with self._lock:
            self._database.close()
            self._database = None

    def other_replicas(self) -> list[str]:
        """Names of the other replicas that are alive, or were a moment ago.

        Raises:
            CoordinationError: the store can't be used.
        """
        return [name for (name,) in self._rows("SELECT name FROM replicas WHERE name != ?", self.name)]

    def add_job(self, job: Job) -> Job:
        """Store a new job, with its lease for this replica.

        Raises:
            JobRunningError: there is one that is not over; its id is in `members`.
            CoordinationError: the store can't be used.
        """
        mine = replace(job, replica=self.name)
        with self._transaction() as database:
            running = database.execute("SELECT owner, told FROM jobs WHERE NOT is_over").fetchone()
            if running:
                raise _is_running(_parse_job(*running))
            database.execute(REGISTER, (self.name,))
            database.execute(
                "INSERT INTO jobs (id, owner, is_over, told) VALUES (?, ?, ?, ?)",
                (mine.id, self.name, mine.is_over, _serialise(mine)),
            )
            database.execute("DELETE FROM jobs WHERE number <= (SELECT max(number) FROM jobs) - ?", (KEPT_JOBS,))
        return mine

    def update_job(self, job: Job) -> bool:
        """Store the state of a job of this replica; False where another one has its lease by now.

        Raises:
            CoordinationError: the store can't be used.
        """
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE jobs SET told = ?, is_over = ?, owner = ? WHERE id = ? AND owner = ? AND NOT is_over",
                (_serialise(job), job.is_over, job.replica, job.id, self.name),
            )
            return changed.rowcount == 1

    def take_over_job(self, now: str) -> Job | None:
        """Take the lease of a job whose replica is dead or has handed it over; None where there is no such job.

        A job that was cancelled meanwhile, or has taken too many replicas down, is over then.

        Args:
            now: ISO 8601, UTC.

        Raises:
            CoordinationError: the store can't be used.
        """
        if not self._rows(f"SELECT 1 FROM jobs WHERE {ORPHANS}"):
            return None
        with self._transaction() as database:
            row = database.execute(
                f"SELECT owner, told, is_cancelled, num_takeovers FROM jobs WHERE {ORPHANS}"
            ).fetchone()
            if row is None:
                return None
            database.execute(REGISTER, (self.name,))
            owner, state, is_cancelled, num_takeovers = row
            job = _parse_job(self.name, state)
            if is_cancelled:
                job = replace(job, state=JobState.CANCELLED, finished_at=now, eta_s=None)
            elif owner != NOBODY and num_takeovers >= MAX_TAKEOVERS:
                job = replace(job, state=JobState.FAILED, finished_at=now, eta_s=None, error=_too_often(num_takeovers))
            else:
                job = replace(job, state=JobState.QUEUED, phase="", done=0, total=0, eta_s=None, skipped=())
            database.execute(
                "UPDATE jobs SET owner = ?, told = ?, is_over = ?, num_takeovers = num_takeovers + ? WHERE id = ?",
                (self.name, _serialise(job), job.is_over, owner != NOBODY, job.id),
            )
        log.warning("job %s of %s is %s here now", job.id, owner or "a replica that was stopped", job.state)
        return job

    def cancel(self, job_id: str) -> None:
        """Ask the replica that has a job to stop it.

        Raises:
            CoordinationError: the store can't be used.
        """
        with self._transaction() as database:
            database.execute("UPDATE jobs SET is_cancelled = 1 WHERE id = ?", (job_id,))

    def is_cancelled(self, job_id: str) -> bool:
        """Whether a job was asked to stop.

        Raises:
            CoordinationError: the store can't be used.
        """
        return bool(self._rows("SELECT 1 FROM jobs WHERE id = ? AND is_cancelled", job_id))

    def job(self, job_id: str) -> Job:
        """A job as it was last stored.

        Raises:
            JobUnknownError: there is none of this id.
            CoordinationError: the store can't be used.
        """
        for owner, state in self._rows("SELECT owner, told FROM jobs WHERE id = ?", job_id):
            return _parse_job(owner, state)
        raise JobUnknownError(f"there is no job {job_id[:40]}; the last {KEPT_JOBS} jobs are kept")

    def jobs(self) -> list[Job]:
        """The jobs that are kept, the latest first.

        Raises:
            CoordinationError: the store can't be used.
        """
        rows = self._rows("SELECT owner, told FROM jobs ORDER BY number DESC LIMIT ?", KEPT_JOBS)
        return [_parse_job(owner, state) for owner, state in rows]

    def _open(self) -> sqlite3.Connection:
        """The file, to which a change could be written; or a database in memory."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return _open_shared(str(self._path))
        except (sqlite3.Error, OSError) as error:
            log.warning(
                "%s can't be used (%s): this replica does not know of others, nor they of its jobs; make the folder"
                " writable, or remove the file while nothing runs, and start again",
                self._path, error,
            )  # fmt: skip
            return _open(":memory:")

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows that a query gives."""
        with self._connection() as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that excludes other writers from its start."""
        with self._connection() as database, database:
            database.execute("BEGIN IMMEDIATE")
            yield database

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The database, held by this thread; SQLite's errors become CoordinationError."""
        with self._lock:
            try:
                self._database = self._database or self._open()
                yield self._database
            except sqlite3.Error as error:
                raise CoordinationError(
                    f"the coordination store, {self._path}, can't be used: {error}; make room on its disk, and see"
                    " that the folder is writable"
                ) from error


def _open_shared(path: str) -> sqlite3.Connection:
    """Open a file that other processes open too: while one of them creates it, SQLite does not wait but fails."""
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
        database.execute(
            f"PRAGMA user_version = {SCHEMA}"
        )  # always, so that a disk that can't be written is noticed here
    except BaseException:
        database.close()
        raise
    return database


def _too_often(num_takeovers: int) -> str:
    return f"{num_takeovers + 1} replicas, one after the other, ended while they had this job; their logs say why"


def _is_running(job: Job) -> JobRunningError:
    where = f"on replica {job.replica}" if job.replica else "on no replica yet"
    return JobRunningError(f"job {job.id} ({job.kind}) is {job.state} {where}; wait for it or cancel it", job_id=job.id)


def _serialise(job: Job) -> str:
    return json.dumps(asdict(job), ensure_ascii=False)


def _parse_job(owner: str, state: str) -> Job:
    """A job from the columns of its row."""
    fields = json.loads(state)
    fields["skipped"] = tuple(SkippedVideo(**each) for each in fields["skipped"])
    fields["state"] = JobState(fields["state"])
    return Job(**{**fields, "replica": owner})
