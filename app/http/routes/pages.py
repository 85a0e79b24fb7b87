"""The web pages of learners and editors: plain files, sent as they are."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

WEB = Path(__file__).resolve().parents[2] / "web"
FILES_PATH = "/web"

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""Nothing from elsewhere, nothing inline, no text that becomes markup; blobs are the visitor's own takes."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""`no-cache` lets browsers keep a file and ask whether it is still the same, so an update shows at once."""

router = APIRouter(include_in_schema=False)


class PageFiles(StaticFiles):
    """The files that a page loads, with the headers of pages."""

    def __init__(self) -> None:
        super().__init__(directory=WEB)

    def file_response(self, *args: object, **fields: object) -> Response:
        """See `StaticFiles`."""
        response = super().file_response(*args, **fields)  # type: ignore[arg-type]
        response.headers.update(HEADERS)
        return response

    async def get_response(self, path: str, scope: Scope) -> Response:
        """See `StaticFiles`; counted under one route, whichever file it is."""
        scope["route"] = self
        return await super().get_response(path, scope)

    path = FILES_PATH


@router.head("/")
@router.get("/")
@router.head("/browse")
@router.get("/browse")
@router.head("/signs/{sign_id}")
@router.get("/signs/{sign_id}")
async def learner_page(request: Request) -> Response:
    """The learner's page; its script shows what the path names."""
    return _page(request, "index.html")


@router.head("/admin")
@router.get("/admin")
async def editor_page(request: Request) -> Response:
    """The editor's page."""
    return _page(request, "admin.html")


def _page(request: Request, name: str) -> Response:
    path = WEB / name
    response = FileResponse(path, stat_result=path.stat(), headers=HEADERS)
    known = request.headers.get("If-None-Match") == response.headers["ETag"]
    return NotModifiedResponse(response.headers) if known else response
