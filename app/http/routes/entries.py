"""Dictionary entries: their records, videos and thumbnails."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse

from app.http.answers import entry_with_sign
from app.http.entry_media import media_type, video_path
from app.http.routes.dependencies import ServicesOfApp, ThumbnailsOfApp
from app.http.routes.descriptions import PROBLEM_ANSWERS
from app.http.schemas.signs import SignEntryAnswer

router = APIRouter(tags=["entries"], responses=PROBLEM_ANSWERS)

CACHE_HEADERS = {"Cache-Control": "public, max-age=300"}
VIDEO: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file as it is; ranges are honoured", "content": {"video/*": {}}},
    206: {"description": "A range of it", "content": {"video/*": {}}},
    304: {"description": "The caller has it already"},
}
JPEG: dict[int | str, dict[str, Any]] = {
    200: {"description": "The middle of the sign", "content": {"image/jpeg": {}}},
    304: {"description": "The caller has it already"},
}


@router.head("/v1/entries/{entry_id:path}/video", include_in_schema=False)
@router.get("/v1/entries/{entry_id:path}/video", response_class=Response, responses=VIDEO)
async def entry_video(request: Request, services: ServicesOfApp, entry_id: str) -> Response:
    """The video of an entry."""
    path = video_path(services, services.active_snapshot.require_dictionary().entry(entry_id))
    response = FileResponse(path, media_type=media_type(path), stat_result=path.stat(), headers=CACHE_HEADERS)
    return NotModifiedResponse(response.headers) if _has_current(request, response.headers["ETag"]) else response


@router.get("/v1/entries/{entry_id:path}/thumbnail", response_class=Response, responses=JPEG)
async def entry_thumbnail(
    request: Request, services: ServicesOfApp, thumbnails: ThumbnailsOfApp, entry_id: str
) -> Response:
    """A picture of an entry: the middle of the sign, cropped to the signer."""
    entry = services.active_snapshot.require_dictionary().entry(entry_id)
    if _has_current(request, etag := thumbnails.etag(entry)):
        return Response(status_code=304, headers={"ETag": etag, **CACHE_HEADERS})
    thumbnail = await thumbnails.get(entry)
    return Response(thumbnail.content, media_type="image/jpeg", headers={"ETag": thumbnail.etag, **CACHE_HEADERS})


# Last, as an entry id may have slashes: the longer paths are tried before it.
@router.get("/v1/entries/{entry_id:path}")
async def get_entry(services: ServicesOfApp, entry_id: str) -> SignEntryAnswer:
    """An entry and the sign that it shows."""
    return entry_with_sign(services.active_snapshot.require_dictionary().entry(entry_id))


def _has_current(request: Request, etag: str) -> bool:
    """Whether the caller has this version already."""
    sent = request.headers.get("If-None-Match", "")
    return sent.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in sent.split(",")]
