"""Background jobs: one at a time among all replicas, in a thread of the one that has its lease."""

import datetime
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from app.errors import EXPECTED_ERRORS, CoordinationError, JobCancelledError
from app.progress import JobState, ProgressCallback, SkippedVideo
from app.replica.coordination import NOBODY, CoordinationStore, Job
from index.snapshot_manifest import Manifest

log = logging.getLogger(__name__)

JobFunction = Callable[[Job, ProgressCallback], Manifest]
"""Does the work of a job; gives the snapshot that is current after it."""


class JobRunner:
    """Runs the jobs of this replica, one at a time, and knows those of the others. Safe to use from any thread."""

    def __init__(self, store: CoordinationStore, function: JobFunction) -> None:
        """Run nothing yet.

        Args:
            store: where all replicas see the jobs.
            function: does the work of one.
        """
        self._store = store
        self._function = function
        self._lock = threading.Lock()
        self._own: Job | None = None
        """The latest job of this replica, as it is now."""
        self._stored: Job | None = None
        """The same job as it was last stored."""
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._has_lost_lease = False
        self._is_closing = False

    def start(self, kind: str, mode: str) -> Job:
        """Start a job in the background.

        Raises:
            JobRunningError: one is running, here or on another replica; its id is in `members`.
            CoordinationError: the store can't be used.
        """
        job = self._create(kind, mode)
        self._start_thread(job)
        return job

    def run(self, kind: str, mode: str, progress: ProgressCallback) -> Manifest:
        """Run a job in this thread, and report its progress to `progress` as well.

        Raises:
            JobRunningError: one is running already; its id is in `members`.
            CoordinationError: the store can't be used.
            Exception: whatever the job function raises; the job has failed then.
        """
        return self._run(self._create(kind, mode), progress)

    def get(self, job_id: str) -> Job:
        """A job as it is now; one of another replica as it last stored it.

        Raises:
            JobUnknownError: there is none of this id.
            CoordinationError: the store can't be used.
        """
        own = self._own
        return own if own is not None and own.id == job_id else self._store.job(job_id)

    def all(self) -> tuple[Job, ...]:
        """The jobs that are kept, the latest first.

        Raises:
            CoordinationError: the store can't be used.
        """
        own = self._own
        return tuple(own if own is not None and job.id == own.id else job for job in self._store.jobs())

    def latest(self) -> Job | None:
        """The job that was started last; that of this replica, where the store can't be used."""
        try:
            return next(iter(self.all()), None)
        except CoordinationError:
            return self._own

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop after its current step; nothing happens to one that is over.

        Raises:
            JobUnknownError: there is none of this id.
            CoordinationError: the store can't be used.
        """
        job = self.get(job_id)
        self._store.cancel(job_id)
        own = self._own
        if own is not None and own.id == job_id:
            self._stopped.set()
        return job

    def synchronise(self) -> None:
        """Store the state of the own job and see whether it was cancelled; without one, take over an orphaned job.

        Raises:
            CoordinationError: the store can't be used.
        """
        self.store_state()
        own = self._own
        if own is not None and not own.is_over:
            if self._store.is_cancelled(own.id):
                self._stopped.set()
        elif not self._is_closing and (orphan := self._store.take_over_job(_now())) is not None and not orphan.is_over:
            self._start_thread(orphan)

    def store_state(self) -> None:
        """Store the state of the own job; where another replica has its lease by now, the job stops here.

        Raises:
            CoordinationError: the store can't be used.
        """
        with self._lock:
            own = self._own
            if own is None or own == self._stored:
                return
            if self._store.update_job(own):
                self._stored = own
            else:
                self._has_lost_lease = True
                self._stopped.set()

    def close(self) -> None:
        """Stop the own job and wait until it has; another replica continues it, if there is one."""
        self._is_closing = True
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def update(self, **fields: object) -> None:
        """Replace fields of the own job."""
        with self._lock:
            assert self._own is not None
            self._own = replace(self._own, **fields)  # type: ignore[arg-type]

    def raise_if_stopped(self) -> None:
        """Make sure that the own job should continue.

        Raises:
            JobCancelledError: it was cancelled, or taken over by another replica.
        """
        if self._stopped.is_set():
            raise JobCancelledError("the job was taken over" if self._has_lost_lease else "the job was cancelled")

    @property
    def own(self) -> Job:
        """The job that runs here."""
        assert self._own is not None
        return self._own

    def _create(self, kind: str, mode: str) -> Job:
        with self._lock:
            job = self._store.add_job(Job(secrets.token_hex(6), kind, mode, JobState.QUEUED, created_at=_now()))
            self._set_own(job)
        return job

    def _start_thread(self, job: Job) -> None:
        with self._lock:
            self._set_own(job)
            self._thread = threading.Thread(target=self._run_logged, args=(job,), name=f"job-{job.id}")
            self._thread.start()

    def _set_own(self, job: Job) -> None:
        self._own = self._stored = job
        self._has_lost_lease = False
        self._stopped.clear()
        if self._is_closing:
            self._stopped.set()

    def _run_logged(self, job: Job) -> None:
        """Run a job in its own thread, where nobody catches what it raises."""
        try:
            self._run(job)
        except EXPECTED_ERRORS as error:
            log.info("job %s: %s", job.id, error)
        except Exception:
            log.exception("job %s failed", job.id)

    def _run(self, job: Job, progress: ProgressCallback | None = None) -> Manifest:
        """Run a job; how it ended is part of its state."""
        self.update(state=JobState.RUNNING)
        ending: dict[str, object] = {"state": JobState.FAILED, "error": "it was interrupted"}
        try:
            manifest = self._function(job, JobProgressCallback(self, progress))
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
            self._finish(ending)
        return manifest

    def _finish(self, ending: dict[str, object]) -> None:
        """Store how the own job ended, or that another replica may continue it."""
        if self._has_lost_lease:
            self._own = None  # its state in the store is that of another replica
            return
        if ending["state"] == JobState.CANCELLED and self._can_hand_over():
            self.update(state=JobState.QUEUED, replica=NOBODY, eta_s=None)
        else:
            self.update(finished_at=_now(), eta_s=None, **ending)
        try:
            self.store_state()
        except CoordinationError as error:  # the next heartbeat tries again
            log.warning("%s", error)

    def _can_hand_over(self) -> bool:
        """Whether this replica shuts down, the job was not cancelled, and there are other replicas to continue it."""
        if not self._is_closing:
            return False
        try:
            return not self._store.is_cancelled(self.own.id) and bool(self._store.other_replicas())
        except CoordinationError:
            return False


class JobProgressCallback:
    """A `ProgressCallback` that writes into the state of the own job, and raises once the job should stop."""

    def __init__(self, jobs: JobRunner, inner: ProgressCallback | None) -> None:
        """Write into the own job of `jobs`, and pass every call on to `inner`."""
        self._jobs = jobs
        self._inner = inner
        self._phase_started = time.monotonic()

    def start_phase(self, name: str, total: int) -> None:
        """See `ProgressCallback`. The state is stored, so that a replica without the lease does not publish."""
        self._phase_started = time.monotonic()
        self._jobs.update(phase=name, done=0, total=total, eta_s=None)
        try:
            self._jobs.store_state()
        except CoordinationError as error:  # that the others can't see it is no reason to stop
            log.warning("%s", error)
        self._jobs.raise_if_stopped()
        if self._inner is not None:
            self._inner.start_phase(name, total)

    def advance(self) -> None:
        """See `ProgressCallback`. The last step never stops the job: what was published counts as done."""
        job = self._jobs.own
        done = job.done + 1
        left_s = (time.monotonic() - self._phase_started) / done * (job.total - done)
        self._jobs.update(done=done, eta_s=round(left_s, 1))
        if done < job.total:
            self._jobs.raise_if_stopped()
        if self._inner is not None:
            self._inner.advance()

    def report_skipped(self, skipped: SkippedVideo) -> None:
        """See `ProgressCallback`."""
        self._jobs.update(skipped=(*self._jobs.own.skipped, skipped))
        if self._inner is not None:
            self._inner.report_skipped(skipped)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
