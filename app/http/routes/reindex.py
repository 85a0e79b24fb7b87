"""Admin routes: reindex in the background, and activate another snapshot."""

from collections.abc import AsyncIterable
from typing import Annotated, Any

from anyio import sleep, to_thread
from fastapi import APIRouter, Depends, Query, Response, status
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.http.answers import job_answer, snapshot_answer
from app.http.routes.auth import require_admin
from app.http.routes.dependencies import ServicesOfApp
from app.http.routes.descriptions import PROBLEM_ANSWERS, link
from app.http.schemas.admin import JobAnswer, JobsAnswer, SnapshotAnswer, SnapshotsAnswer
from app.indexing.reindex import ReindexMode
from app.replica.coordination import Job
from app.replica.services import Services
from index import snapshot_manifest
from index.errors import SnapshotError

router = APIRouter(tags=["admin"], responses=PROBLEM_ANSWERS, dependencies=[Depends(require_admin)])

RequestedMode = Annotated[ReindexMode, Query(description="`missing` embeds what is new or changed, `full` everything.")]

JOB_LINKS: dict[int | str, dict[str, Any]] = {
    202: {
        "links": {
            "job": link("get_job_v1_jobs__job_id__get", job_id="/id"),
            "events": link("job_events_v1_jobs__job_id__events_get", job_id="/id"),
            "cancel": link("cancel_job_v1_jobs__job_id__delete", job_id="/id"),
        }
    }
}
SNAPSHOT_LINKS: dict[int | str, dict[str, Any]] = {
    200: {
        "links": {
            "activate_newest": link("activate_v1_snapshots__snapshot_id__activate_post", snapshot_id="/snapshots/0/id")
        }
    }
}

EVENT_EVERY_S = 0.25
"""How often the events of a job are updated."""


@router.post("/reindex", status_code=status.HTTP_202_ACCEPTED, include_in_schema=False)
@router.post("/v1/reindex", status_code=status.HTTP_202_ACCEPTED, responses=JOB_LINKS)
async def reindex(services: ServicesOfApp, response: Response, mode: RequestedMode = ReindexMode.MISSING) -> JobAnswer:
    """Index the dictionary folder again and swap. Searches go on with the dictionary they started with."""
    job = await to_thread.run_sync(services.start_reindex, mode)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_answer(job)


@router.get("/v1/jobs")
async def list_jobs(services: ServicesOfApp) -> JobsAnswer:
    """The latest jobs of all replicas, the latest first."""
    return JobsAnswer(jobs=[job_answer(job) for job in await to_thread.run_sync(services.jobs.all)])


@router.get("/v1/jobs/{job_id}")
async def get_job(services: ServicesOfApp, job_id: str) -> JobAnswer:
    """A job as it is now."""
    return job_answer(await to_thread.run_sync(services.jobs.get, job_id))


@router.delete("/v1/jobs/{job_id}", status_code=status.HTTP_202_ACCEPTED)
async def cancel_job(services: ServicesOfApp, job_id: str) -> JobAnswer:
    """Ask a job to stop after the video it is at; what is published stays."""
    return job_answer(await to_thread.run_sync(services.jobs.cancel, job_id))


async def known_job(services: ServicesOfApp, job_id: str) -> Job:
    """The job of a path; looked up before the answer starts, so that an unknown one is a problem like any other."""
    return await to_thread.run_sync(services.jobs.get, job_id)


@router.get("/v1/jobs/{job_id}/events", response_class=EventSourceResponse)
async def job_events(
    services: ServicesOfApp, job: Annotated[Job, Depends(known_job)]
) -> AsyncIterable[ServerSentEvent]:
    """The job as server-sent events: once now, then whenever it changes, until it is over."""
    sent = None
    while True:
        now = await to_thread.run_sync(services.jobs.get, job.id)
        if now != sent:
            yield ServerSentEvent(data=job_answer(now), event="job")
            sent = now
        if now.is_over:
            return
        await sleep(EVENT_EVERY_S)


@router.get("/v1/snapshots", responses=SNAPSHOT_LINKS)
async def list_snapshots(services: ServicesOfApp) -> SnapshotsAnswer:
    """The versions of the dictionary on disk, newest first."""
    return await to_thread.run_sync(_snapshots, services)


@router.post("/v1/snapshots/{snapshot_id}/activate")
async def activate(services: ServicesOfApp, snapshot_id: str) -> SnapshotAnswer:
    """Go back, or forth, to another version. Searches that run end with the one they started with."""
    used = await to_thread.run_sync(services.active_snapshot.activate, snapshot_id)
    manifest = snapshot_manifest.read_manifest(services.settings.snapshots / used.snapshot_id)
    return snapshot_answer(manifest, used.snapshot_id)


def _snapshots(services: Services) -> SnapshotsAnswer:
    folder = services.settings.snapshots
    found = snapshot_manifest.manifests(folder)
    try:
        current = snapshot_manifest.current_id(folder)
    except SnapshotError:  # nothing is published, or CURRENT is damaged: then none of them is current
        current = None
    return SnapshotsAnswer(snapshots=[snapshot_answer(manifest, current) for manifest in found])
