"""The web application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.gzip import GZipMiddleware

from app import VERSION
from app.http import problems
from app.http.access_log import AccessLog
from app.http.entry_media import Thumbnails
from app.http.lifecycle import Lifecycle
from app.http.metrics import Metrics
from app.http.rate_limit import RateLimits
from app.http.request_ids import RequestIds
from app.http.routes import entries, health, pages, reindex, search, signs
from app.http.shutdown import AnswerWhenStopped
from app.http.uploads import UploadLimit
from app.settings import Settings


def create_app(settings: Settings, lifecycle: Lifecycle | None = None) -> FastAPI:
    """The application; it runs under any ASGI server, in one process.

    Args:
        settings: of the service.
        lifecycle: of a service that is open already; it is opened at start-up otherwise.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = lifecycle or Lifecycle.open(settings)
        async with opened.running(metrics.batch_windows.observe) as search_service:
            metrics.collect_from(opened.services, search_service)
            app.state.services, app.state.search_service = opened.services, search_service
            app.state.thumbnails = Thumbnails(opened.services, search_service)
            yield

    app = FastAPIOffline(
        redoc_url=None,
        title="Signdex",
        summary="Look a sign up by signing it.",
        version=VERSION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.metrics = metrics
    app.state.rate_limits = RateLimits(settings.decode_s)
    for routes in (search, signs, entries, reindex, health, pages):
        app.include_router(routes.router)
    app.mount(pages.FILES_PATH, GZipMiddleware(pages.PageFiles()), name="page files")
    problems.install(app)
    app.add_middleware(UploadLimit, max_bytes=settings.max_upload_bytes, max_s=settings.upload_s)
    app.add_middleware(AnswerWhenStopped)
    app.add_middleware(AccessLog, metrics=metrics)
    app.add_middleware(RequestIds)  # the outermost: whatever answers, the answer has an id
    return app
