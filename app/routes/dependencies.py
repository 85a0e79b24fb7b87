"""What routes are given."""

from typing import Annotated

from fastapi import Depends, Request

from app.services import Services


async def services_of_app(request: Request) -> Services:
    """What lives as long as the app."""
    services: Services = request.app.state.services
    return services


ServicesOfApp = Annotated[Services, Depends(services_of_app)]
