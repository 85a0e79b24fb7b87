"""Answers for requests that can't be finished before the service has to end."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import StoppedError
from app.http.problems import expected_response


class AnswerWhenStopped:
    """Middleware: a request that the server cancels, because its time to shut down is over, is answered with 503.

    Servers cancel for no other reason: `disconnects` handles callers that hang up.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def recording_send(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, recording_send)
        except asyncio.CancelledError:
            if has_started:
                raise
            stopped = StoppedError("the service shut down before this was done; ask again in a moment")
            await expected_response(Request(scope), stopped)(scope, receive, send)
