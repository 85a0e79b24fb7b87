"""The connection to a Milvus server: its address, what its errors mean, and retries."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from index.errors import IndexAddressError, IndexAwayError, IndexRefusedError, IndexServerError

if TYPE_CHECKING:
    from grpc import RpcError
    from pymilvus import MilvusClient

T = TypeVar("T")

URI_SCHEMES = {"milvus": "http", "milvus+https": "https"}
"""Of the setting, and of what pymilvus takes."""
USUAL_PORT = 19530
SHAPE = "milvus://HOST:PORT/DATABASE (milvus+https:// where it speaks TLS; the database may be left out)"
CONNECT_S = 3.0
RETRY_S = 2.0
"""How long a call is retried before it fails."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0
PAUSE_S = 2.0
"""How long searches fail at once after a failure, so that a server that is away makes nobody wait."""

GRPC_OPTIONS = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
    "grpc.use_local_subchannel_pool": 1,
}
"""gRPC waits up to two minutes, and all connections of a process together, before it looks again for a server that
was away."""

NO_HTTP2 = ("Failed parsing HTTP/2", "http1.x")
"""What gRPC says of a server that speaks something else; a status of its own it has not for that."""
NO_TLS = ("Tls handshake failed", "SSL_ERROR", "CERTIFICATE")
TRANSIENT_CODES = (1, 2, 8, 100, 101)
"""Codes of Milvus: not ready, not connected, too many requests, a collection that is not there or not in memory. The
last two are put right by whoever looks after the collection."""


@dataclass(frozen=True)
class Address:
    """Where a Milvus server answers. Holds no secret."""

    uri: str
    """As pymilvus takes it."""
    database: str
    """Empty for the one that is there from the start."""

    def __str__(self) -> str:
        """For messages."""
        return f"{self.uri}/{self.database}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address that a setting names.

        Raises:
            IndexAddressError: it is none; the message shows nothing of a password.
        """
        parts = urlsplit(text)
        if "@" in parts.netloc:
            raise IndexAddressError("an address holds no user and no password; SIGNDEX_INDEX_TOKEN is for them")
        try:
            port = parts.port or USUAL_PORT
        except ValueError as error:
            raise IndexAddressError(f"{text!r} has no usable port ({error}); expected {SHAPE}") from error
        database = parts.path.strip("/")
        if parts.scheme not in URI_SCHEMES or not parts.hostname or parts.query or parts.fragment or "/" in database:
            raise IndexAddressError(f"{text!r} is no address of a Milvus server; expected {SHAPE}")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(f"{URI_SCHEMES[parts.scheme]}://{host}:{port}", database)


class Connection:
    """Calls to one server. Safe to share between threads. Made without the server: it may come later, and go."""

    def __init__(self, address: Address, token: str = "") -> None:
        """Take the address and the token: `USER:PASSWORD`, or an API key."""
        self.address = address
        self._token = token
        self._client: MilvusClient | None = None
        self._connecting = threading.Lock()
        self._failed: tuple[float, str] | None = None

    def call(self, task: Callable[["MilvusClient"], T], retry_s: float = RETRY_S) -> T:
        """Run a task with the client, retried for a while: it must be one that may happen twice.

        Args:
            task: takes the client.
            retry_s: seconds after which it is not retried; a call that hangs ends by its own timeout.

        Raises:
            IndexAwayError: the server does not answer, or is not ready.
            IndexRefusedError: it answers, with something else than expected.
        """
        from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

        retrying = Retrying(
            retry=retry_if_exception_type(IndexAwayError),
            stop=stop_after_delay(retry_s),
            wait=wait_exponential_jitter(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S, jitter=FIRST_WAIT_S),
            reraise=True,
        )
        try:
            result: T = retrying(self._once, task)
        except IndexAwayError as error:
            self._failed = time.monotonic(), str(error)  # not the error: it holds on to all that was under way
            raise
        self._failed = None
        return result

    def require_not_paused(self) -> None:
        """Fail at once where the server was away a moment ago, instead of waiting for it again.

        Raises:
            IndexAwayError: why it was.
        """
        failed = self._failed
        if failed is not None and time.monotonic() - failed[0] < PAUSE_S:
            raise IndexAwayError(failed[1])

    def close(self) -> None:
        """End the connection."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _once(self, task: Callable[["MilvusClient"], T]) -> T:
        connect, errors = _pymilvus()
        try:
            return task(self._connected(connect))
        except errors as error:
            raise _translated(self.address, error) from error

    def _connected(self, connect: "type[MilvusClient]") -> "MilvusClient":
        with self._connecting:
            if self._client is None:
                self._client = connect(
                    self.address.uri,
                    token=self._token,
                    db_name=self.address.database,
                    timeout=CONNECT_S,
                    dedicated=True,
                    grpc_options=GRPC_OPTIONS,
                )
            return self._client


def _pymilvus() -> "tuple[type[MilvusClient], tuple[type[Exception], ...]]":
    """The client, and what it raises.

    Raises:
        IndexRefusedError: it is not installed.
    """
    try:
        # Imported where it is used: most services search in their own process, and its import takes a second.
        from grpc import RpcError
        from pymilvus import MilvusClient, MilvusException
    except ImportError as error:
        raise IndexRefusedError(
            f"an index on Milvus was asked for, but its client is not installed ({error}); install the group"
            " (`uv sync --group milvus`), or unset SIGNDEX_INDEX"
        ) from error
    # It writes a page for every attempt that fails; what matters of that is in our errors, once.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return MilvusClient, (MilvusException, RpcError)


def _translated(address: Address, error: Exception) -> IndexServerError:
    """What an error of the client means for us."""
    from grpc import StatusCode

    rpc = next(_rpc_errors(error), None)
    status = None if rpc is None else rpc.code()
    said = str(getattr(error, "message", error) if rpc is None else rpc.details())
    if status is StatusCode.UNIMPLEMENTED or any(sign in said for sign in NO_HTTP2):
        return IndexRefusedError(
            f"something answers at {address}, but not as Milvus does ({said}); SIGNDEX_INDEX must name the gRPC port of"
            f" a Milvus server, {USUAL_PORT} usually"
        )
    if status in (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED):
        return IndexRefusedError(
            f"Milvus at {address} does not let us in ({said}); set SIGNDEX_INDEX_TOKEN to the USER:PASSWORD or the API"
            " key of somebody who may read and write there"
        )
    if any(sign in said for sign in NO_TLS):
        return IndexRefusedError(
            f"no TLS with {address} ({said}); the certificate must be one that this machine trusts, and milvus:// is"
            " for servers without TLS"
        )
    code = getattr(error, "code", None)
    if rpc is not None or getattr(error, "retriable", False) or code in TRANSIENT_CODES:
        return IndexAwayError(f"Milvus at {address} can't be asked just now ({said}); it is tried again by itself")
    return IndexRefusedError(f"Milvus at {address} refuses (code {code}): {said}")


def _rpc_errors(error: BaseException | None) -> "Iterator[RpcError]":
    """What gRPC raised on the way to an error, the latest first."""
    from grpc import RpcError

    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, RpcError):
            yield error
        # pymilvus raises errors from themselves; where they came from is then told by their context alone.
        error = error.__context__ if error.__cause__ is error else error.__cause__
