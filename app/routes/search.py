"""Look a sign up by video."""

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Form, Request, UploadFile

from app.lookup import Stretch, look_up
from app.request_ids import seconds_since_start
from app.routes.dependencies import ServicesOfApp
from app.schemas import PROBLEM_ANSWERS, SearchAnswer
from app.settings import MAX_K

router = APIRouter(
    tags=["search"], responses=PROBLEM_ANSWERS, form_limits={"max_files": 1, "max_fields": 16, "max_part_size": 4096}
)

Seconds = Form(allow_inf_nan=False, ge=0)


@router.post("/search", include_in_schema=False)
@router.post("/v1/search")
async def search(
    request: Request,
    services: ServicesOfApp,
    *,
    video: UploadFile,
    k: Annotated[int, Form(ge=1, le=MAX_K, description="How many signs.")] = 10,
    start_s: Annotated[float, Seconds] = 0.0,
    end_s: Annotated[float | None, Seconds] = None,
) -> SearchAnswer:
    """Find the signs nearest to a video, best first. The video is not stored."""
    receive_s = seconds_since_start(request.scope)
    work = partial(
        look_up,
        video.file,
        encoder=services.encoder,
        dictionary=services.dictionary(),
        limits=services.settings.video_limits,
        k=k,
        stretch=Stretch(start_s, end_s),
    )
    found = await to_thread.run_sync(work, limiter=request.app.state.searches)
    return SearchAnswer.of(found, receive_s=receive_s, total_s=seconds_since_start(request.scope))
