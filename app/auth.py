"""Admin routes: closed while no key is set, then open to whoever has it."""

import hmac
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.errors import AdminClosedError, AdminKeyError
from app.routes.dependencies import ServicesOfApp

bearer = HTTPBearer(auto_error=False, description="SIGNDEX_ADMIN_KEY")


async def require_admin(
    services: ServicesOfApp, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    """Let only requests with the admin key pass.

    Raises:
        AdminClosedError: no key is set.
        AdminKeyError: the request has none, or another one.
    """
    key = services.settings.admin_key
    if key is None:
        raise AdminClosedError("no admin key is set; set SIGNDEX_ADMIN_KEY and start the service again")
    given = credentials.credentials if credentials else ""
    # Compared in constant time: how long a refusal takes tells nothing of the key.
    if not hmac.compare_digest(given.encode(), key.get_secret_value().encode()):
        raise AdminKeyError("send the admin key as `Authorization: Bearer SIGNDEX_ADMIN_KEY`")
