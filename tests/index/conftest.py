"""A Milvus server for the tests of the index."""

import secrets

import pytest

from index.entries import Entry
from index.milvus.connection import Address, Connection
from index.milvus.leases import Leases
from index.milvus.server import MilvusServer
from tests.milvus_lite import running_lite

ENCODER = "0123456789ab"


@pytest.fixture(scope="session")
def lite(tmp_path_factory):
    """One server for all tests that leave it running; each takes a database of its own."""
    with running_lite(tmp_path_factory.mktemp("lite") / "data") as lite:
        yield lite


@pytest.fixture
def new_database(lite):
    """Makes databases on the server; gives their address, as SIGNDEX_INDEX takes it."""
    made = []

    def make():
        name = f"d{secrets.token_hex(6)}"
        connection = Connection(Address.parse(lite.address))
        connection.call(lambda client: client.create_database(name))
        made.append((connection, name))
        return f"{lite.address}/{name}"

    yield make
    for connection, _ in made:
        connection.close()


@pytest.fixture
def new_server(new_database, tmp_path):
    """Makes a `MilvusServer` on an empty database."""
    servers = []

    def make(address=None, folder_id=None, leases=None):
        server = MilvusServer(
            Connection(Address.parse(address or new_database())),
            folder_id or secrets.token_hex(6),
            leases or Leases(tmp_path / "in-use"),
        )
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def build_on_milvus(new_server):
    """An index of vectors on Milvus, as `faiss_index.build` makes one here; `entries` decide what a rule finds."""
    made = []

    def build(vectors, entries=None):
        entries = entries or [Entry(f"{row}", f"G{row}", f"{row}.mp4") for row in range(len(vectors))]
        if not made:
            made.append(new_server())
        return made[0].open_index(secrets.token_hex(6), ENCODER, vectors, entries)

    return build
