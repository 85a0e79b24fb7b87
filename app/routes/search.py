"""Look a sign up by video, and again by what was seen of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile

from app.disconnects import unless_gone
from app.errors import VideoTooCostlyError, VideoUndecodableError
from app.failures import client_of
from app.lookup import Lookup, Stretch
from app.metrics import Metrics
from app.request_ids import seconds_since_start
from app.routes.dependencies import MetricsOfApp, SearchesOfApp, ServicesOfApp
from app.schemas import PROBLEM_ANSWERS, SearchAnswer, VectorRequest, link
from app.settings import MAX_K
from app.uploads import as_open_file
from index.catalogue import Filters

router = APIRouter(
    tags=["search"], responses=PROBLEM_ANSWERS, form_limits={"max_files": 1, "max_fields": 16, "max_part_size": 4096}
)

LINKS: dict[int | str, dict[str, Any]] = {
    200: {
        "links": {
            "another_part": {
                "operationId": "search_again_v1_search_vector_post",
                "requestBody": {"query_id": "$response.body#/query_id"},
            },
            "best_sign": link("get_sign_v1_signs__sign_id__get", sign_id="/hits/0/sign/id"),
            "look_alikes": link("similar_signs_v1_signs__sign_id__similar_get", sign_id="/hits/0/sign/id"),
            "best_video": link("entry_video_v1_entries__entry_id__video_get", entry_id="/hits/0/entries/0/id"),
            "best_picture": link(
                "entry_thumbnail_v1_entries__entry_id__thumbnail_get", entry_id="/hits/0/entries/0/id"
            ),
        }
    }
}
"""What one can do with an answer."""

Seconds = Form(allow_inf_nan=False, ge=0)


@router.post("/search", include_in_schema=False)
@router.post("/v1/search", responses=LINKS)
async def search(
    request: Request,
    services: ServicesOfApp,
    searches: SearchesOfApp,
    metrics: MetricsOfApp,
    *,
    video: UploadFile,
    k: Annotated[int, Form(ge=1, le=MAX_K, description="How many signs.")] = 10,
    start_s: Annotated[float, Seconds] = 0.0,
    end_s: Annotated[float | None, Seconds] = None,
    language: Annotated[str | None, Form(max_length=100, description="Only signs of this language.")] = None,
    tag: Annotated[str | None, Form(max_length=100, description="Only entries with this tag.")] = None,
) -> SearchAnswer:
    """Find the signs nearest to a video, best first. The video is not stored."""
    receive_s = seconds_since_start(request.scope)
    stretch, filters = Stretch(start_s, end_s), Filters(language or None, tag or None)
    with as_open_file(video) as number:
        work = searches.look_up(number, k=k, stretch=stretch, filters=filters)
        try:
            found = await unless_gone(request, work)
        except (VideoTooCostlyError, VideoUndecodableError):
            services.costly_videos.note(client_of(request.scope))
            raise
    return _answer(request, metrics, found, receive_s)


@router.post("/v1/search/vector")
async def search_again(
    request: Request, searches: SearchesOfApp, metrics: MetricsOfApp, asked: VectorRequest
) -> SearchAnswer:
    """Search with a query of before, or a part of it, or with a vector: nothing is decoded and encoded again.

    The part is pooled from the windows of the whole, so it may differ a little from posting the video with the same
    `start_s` and `end_s`.
    """
    receive_s = seconds_since_start(request.scope)
    filters = Filters(asked.language or None, asked.tag or None)
    if asked.query_id is not None:
        stretch = Stretch(asked.start_s, asked.end_s)
        found = await searches.again(asked.query_id, k=asked.k, stretch=stretch, filters=filters)
    else:
        found = await searches.nearest(asked.vector or [], k=asked.k, filters=filters)
    return _answer(request, metrics, found, receive_s)


def _answer(request: Request, metrics: Metrics, found: Lookup, receive_s: float) -> SearchAnswer:
    """The answer, and its timings told to Prometheus."""
    answer = SearchAnswer.of(found, receive_s=receive_s, total_s=seconds_since_start(request.scope))
    for stage, spent_ms in answer.timings_ms:
        metrics.stages.labels(stage).observe(spent_ms / 1000)
    return answer
