"""Checks that a Ray cluster answers, without importing Ray."""

import importlib.util
import os
import socket

from app.errors import ClusterError

CONNECT_S = 10.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""The first bytes of a gRPC client, and so of Ray: the preface of HTTP/2 and an empty SETTINGS frame."""
SETTINGS_FRAME = 4
"""Type of the HTTP/2 frame with which a server starts."""
INSTALL = "`uv sync --locked --group ray`"


def require_ray() -> None:
    """Make sure that Ray is installed.

    Raises:
        ClusterError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ClusterError(f"--ray needs Ray, which is not installed here: {INSTALL}, then run the command again")


def require_ray_at(address: str) -> None:
    """Make sure that Ray answers at an address: Ray itself would try for two minutes and then end the process.

    Args:
        address: HOST:PORT of the head node.

    Raises:
        ClusterError: nothing answers, or something else than Ray.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ClusterError(
            f"{address!r} is no address of a Ray cluster; allowed is HOST:PORT of its head node (6379 unless"
            " `ray start --head --port` said otherwise), not ray://, without a path"
        )
    if os.environ.get("RAY_USE_TLS") == "1":  # then only Ray itself can connect
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S) as connection:
            connection.sendall(PREFACE)
            answer = connection.recv(9)
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {address}: {error}; start one with `ray start --head`, or mend the address"
        ) from error
    if len(answer) < 4 or answer[3] != SETTINGS_FRAME:
        raise ClusterError(
            f"what answers at {address} is no Ray cluster: it said {answer!r}, and Ray speaks gRPC; give the address"
            " that `ray start --head` has printed"
        )
