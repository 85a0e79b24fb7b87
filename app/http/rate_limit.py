"""How many failures one client may cause, so that nobody guesses admin keys or wears decoders out.

A client is an address, whatever it says of itself; of IPv6 it is the network that one subscriber has (/64). Behind a
proxy that is not trusted to name its callers (uvicorn's FORWARDED_ALLOW_IPS), all callers are one client.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from app.errors import TooManyFailuresError

MAX_CLIENTS = 10_000
"""Clients that are remembered; beyond that the one that failed longest ago is forgotten."""
SUBSCRIBER_BITS = 64
"""Of an IPv6 address: the bits after it are chosen by the subscriber."""
WRONG_KEYS, WRONG_KEY_EVERY_S = 10, 6.0
"""Admin keys that one client may guess: so many at once, then one every so many seconds."""
COSTLY_VIDEOS = 5
"""Videos of one client that may take a decoder down at once; then it is one per SIGNDEX_DECODE_S."""


class FailureRateLimit:
    """Failures per client: so many at once, then one per interval. Belongs to one event loop."""

    def __init__(self, what: str, *, at_once: int, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without any failure.

        Args:
            what: the failures, in words, for the message.
            at_once: how many a client may have before it has to wait.
            every_s: seconds after which one of them is forgiven.
            clock: seconds; never goes back.
        """
        self._what = what
        self._at_once = at_once
        self._every_s = every_s
        self._clock = clock
        self._forgiven_at: OrderedDict[str, float] = OrderedDict()

    def require_allowed(self, client: str) -> None:
        """Make sure that a client may try.

        Raises:
            TooManyFailuresError: it has failed too often, and when to come back.
        """
        owed_s = self._forgiven_at.get(client, 0.0) - self._clock()
        wait_s = owed_s - (self._at_once - 1) * self._every_s
        if wait_s > 0:
            retry_after_s = math.ceil(wait_s)
            raise TooManyFailuresError(
                f"too many {self._what} came from this address; try again in {retry_after_s} s",
                retry_after_s=retry_after_s,
            )

    def record(self, client: str) -> None:
        """Count a failure of a client."""
        now = self._clock()
        self._forgiven_at[client] = max(now, self._forgiven_at.get(client, now)) + self._every_s
        self._forgiven_at.move_to_end(client)
        if len(self._forgiven_at) > MAX_CLIENTS:
            self._forgiven_at.popitem(last=False)

    def __len__(self) -> int:
        return len(self._forgiven_at)


class RateLimits:
    """The limits of one service."""

    def __init__(self, decode_s: float) -> None:
        """Start without any failure.

        Args:
            decode_s: the longest that a video may keep a decoder busy: one client alone can keep one decoder busy, and
                no more once it has been noticed.
        """
        self.wrong_keys = FailureRateLimit("wrong admin keys", at_once=WRONG_KEYS, every_s=WRONG_KEY_EVERY_S)
        self.costly_videos = FailureRateLimit(
            "videos that take a decoder down", at_once=COSTLY_VIDEOS, every_s=decode_s
        )


def client_of(scope: Mapping[str, Any]) -> str:
    """The client of a request, given its ASGI scope; where the server does not know it, as on a Unix socket, ""."""
    host: str = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((int(address), SUBSCRIBER_BITS), strict=False))
    return str(address)
