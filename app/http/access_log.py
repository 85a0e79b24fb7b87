"""A log line and a measurement per request, and security headers on every answer."""

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.metrics import Metrics
from app.http.request_ids import request_id

log = logging.getLogger("app.access")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class AccessLog:
    """Middleware that logs the route of every request, never its content: no query string, file name or address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        counts = {"status": 0, "bytes_in": 0, "bytes_out": 0}

        async def counted_receive() -> Message:
            message = await receive()
            counts["bytes_in"] += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                counts["status"] = message["status"]
                for name, value in SECURITY_HEADERS.items():
                    MutableHeaders(scope=message).setdefault(name, value)
            counts["bytes_out"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            self._report(scope, counts, time.perf_counter() - started)

    def _report(self, scope: Scope, counts: dict[str, int], seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method, status = scope["method"], counts["status"]
        self._metrics.requests.labels(method if route != "unmatched" else "any", route, status).observe(seconds)
        fields = {
            "request_id": request_id(scope),
            "method": method,
            "route": route,
            **counts,
            "ms": round(seconds * 1e3, 2),
        }
        if problem := scope["state"].get("problem"):
            fields["problem"] = problem
        log.info("%s %s %s", method, route, status, extra={"fields": fields})
