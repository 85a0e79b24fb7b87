"""Rebuild the dictionary in the background. For admins."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response, status

from app.auth import require_admin
from app.routes.dependencies import ServicesOfApp
from app.schemas import PROBLEM_ANSWERS, JobAnswer

router = APIRouter(tags=["admin"], responses=PROBLEM_ANSWERS, dependencies=[Depends(require_admin)])

Mode = Annotated[Literal["full"], Query(description="`full` embeds every video anew.")]


@router.post("/reindex", status_code=status.HTTP_202_ACCEPTED, include_in_schema=False)
@router.post("/v1/reindex", status_code=status.HTTP_202_ACCEPTED)
async def reindex(services: ServicesOfApp, response: Response, mode: Mode = "full") -> JobAnswer:
    """Index SIGNDEX_DICTIONARY again and swap. Searches go on with the dictionary they started with."""
    job = services.start_reindex()
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return JobAnswer.of(job)


@router.get("/v1/jobs/{job_id}")
async def get_job(services: ServicesOfApp, job_id: str) -> JobAnswer:
    """A job as it is now."""
    return JobAnswer.of(services.jobs.get(job_id))


@router.delete("/v1/jobs/{job_id}", status_code=status.HTTP_202_ACCEPTED)
async def cancel_job(services: ServicesOfApp, job_id: str) -> JobAnswer:
    """Ask a job to stop after the video it is at; what is published stays."""
    return JobAnswer.of(services.jobs.cancel(job_id))
