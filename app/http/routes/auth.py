"""Admin routes: closed while no key is set, then open to requests that carry it."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.errors import AdminClosedError, AdminKeyError
from app.http.rate_limit import client_of
from app.http.routes.dependencies import RateLimitsOfApp, ServicesOfApp

HOW = "send the admin key as `Authorization: Bearer SIGNDEX_ADMIN_KEY`"
bearer = HTTPBearer(auto_error=False, description="SIGNDEX_ADMIN_KEY")


async def require_admin(
    request: Request,
    services: ServicesOfApp,
    rate_limits: RateLimitsOfApp,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """Let only requests with the admin key pass.

    A client that has sent too many wrong keys has to wait, even with the right one: else guessing would go on.

    Raises:
        AdminClosedError: no key is set.
        AdminKeyError: the request has no key, or a wrong one.
        TooManyFailuresError: this client has sent too many wrong ones.
    """
    key = services.settings.admin_key
    if key is None:
        raise AdminClosedError("no admin key is set; set SIGNDEX_ADMIN_KEY and start the service again")
    if credentials is None:
        raise AdminKeyError(HOW)
    client = client_of(request.scope)
    rate_limits.wrong_keys.require_allowed(client)
    # Compared in constant time: the time of a refusal says nothing about the key.
    if not hmac.compare_digest(credentials.credentials.encode(), key.get_secret_value().encode()):
        rate_limits.wrong_keys.record(client)
        raise AdminKeyError(HOW)
