"""What routes are given."""

from typing import Annotated

from fastapi import Depends, Query, Request

from app.entry_videos import Pictures
from app.metrics import Metrics
from app.searches import Searches
from app.services import Services


async def services_of_app(request: Request) -> Services:
    """What lives as long as the app."""
    services: Services = request.app.state.services
    return services


async def searches_of_app(request: Request) -> Searches:
    """What searches share."""
    searches: Searches = request.app.state.searches
    return searches


async def pictures_of_app(request: Request) -> Pictures:
    """The pictures of entries."""
    pictures: Pictures = request.app.state.pictures
    return pictures


async def metrics_of_app(request: Request) -> Metrics:
    """What Prometheus is told."""
    metrics: Metrics = request.app.state.metrics
    return metrics


ServicesOfApp = Annotated[Services, Depends(services_of_app)]
SearchesOfApp = Annotated[Searches, Depends(searches_of_app)]
PicturesOfApp = Annotated[Pictures, Depends(pictures_of_app)]
MetricsOfApp = Annotated[Metrics, Depends(metrics_of_app)]

Language = Annotated[str | None, Query(max_length=100, description="Only signs of this language.")]
Tag = Annotated[str | None, Query(max_length=100, description="Only signs that have an entry with this tag.")]
