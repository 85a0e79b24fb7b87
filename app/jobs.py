"""Background jobs: one at a time, in a thread, with how far they are."""

import datetime
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from app.errors import EXPECTED_ERRORS, JobCancelledError, JobRunningError, JobUnknownError
from app.progress import Progress, Skipped

KEPT_JOBS = 32
"""Finished jobs that can still be asked for."""

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
    state: JobState
    created_at: str
    """ISO 8601, UTC."""
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


Work = Callable[[Progress], str]
"""What a job does; gives the id of the snapshot that is current after it."""


class Jobs:
    """The jobs of one process. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()

    def start(self, kind: str, work: Work) -> Job:
        """Start a job.

        Raises:
            JobRunningError: one is running; its id is in `members`.
        """
        with self._lock:
            for job in self._jobs.values():
                if not job.is_over:
                    raise JobRunningError(
                        f"job {job.id} ({job.kind}) is {job.state}; wait for it or cancel it", job_id=job.id
                    )
            job = Job(secrets.token_hex(6), kind, JobState.QUEUED, created_at=_now())
            self._jobs[job.id] = job
            for old in list(self._jobs)[:-KEPT_JOBS]:
                del self._jobs[old]
            self._cancelled.clear()
            self._thread = threading.Thread(target=self._run, args=(job.id, work), name=f"job-{job.id}")
            self._thread.start()
        return job

    def get(self, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            JobUnknownError: there is none of this id.
        """
        try:
            return self._jobs[job_id]
        except KeyError as error:
            raise JobUnknownError(f"there is no job {job_id}; the last {KEPT_JOBS} jobs are kept") from error

    def all(self) -> tuple[Job, ...]:
        """The jobs that are kept, the latest first."""
        return tuple(reversed(list(self._jobs.values())))

    def latest(self) -> Job | None:
        """The job that was started last."""
        return next(iter(self.all()), None)

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop after the step it is at; nothing happens to one that is over.

        Raises:
            JobUnknownError: there is none of this id.
        """
        with self._lock:
            job = self.get(job_id)
            if not job.is_over:
                self._cancelled.set()
        return job

    def close(self) -> None:
        """Cancel what runs and wait until it has stopped."""
        self._cancelled.set()
        if self._thread is not None:
            self._thread.join()

    def change(self, job_id: str, **fields: object) -> None:
        """Replace fields of a job."""
        with self._lock:
            self._jobs[job_id] = replace(self._jobs[job_id], **fields)  # type: ignore[arg-type]

    def _run(self, job_id: str, work: Work) -> None:
        """Do the work; whatever comes of it ends up in the job."""
        self.change(job_id, state=JobState.RUNNING)
        try:
            snapshot_id = work(JobProgress(self, job_id, self._cancelled))
        except JobCancelledError:
            ending: dict[str, object] = {"state": JobState.CANCELLED}
        except EXPECTED_ERRORS as error:
            ending = {"state": JobState.FAILED, "error": str(error)}
        except Exception as error:
            log.exception("job %s failed", job_id)
            ending = {"state": JobState.FAILED, "error": f"{type(error).__name__}: {error}"}
        else:
            ending = {"state": JobState.DONE, "snapshot_id": snapshot_id}
        self.change(job_id, finished_at=_now(), eta_s=None, **ending)


class JobProgress:
    """A `Progress` that writes into a job, and stops it when it was cancelled."""

    def __init__(self, jobs: Jobs, job_id: str, cancelled: threading.Event) -> None:
        self._jobs = jobs
        self._job_id = job_id
        self._cancelled = cancelled
        self._phase_began = time.monotonic()

    def phase(self, name: str, total: int) -> None:
        """See `Progress`."""
        self._stop_if_cancelled()
        self._phase_began = time.monotonic()
        self._jobs.change(self._job_id, phase=name, done=0, total=total, eta_s=None)

    def advance(self) -> None:
        """See `Progress`. After the last step there is nothing to stop: what was published counts as done."""
        job = self._jobs.get(self._job_id)
        done = job.done + 1
        left_s = (time.monotonic() - self._phase_began) / done * (job.total - done)
        self._jobs.change(self._job_id, done=done, eta_s=round(left_s, 1))
        if done < job.total:
            self._stop_if_cancelled()

    def skip(self, skipped: Skipped) -> None:
        """See `Progress`."""
        self._jobs.change(self._job_id, skipped=(*self._jobs.get(self._job_id).skipped, skipped))

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise JobCancelledError(f"job {self._job_id} was cancelled")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
