"""Jobs and snapshots as JSON."""

from typing import Any

from pydantic import Field

from app.http.schemas.base import Schema
from app.progress import JobState


class SkippedAnswer(Schema):
    """A video that was left out of the dictionary."""

    video: str
    reason: str
    line: int | None = Field(None, description="Of the entries file, where there is one.")


class JobAnswer(Schema):
    """A background job."""

    id: str
    kind: str
    mode: str
    state: JobState
    replica: str = Field(description="Which process of the service has it; empty while it waits for another one.")
    created_at: str
    finished_at: str | None
    phase: str
    done: int
    total: int
    eta_s: float | None = Field(description="Seconds left in this phase.")
    skipped: list[SkippedAnswer]
    snapshot_id: str | None = Field(description="What is current after the job: published by it, or unchanged.")
    error: str | None


class JobsAnswer(Schema):
    """The background jobs that are remembered, the latest first."""

    jobs: list[JobAnswer]


class SnapshotAnswer(Schema):
    """A version of the dictionary on disk."""

    id: str = Field(examples=["f1600263c7df"])
    current: bool = Field(description="Whether it is the one that a start takes.")
    created_at: str = Field(examples=["2026-01-31T12:00:00.000+00:00"])
    encoder_id: str = Field(examples=["c972dabcd041"])
    dim: int = Field(examples=[1152])
    counts: dict[str, int] = Field(examples=[{"entries": 263, "signs": 263, "vectors": 526}])
    report: dict[str, Any] = Field(description="What its maker noted: source, settings, what was skipped and why.")


class SnapshotsAnswer(Schema):
    """All versions on disk, newest first."""

    snapshots: list[SnapshotAnswer]
