"""Limits on request bodies while they arrive, so that nothing larger, or slower, is ever held.

A video up to a megabyte stays in memory, a larger one goes to a temporary file without a name; both are gone when the
request is answered.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import UploadFile
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import (
    OverloadedError,
    ServiceError,
    TooManyFailuresError,
    UploadTooLargeError,
    UploadTooSlowError,
)
from app.http.problems import expected_response
from app.http.rate_limit import client_of

FORM_OVERHEAD_BYTES = 64_000
"""What the other fields of a form and its boundaries may take beside the video."""
SEARCH_PATHS = ("/search", "/v1/search")


class UploadLimit:
    """Middleware: refuses a body above the limit, by its declared length or by what has arrived, and one that is slow.

    A video for which no slot is free, or of a client that takes decoders down, is refused before its body is read.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_s: float) -> None:
        """Set the limits.

        Args:
            app: what handles requests.
            max_bytes: of a video; a body may have a little more.
            max_s: from the beginning of a request to the end of its body.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if refusal := self._refusal(scope):
            response = expected_response(Request(scope), refusal)
            await response(scope, receive, send)
            return
        num_bytes, is_whole = 0, False
        until = asyncio.get_running_loop().time() + self._max_s

        async def receive_within_limits() -> Message:
            nonlocal num_bytes, is_whole
            message = await receive() if is_whole else await self._in_time(receive, until)
            num_bytes += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if num_bytes > self._max_bytes + FORM_OVERHEAD_BYTES:
                raise self._too_large(num_bytes)
            return message

        await self._app(scope, receive_within_limits, send)

    def _refusal(self, scope: Scope) -> ServiceError | None:
        """Why a request is refused before its body is read, or None where it is not."""
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes + FORM_OVERHEAD_BYTES:
            return self._too_large(int(declared))
        if scope["method"] == "POST" and scope["path"] in SEARCH_PATHS:
            state = scope["app"].state
            try:
                state.rate_limits.costly_videos.require_allowed(client_of(scope))
                state.search_service.admission.require_slot()
            except (OverloadedError, TooManyFailuresError) as error:
                return error
        return None

    async def _in_time(self, receive: Receive, until: float) -> Message:
        """The next part of a body."""
        try:
            async with asyncio.timeout_at(until):
                return await receive()
        except TimeoutError as error:
            raise UploadTooSlowError(
                f"the upload has not arrived whole within {self._max_s:g} s (SIGNDEX_UPLOAD_S): send a smaller video,"
                " or over a faster connection"
            ) from error

    def _too_large(self, num_bytes: int) -> UploadTooLargeError:
        return UploadTooLargeError(
            f"the upload has {num_bytes / 1e6:.1f} MB or more; the limit is {self._max_bytes / 1e6:g} MB"
            " (SIGNDEX_MAX_UPLOAD_MB)"
        )


@contextmanager
def as_open_file(upload: UploadFile) -> Iterator[int]:
    """An upload as an open file that can be passed to another process. It never gets a name."""
    content = upload.file
    if upload.size is None or upload.size > MultiPartParser.spool_max_size:
        yield content.fileno()
        return
    content.seek(0)
    with os.fdopen(os.memfd_create("query"), "wb") as memory:
        memory.write(content.read())
        memory.flush()
        yield memory.fileno()
