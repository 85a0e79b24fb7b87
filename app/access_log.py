"""One line and one measurement per request, and headers that make browsers careful."""

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Metrics
from app.request_ids import request_id

log = logging.getLogger("app.access")

CAREFUL = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class AccessLog:
    """Middleware: tells of every request its route, never its content: no query string, no file name, no address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        told = {"status": 0, "bytes_in": 0, "bytes_out": 0}

        async def counted_receive() -> Message:
            message = await receive()
            told["bytes_in"] += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
                for name, value in CAREFUL.items():
                    MutableHeaders(scope=message).setdefault(name, value)
            told["bytes_out"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            self._tell(scope, told, time.perf_counter() - began)

    def _tell(self, scope: Scope, told: dict[str, int], seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method, status = scope["method"], told["status"]
        self._metrics.requests.labels(method if route != "unmatched" else "any", route, status).observe(seconds)
        fields = {
            "request_id": request_id(scope),
            "method": method,
            "route": route,
            **told,
            "ms": round(seconds * 1e3, 2),
        }
        if problem := scope["state"].get("problem"):
            fields["problem"] = problem
        log.info("%s %s %s", method, route, status, extra={"fields": fields})
