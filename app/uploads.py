"""Request bodies stop at a limit while they arrive, so that nothing larger is ever held.

A video up to a megabyte stays in memory, a larger one goes to a temporary file without a name; both are gone when the
request is answered.
"""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import UploadTooLargeError
from app.problems import expected_response

FORM_OVERHEAD_BYTES = 64_000
"""What the other fields of a form and its boundaries may take beside the video."""


class UploadLimit:
    """Middleware: refuses a body above the limit, by its declared length or by what has arrived."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes + FORM_OVERHEAD_BYTES:
            response = expected_response(Request(scope), self._too_large(int(declared)))
            await response(scope, receive, send)
            return
        num_bytes = 0

        async def receive_within_limit() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_bytes + FORM_OVERHEAD_BYTES:
                raise self._too_large(num_bytes)
            return message

        await self._app(scope, receive_within_limit, send)

    def _too_large(self, num_bytes: int) -> UploadTooLargeError:
        return UploadTooLargeError(
            f"the upload has {num_bytes / 1e6:.1f} MB or more; the limit is {self._max_bytes / 1e6:g} MB"
            " (SIGNDEX_MAX_UPLOAD_MB)"
        )
