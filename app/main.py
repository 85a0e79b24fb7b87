"""The web application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.gzip import GZipMiddleware

from app import VERSION, problems
from app.access_log import AccessLog
from app.entry_videos import Pictures
from app.metrics import Metrics
from app.request_ids import RequestIds
from app.routes import entries, health, pages, reindex, search, signs
from app.searches import Searches
from app.services import Services, open_services
from app.settings import Settings
from app.shutdown import AnswerWhenStopped
from app.uploads import UploadLimit


def create_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """The application; it runs under any ASGI server, in one process.

    Args:
        settings: of the service.
        services: opened already; opened at start-up otherwise.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = services or open_services(settings)
        searches = Searches(opened, metrics)
        metrics.watch(opened, searches)
        app.state.services, app.state.searches = opened, searches
        app.state.pictures = Pictures(opened, searches)
        opened.start_warming()
        opened.start_following()
        opened.start_watching()
        yield
        await searches.close()
        await to_thread.run_sync(opened.close)

    app = FastAPIOffline(
        redoc_url=None,
        title="Signdex",
        summary="Look a sign up by signing it.",
        version=VERSION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.metrics = metrics
    for routes in (search, signs, entries, reindex, health, pages):
        app.include_router(routes.router)
    app.mount(pages.FILES_PATH, GZipMiddleware(pages.PageFiles()), name="page files")
    problems.install(app)
    app.add_middleware(UploadLimit, max_bytes=settings.max_upload_bytes, max_s=settings.upload_s)
    app.add_middleware(AnswerWhenStopped)
    app.add_middleware(AccessLog, metrics=metrics)
    app.add_middleware(RequestIds)  # the outermost: whatever answers, the answer has an id
    return app
