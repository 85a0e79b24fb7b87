"""Dependencies of routes: the parts of the app."""

from typing import Annotated

from fastapi import Depends, Query, Request

from app.http.entry_media import Thumbnails
from app.http.metrics import Metrics
from app.http.rate_limit import RateLimits
from app.replica.services import Services
from app.search.service import SearchService


async def services_of_app(request: Request) -> Services:
    """Encoder, dictionary and jobs."""
    services: Services = request.app.state.services
    return services


async def search_service_of_app(request: Request) -> SearchService:
    """Searches by video, query and vector."""
    search_service: SearchService = request.app.state.search_service
    return search_service


async def thumbnails_of_app(request: Request) -> Thumbnails:
    """Thumbnails of entries."""
    thumbnails: Thumbnails = request.app.state.thumbnails
    return thumbnails


async def rate_limits_of_app(request: Request) -> RateLimits:
    """Limits on failures per client."""
    rate_limits: RateLimits = request.app.state.rate_limits
    return rate_limits


async def metrics_of_app(request: Request) -> Metrics:
    """Metrics for Prometheus."""
    metrics: Metrics = request.app.state.metrics
    return metrics


ServicesOfApp = Annotated[Services, Depends(services_of_app)]
SearchServiceOfApp = Annotated[SearchService, Depends(search_service_of_app)]
ThumbnailsOfApp = Annotated[Thumbnails, Depends(thumbnails_of_app)]
RateLimitsOfApp = Annotated[RateLimits, Depends(rate_limits_of_app)]
MetricsOfApp = Annotated[Metrics, Depends(metrics_of_app)]

Language = Annotated[str | None, Query(max_length=100, description="Only signs of this language.")]
Tag = Annotated[str | None, Query(max_length=100, description="Only signs that have an entry with this tag.")]
