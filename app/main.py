"""The web application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI

from app import VERSION, problems
from app.request_ids import RequestIds
from app.routes import health, reindex, search
from app.services import Services, open_services
from app.settings import Settings
from app.uploads import UploadLimit


def create_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """The application; it runs under any ASGI server.

    Args:
        settings: of the service.
        services: opened already; opened at start-up otherwise.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = services or open_services(settings)
        app.state.searches = CapacityLimiter(settings.max_searches)
        app.state.services.start_warming()
        yield
        await to_thread.run_sync(app.state.services.close)

    app = FastAPI(
        title="Signdex",
        summary="Look a sign up by signing it.",
        version=VERSION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    for routes in (search, reindex, health):
        app.include_router(routes.router)
    problems.install(app)
    app.add_middleware(UploadLimit, max_bytes=settings.max_upload_bytes)
    app.add_middleware(RequestIds)  # the outermost: the limit's answer has an id too
    return app
