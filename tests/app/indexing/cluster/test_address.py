"""Who answers at an address, before Ray is asked."""

import socket
import sys
import threading

import pytest

from app.errors import ClusterError
from app.indexing.cluster.address import require_ray, require_ray_at


@pytest.fixture
def answering():
    """Starts servers that say one thing to whoever connects; gives their addresses."""
    servers = []

    def start(words):
        server = socket.create_server(("127.0.0.1", 0))

        def answer():
            with server.accept()[0] as caller:
                caller.recv(100)
                caller.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        servers.append((server, thread))
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server, thread in servers:
        thread.join()
        server.close()


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n", b""])
def test_something_else_at_the_address_is_told_by_what_it_said(answering, words):
    with pytest.raises(ClusterError, match="is no Ray cluster: it said") as told:
        require_ray_at(answering(words))
    assert repr(words[:9]) in str(told.value)


def test_whoever_speaks_grpc_may_be_ray(answering):
    require_ray_at(answering(bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)) + bytes(6)))


def test_nobody_at_the_address_is_told_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(
        ClusterError, match=rf"no Ray cluster answers at {address}: .*refused; start one with `ray start"
    ):
        require_ray_at(address)


@pytest.mark.parametrize(
    "address", ["", "auto", "head", ":6379", "head:", "head:0", "head:99999", "ray://head:10001/x"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ClusterError, match=r"is no address of a Ray cluster; allowed is HOST:PORT"):
        require_ray_at(address)


def test_without_ray_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"not installed here: `uv sync --locked --group ray`"):
        require_ray()
