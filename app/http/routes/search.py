"""Look a sign up by video, by an earlier query or by a vector."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile

from app.errors import VideoTooCostlyError, VideoUndecodableError
from app.http.answers import search_answer
from app.http.disconnects import cancelled_on_disconnect
from app.http.metrics import Metrics
from app.http.rate_limit import client_of
from app.http.request_ids import seconds_since_start
from app.http.routes.dependencies import MetricsOfApp, RateLimitsOfApp, SearchServiceOfApp
from app.http.routes.descriptions import PROBLEM_ANSWERS, link
from app.http.schemas.search import MAX_K, SearchAnswer, VectorRequest
from app.http.uploads import as_open_file
from app.search.offline import Lookup
from index.catalogue import Filters
from model.video.time_range import TimeRange

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
    search_service: SearchServiceOfApp,
    rate_limits: RateLimitsOfApp,
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
    time_range, filters = TimeRange(start_s, end_s), Filters(language or None, tag or None)
    with as_open_file(video) as number:
        work = search_service.look_up(number, k=k, time_range=time_range, filters=filters)
        try:
            found = await cancelled_on_disconnect(request, work)
        except (VideoTooCostlyError, VideoUndecodableError):
            rate_limits.costly_videos.record(client_of(request.scope))
            raise
    return _answer(request, metrics, found, receive_s)


@router.post("/v1/search/vector")
async def search_again(
    request: Request, search_service: SearchServiceOfApp, metrics: MetricsOfApp, query: VectorRequest
) -> SearchAnswer:
    """Search with a query of before, or a part of it, or with a vector: nothing is decoded and encoded again.

    The part is pooled from the windows of the whole, so it may differ a little from posting the video with the same
    `start_s` and `end_s`.
    """
    receive_s = seconds_since_start(request.scope)
    filters = Filters(query.language or None, query.tag or None)
    if query.query_id is not None:
        time_range = TimeRange(query.start_s, query.end_s)
        found = await search_service.look_up_again(query.query_id, k=query.k, time_range=time_range, filters=filters)
    else:
        found = await search_service.look_up_vector(query.vector or [], k=query.k, filters=filters)
    return _answer(request, metrics, found, receive_s)


def _answer(request: Request, metrics: Metrics, found: Lookup, receive_s: float) -> SearchAnswer:
    """The answer; its timings also go to Prometheus."""
    answer = search_answer(found, receive_s=receive_s, total_s=seconds_since_start(request.scope))
    for stage, spent_ms in answer.timings_ms:
        metrics.stages.labels(stage).observe(spent_ms / 1000)
    return answer
