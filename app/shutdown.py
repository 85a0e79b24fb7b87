"""Requests that the service can't finish before it has to end."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import StoppedError
from app.problems import expected_response


class AnswerWhenStopped:
    """Middleware: a request that the server cancels, because its time to shut down is over, is told so.

    Servers cancel for no other reason: callers that hang up are noticed elsewhere.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def noted_send(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted_send)
        except asyncio.CancelledError:
            if has_begun:
                raise
            stopped = StoppedError("the service shut down before this was done; ask again in a moment")
            await expected_response(Request(scope), stopped)(scope, receive, send)
