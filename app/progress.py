"""Progress of long-running work: the callback, what was skipped, the states of a job."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class JobState(StrEnum):
    """State of a background job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class SkippedVideo:
    """A video, or a line of an entries file, that was left out of the dictionary."""

    video: str
    """Path inside the folder."""
    reason: str
    line: int | None = None
    """Of the entries file, from 1; None where a video of a plain folder was left out."""


class ProgressCallback(Protocol):
    """Called by long-running work. Any method may raise to stop the work."""

    def start_phase(self, name: str, total: int) -> None:
        """A phase of `total` steps starts."""
        ...

    def advance(self) -> None:
        """One step of the phase is done."""
        ...

    def report_skipped(self, skipped: SkippedVideo) -> None:
        """A video was left out, and why."""
        ...
