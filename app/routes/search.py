"""Look a sign up by video, and again by what was seen of it."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Form, Request, UploadFile

from app.disconnects import unless_gone
from app.lookup import Lookup, Stretch
from app.metrics import Metrics
from app.request_ids import seconds_since_start
from app.routes.dependencies import MetricsOfApp, SearchesOfApp
from app.schemas import PROBLEM_ANSWERS, SearchAnswer, VectorRequest
from app.settings import MAX_K
from app.uploads import as_open_file
from index.catalogue import Filters

router = APIRouter(
    tags=["search"], responses=PROBLEM_ANSWERS, form_limits={"max_files": 1, "max_fields": 16, "max_part_size": 4096}
)

Seconds = Form(allow_inf_nan=False, ge=0)


@router.post("/search", include_in_schema=False)
@router.post("/v1/search")
async def search(
    request: Request,
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
        found = await unless_gone(request, work)
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
        found = await searches.nearest(np.array(asked.vector, np.float32), k=asked.k, filters=filters)
    return _answer(request, metrics, found, receive_s)


def _answer(request: Request, metrics: Metrics, found: Lookup, receive_s: float) -> SearchAnswer:
    """The answer, and its timings told to Prometheus."""
    answer = SearchAnswer.of(found, receive_s=receive_s, total_s=seconds_since_start(request.scope))
    for stage, spent_ms in answer.timings_ms:
        metrics.stages.labels(stage).observe(spent_ms / 1000)
    return answer
