"""The index server that the settings name."""

from app.settings import Settings
from index import snapshot
from index.errors import IndexDeviceError
from index.milvus.connection import Address, Connection
from index.milvus.leases import Leases
from index.milvus.server import MilvusServer


def make_index_server(settings: Settings) -> MilvusServer | None:
    """The index server, if the settings name one. No connection is made yet.

    Raises:
        IndexDeviceError: a GPU is asked for as well.
        SnapshotError: the data folder has no id, and none can be made.
    """
    if settings.index is None:
        return None
    if settings.index_device != "cpu":
        raise IndexDeviceError(
            f"SIGNDEX_INDEX asks for a server ({settings.index}), SIGNDEX_INDEX_DEVICE={settings.index_device} for a"
            " search in this process; unset one of them"
        )
    token = "" if settings.index_token is None else settings.index_token.get_secret_value()
    return MilvusServer(
        Connection(Address.parse(settings.index), token),
        snapshot.folder_id(settings.snapshots),
        Leases(settings.snapshots / ".in-use"),
    )
