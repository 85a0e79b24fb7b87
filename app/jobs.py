"""Background jobs: one at a time among all replicas, in a thread of the one that has it, with how far they are."""

import datetime
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from app.board import NOBODY, Board, Job, JobState
from app.errors import EXPECTED_ERRORS, BoardError, JobCancelledError
from app.progress import Progress, Skipped
from index.snapshot import Manifest

log = logging.getLogger(__name__)

Work = Callable[[Job, Progress], Manifest]
"""What a job does; gives the snapshot that is current after it."""


class Jobs:
    """The jobs of all replicas, of which this one has at most one. Safe to use from any thread."""

    def __init__(self, board: Board, work: Work) -> None:
        """Have no job yet.

        Args:
            board: where all replicas see them.
            work: does one.
        """
        self._board = board
        self._work = work
        self._lock = threading.Lock()
        self._own: Job | None = None
        """The latest job that this replica had, as it is now."""
        self._told: Job | None = None
        """The same as the board knows it."""
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._is_lost = False
        self._is_closing = False

    def start(self, kind: str, mode: str) -> Job:
        """Start a job.

        Raises:
            JobRunningError: one is running, here or on another replica; its id is in `members`.
            BoardError: the board can't be used.
        """
        job = self._posted(kind, mode)
        self._begin(job)
        return job

    def do(self, kind: str, mode: str, shown: Progress) -> Manifest:
        """Do a job here and now, and tell `shown` as well how far it is.

        Raises:
            JobRunningError: one is running already; its id is in `members`.
            BoardError: the board can't be used.
            Exception: what the work raises; the job has failed then.
        """
        return self._do(self._posted(kind, mode), shown)

    def get(self, job_id: str) -> Job:
        """A job as it is now; one of another replica as it was at its last beat.

        Raises:
            JobUnknownError: there is none of this id.
            BoardError: the board can't be used.
        """
        own = self._own
        return own if own is not None and own.id == job_id else self._board.job(job_id)

    def all(self) -> tuple[Job, ...]:
        """The jobs that are kept, the latest first.

        Raises:
            BoardError: the board can't be used.
        """
        own = self._own
        return tuple(own if own is not None and job.id == own.id else job for job in self._board.jobs())

    def latest(self) -> Job | None:
        """The job that was started last; as far as it is known, where the board can't be used."""
        try:
            return next(iter(self.all()), None)
        except BoardError:
            return self._own

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop after the step it is at; nothing happens to one that is over.

        Raises:
            JobUnknownError: there is none of this id.
            BoardError: the board can't be used.
        """
        job = self.get(job_id)
        self._board.cancel(job_id)
        own = self._own
        if own is not None and own.id == job_id:
            self._stopped.set()
        return job

    def beat(self) -> None:
        """Tell the board how far the own job is, and hear from it; take over a job that nobody has any more.

        Raises:
            BoardError: the board can't be used.
        """
        self.tell()
        own = self._own
        if own is not None and not own.is_over:
            if self._board.is_cancelled(own.id):
                self._stopped.set()
        elif not self._is_closing and (orphan := self._board.take_over(_now())) is not None and not orphan.is_over:
            self._begin(orphan)

    def tell(self) -> None:
        """Tell the board how far the own job is; where another replica has it by now, it stops here.

        Raises:
            BoardError: the board can't be used.
        """
        with self._lock:
            own = self._own
            if own is None or own == self._told:
                return
            if self._board.tell(own):
                self._told = own
            else:
                self._is_lost = True
                self._stopped.set()

    def close(self) -> None:
        """Stop the own job and wait for that; another replica goes on with it, where there is one."""
        self._is_closing = True
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def change(self, **fields: object) -> None:
        """Replace fields of the own job."""
        with self._lock:
            assert self._own is not None
            self._own = replace(self._own, **fields)  # type: ignore[arg-type]

    def require_going_on(self) -> None:
        """Make sure that the own job is wanted.

        Raises:
            JobCancelledError: it is not, or not here.
        """
        if self._stopped.is_set():
            raise JobCancelledError("the job was taken over" if self._is_lost else "the job was cancelled")

    @property
    def own(self) -> Job:
        """The job that is done here."""
        assert self._own is not None
        return self._own

    def _posted(self, kind: str, mode: str) -> Job:
        with self._lock:
            job = self._board.post(Job(secrets.token_hex(6), kind, mode, JobState.QUEUED, created_at=_now()))
            self._take(job)
        return job

    def _begin(self, job: Job) -> None:
        """Do a job in a thread."""
        with self._lock:
            self._take(job)
            self._thread = threading.Thread(target=self._run, args=(job,), name=f"job-{job.id}")
            self._thread.start()

    def _take(self, job: Job) -> None:
        self._own = self._told = job
        self._is_lost = False
        self._stopped.clear()
        if self._is_closing:
            self._stopped.set()

    def _run(self, job: Job) -> None:
        """Do the work; whatever comes of it ends up in the job."""
        try:
            self._do(job)
        except EXPECTED_ERRORS as error:
            log.info("job %s: %s", job.id, error)
        except Exception:
            log.exception("job %s failed", job.id)

    def _do(self, job: Job, shown: Progress | None = None) -> Manifest:
        """Do the work, in this thread."""
        self.change(state=JobState.RUNNING)
        ending: dict[str, object] = {"state": JobState.FAILED, "error": "it was interrupted"}
        try:
            manifest = self._work(job, JobProgress(self, shown))
            ending = {"state": JobState.DONE, "snapshot_id": manifest.snapshot_id}
        except JobCancelledError:
            ending = {"state": JobState.CANCELLED}
            raise
        except EXPECTED_ERRORS as error:
            ending = {"state": JobState.FAILED, "error": str(error)}
            raise
        except Exception as error:
            ending = {"state": JobState.FAILED, "error": f"{type(error).__name__}: {error}"}
            raise
        finally:
            self._end(ending)
        return manifest

    def _end(self, ending: dict[str, object]) -> None:
        """Note how the own job ended, or that it goes on elsewhere."""
        if self._is_lost:
            self._own = None  # what the board says of it is another replica's word
            return
        if ending["state"] == JobState.CANCELLED and self._is_handed_over():
            self.change(state=JobState.QUEUED, replica=NOBODY, eta_s=None)
        else:
            self.change(finished_at=_now(), eta_s=None, **ending)
        try:
            self.tell()
        except BoardError as error:  # the next beat tries again
            log.warning("%s", error)

    def _is_handed_over(self) -> bool:
        """Whether this replica stops, nobody asked the job to stop, and there are others who can go on with it."""
        if not self._is_closing:
            return False
        try:
            return not self._board.is_cancelled(self.own.id) and bool(self._board.others())
        except BoardError:
            return False


class JobProgress:
    """A `Progress` that writes into the own job, and stops it when it should."""

    def __init__(self, jobs: Jobs, shown: Progress | None) -> None:
        self._jobs = jobs
        self._shown = shown
        self._phase_began = time.monotonic()

    def phase(self, name: str, total: int) -> None:
        """See `Progress`. The board is asked, so that nobody publishes who has lost the job."""
        self._phase_began = time.monotonic()
        self._jobs.change(phase=name, done=0, total=total, eta_s=None)
        try:
            self._jobs.tell()
        except BoardError as error:  # what can't be told to others is no reason to stop
            log.warning("%s", error)
        self._jobs.require_going_on()
        if self._shown is not None:
            self._shown.phase(name, total)

    def advance(self) -> None:
        """See `Progress`. After the last step there is nothing to stop: what was published counts as done."""
        job = self._jobs.own
        done = job.done + 1
        left_s = (time.monotonic() - self._phase_began) / done * (job.total - done)
        self._jobs.change(done=done, eta_s=round(left_s, 1))
        if done < job.total:
            self._jobs.require_going_on()
        if self._shown is not None:
            self._shown.advance()

    def skip(self, skipped: Skipped) -> None:
        """See `Progress`."""
        self._jobs.change(skipped=(*self._jobs.own.skipped, skipped))
        if self._shown is not None:
            self._shown.skip(skipped)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
