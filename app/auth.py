"""Admin routes: closed while no key is set, then open to whoever has it."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.errors import AdminClosedError, AdminKeyError
from app.failures import client_of
from app.routes.dependencies import ServicesOfApp

HOW = "send the admin key as `Authorization: Bearer SIGNDEX_ADMIN_KEY`"
bearer = HTTPBearer(auto_error=False, description="SIGNDEX_ADMIN_KEY")


async def require_admin(
    request: Request,
    services: ServicesOfApp,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """Let only requests with the admin key pass.

    Who has sent too many wrong keys has to wait, with the right one too: else guessing would go on.

    Raises:
        AdminClosedError: no key is set.
        AdminKeyError: the request has none, or another one.
        TooManyFailuresError: too many wrong ones came from this client.
    """
    key = services.settings.admin_key
    if key is None:
        raise AdminClosedError("no admin key is set; set SIGNDEX_ADMIN_KEY and start the service again")
    if credentials is None:
        raise AdminKeyError(HOW)
    client = client_of(request.scope)
    services.wrong_keys.require_few(client)
    # Compared in constant time: how long a refusal takes tells nothing of the key.
    if not hmac.compare_digest(credentials.credentials.encode(), key.get_secret_value().encode()):
        services.wrong_keys.note(client)
        raise AdminKeyError(HOW)
