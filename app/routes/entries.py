"""The videos of the dictionary."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse

from app.entry_videos import media_type, video_of
from app.routes.dependencies import PicturesOfApp, ServicesOfApp
from app.schemas import PROBLEM_ANSWERS, SignEntryAnswer

router = APIRouter(tags=["entries"], responses=PROBLEM_ANSWERS)

CACHE = {"Cache-Control": "public, max-age=300"}
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
    path = video_of(services, services.published.dictionary().entry(entry_id))
    response = FileResponse(path, media_type=media_type(path), stat_result=path.stat(), headers=CACHE)
    return NotModifiedResponse(response.headers) if _knows(request, response.headers["ETag"]) else response


@router.get("/v1/entries/{entry_id:path}/thumbnail", response_class=Response, responses=JPEG)
async def entry_thumbnail(
    request: Request, services: ServicesOfApp, pictures: PicturesOfApp, entry_id: str
) -> Response:
    """A picture of an entry: the middle of the sign, cropped to the signer."""
    entry = services.published.dictionary().entry(entry_id)
    if _knows(request, etag := pictures.etag_of(entry)):
        return Response(status_code=304, headers={"ETag": etag, **CACHE})
    picture = await pictures.of(entry)
    return Response(picture.content, media_type="image/jpeg", headers={"ETag": picture.etag, **CACHE})


# Last, as an entry id may have slashes: the longer paths are tried before it.
@router.get("/v1/entries/{entry_id:path}")
async def get_entry(services: ServicesOfApp, entry_id: str) -> SignEntryAnswer:
    """An entry and the sign that it shows."""
    return SignEntryAnswer.of_entry(services.published.dictionary().entry(entry_id))


def _knows(request: Request, etag: str) -> bool:
    """Whether the caller has this version already."""
    asked = request.headers.get("If-None-Match", "")
    return asked.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in asked.split(",")]
