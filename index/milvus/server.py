"""Snapshots as collections of a Milvus server: one each, made before it is published, dropped once unleased.

    signdex_1_<data folder>_<snapshot>_<encoder>              the vectors of one snapshot; searched by this very name
    signdex_1_<data folder>_<snapshot>_<encoder>_<draft>      one that is being filled; renamed once it is whole
    signdex_current                                           an alias, for people who look there; nothing reads it

A name says all there is to know of what is in a collection, the schema's number first, so that what does not belong
here is known before it is touched. The snapshot's files are the truth: whatever of this is lost is made anew from them.
"""

import re
import secrets
import weakref
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from index.entries import Entry
from index.errors import IndexAwayError, IndexRefusedError, IndexServerError
from index.milvus.collection_index import MilvusIndex
from index.milvus.connection import Connection
from index.milvus.leases import Leases
from index.milvus.rows import FIELDS, row_batches, schema
from index.protocol import Floats, unit_rows

if TYPE_CHECKING:
    from pymilvus import MilvusClient

SCHEMA = 1
OURS = re.compile(r"signdex_(\d+)_")
NAME = re.compile(r"signdex_\d+_([0-9a-f]{12})_([0-9a-f]{12})_([0-9a-f]{12})(_[0-9a-f]{8})?")
ALIAS = "signdex_current"
WRITE_S = 600.0
"""The longest that one step of filling may take on the server."""
FILL_RETRY_S = 60.0
"""How long one step of filling is tried again: nobody waits for it, and the steps before it were not for nothing."""
LOAD_S = 900.0
"""The longest that a collection may take into the server's memory."""
QUICK_S = 5.0
HOW_TO_DROP = "docs/milvus.md says how to drop collections"


@dataclass(frozen=True)
class CollectionName:
    """A collection's name and its parts."""

    name: str
    folder_id: str
    snapshot_id: str
    encoder_id: str
    is_draft: bool


class MilvusServer:
    """A `VectorServer` for one data folder. Safe to share between threads and, each with its own, between processes."""

    def __init__(self, connection: Connection, folder_id: str, leases: Leases) -> None:
        """Connect to nothing yet.

        Args:
            connection: to the server, and a database of it that is this data folder's alone.
            folder_id: of the data folder, 12 hex digits.
            leases: a collection that is leased there is dropped by no process that shares the data folder.
        """
        self.connection = connection
        self._folder_id = folder_id
        self._leases = leases

    def require_usable(self) -> None:
        """Make sure that the server answers, and that nothing is there which is not ours.

        Raises:
            IndexAwayError: it does not answer.
            IndexRefusedError: see `VectorServer.open_index`.
        """
        self.connection.call(self._own_collections)

    def open_index(self, snapshot_id: str, encoder_id: str, vectors: Floats, entries: Sequence[Entry]) -> MilvusIndex:
        """See `VectorServer.open_index`. The collection is leased as long as the index lives.

        Raises:
            VectorsError: see `unit_rows`.
            IndexAwayError: the server does not answer.
            IndexRefusedError: there are collections of another data folder or of another schema, or the snapshot's own
                is of another encoder, has other fields, or not all of its rows.
        """
        name = self._name(snapshot_id, encoder_id)
        self._leases.acquire(name)  # before looking: from here on nobody drops it
        try:
            if not self.connection.call(lambda client: self._has(client, snapshot_id, encoder_id)):
                self._fill(name, vectors, entries)
            self.connection.call(lambda client: client.load_collection(name, timeout=LOAD_S))
            self.connection.call(lambda client: self._require_whole(client, name, vectors))
        except BaseException:
            self._leases.release(name)
            raise
        found = MilvusIndex(self.connection, name, vectors)
        weakref.finalize(found, self._leases.release, name)
        return found

    def can_search(self, snapshot_id: str, encoder_id: str) -> bool:
        """True where the collection of a snapshot exists and is in memory. Also renews the leases of this process.

        Raises:
            IndexServerError: see `require_usable`.
        """
        from pymilvus.client.types import LoadState

        self._leases.renew()
        if not self.connection.call(lambda client: self._has(client, snapshot_id, encoder_id)):
            return False
        name = self._name(snapshot_id, encoder_id)
        state = self.connection.call(lambda client: client.get_load_state(name, timeout=QUICK_S))
        return bool(state["state"] == LoadState.Loaded)

    def set_current(self, snapshot_id: str, encoder_id: str) -> None:
        """See `VectorServer.set_current`."""
        name = self._name(snapshot_id, encoder_id)
        self.connection.call(lambda client: _point_alias_at(client, name))

    def drop_all_but(self, snapshot_ids: Collection[str]) -> list[str]:
        """See `VectorServer.drop_all_but`; drafts that nobody has leased for filling go as well."""
        existing = self.connection.call(self._own_collections)
        used = self._leases.held_anywhere()
        dropped = [
            each.name
            for each in existing
            if each.name not in used and (each.is_draft or each.snapshot_id not in snapshot_ids)
        ]
        for name in dropped:
            self.connection.call(partial(_drop, name=name))
        return dropped

    def close(self) -> None:
        """End the connection."""
        self.connection.close()

    def _name(self, snapshot_id: str, encoder_id: str) -> str:
        return f"signdex_{SCHEMA}_{self._folder_id}_{snapshot_id}_{encoder_id}"

    def _has(self, client: "MilvusClient", snapshot_id: str, encoder_id: str) -> bool:
        """True where the collection of a snapshot is there, under its name and so once whole."""
        of_snapshot = [
            each for each in self._own_collections(client) if each.snapshot_id == snapshot_id and not each.is_draft
        ]
        if others := [each for each in of_snapshot if each.encoder_id != encoder_id]:
            raise IndexRefusedError(
                f"Milvus at {self.connection.address} has {others[0].name}: snapshot {snapshot_id} by encoder"
                f" {others[0].encoder_id}, while the files say that encoder {encoder_id} made it; drop that collection,"
                f" it is made anew from the files ({HOW_TO_DROP})"
            )
        return bool(of_snapshot)

    def _own_collections(self, client: "MilvusClient") -> list[CollectionName]:
        """The collections of this data folder.

        Raises:
            IndexRefusedError: there are such of another one, or of another schema.
        """
        names = sorted(name for name in client.list_collections(timeout=QUICK_S) if OURS.match(name))
        return [self._parse_name(name) for name in names]

    def _parse_name(self, name: str) -> CollectionName:
        found = NAME.fullmatch(name)
        if found is None or OURS.match(name)[1] != str(SCHEMA):  # type: ignore[index]
            raise IndexRefusedError(
                f"Milvus at {self.connection.address} has {name}, of schema {name.split('_')[1]}; this version knows"
                f" {SCHEMA}. Drop it once no such version runs any more ({HOW_TO_DROP}), or give this version another"
                " database: SIGNDEX_INDEX=milvus://HOST:PORT/DATABASE"
            )
        folder_id, snapshot_id, encoder_id, draft = found.groups()
        if folder_id != self._folder_id:
            raise IndexRefusedError(
                f"Milvus at {self.connection.address} has {name}, which belongs to the data folder {folder_id}; this"
                f" one is {self._folder_id} (snapshots/FOLDER in SIGNDEX_DATA). Two data folders do not share a"
                " database: give each its own (SIGNDEX_INDEX=milvus://HOST:PORT/DATABASE), or drop what the other one"
                f" left there ({HOW_TO_DROP})"
            )
        return CollectionName(name, folder_id, snapshot_id, encoder_id, is_draft=draft is not None)

    def _fill(self, name: str, vectors: Floats, entries: Sequence[Entry]) -> None:
        """Bring vectors to the server: aside, and under their name once all of them are there."""
        call = partial(self.connection.call, retry_s=FILL_RETRY_S)
        rows_of = row_batches(unit_rows(vectors), entries)
        draft = f"{name}_{secrets.token_hex(4)}"
        self._leases.acquire(draft)
        try:
            call(lambda client: _create(client, draft, vectors.shape[1]))
            for rows in rows_of:
                # Upserts: what is sent twice, because the answer was lost, is there once.
                call(partial(_upsert, name=draft, rows=rows))
                self._leases.renew()
            call(lambda client: client.flush(draft, timeout=WRITE_S))
            call(lambda client: _create_index(client, draft))
            call(lambda client: _give_name(client, draft, name))
        except BaseException:
            with suppress(IndexServerError):  # where it can't be dropped now, `drop_all_but` does so later
                self.connection.call(partial(_drop, name=draft))
            raise
        finally:
            self._leases.release(draft)

    def _require_whole(self, client: "MilvusClient", name: str, vectors: Floats) -> None:
        """Raise IndexRefusedError unless a collection has the fields and as many rows as it should."""
        fields = {each["name"]: each for each in client.describe_collection(name, timeout=QUICK_S)["fields"]}
        counted = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=WRITE_S)
        found = (tuple(fields), fields["vector"]["params"]["dim"] if "vector" in fields else 0, counted[0]["count(*)"])
        expected = (FIELDS, vectors.shape[1], len(vectors))
        if (set(found[0]), *found[1:]) != (set(expected[0]), *expected[1:]):
            raise IndexRefusedError(
                "Milvus at {} has {} with the fields {}, vectors of {} and {} rows; expected {}, {} and {}. Drop it, it"
                " is made anew from the files ({})".format(
                    self.connection.address,
                    name,
                    ", ".join(found[0]),
                    *found[1:],
                    ", ".join(FIELDS),
                    *expected[1:],
                    HOW_TO_DROP,
                )
            )


def _create(client: "MilvusClient", name: str, dim: int) -> None:
    if not client.has_collection(name, timeout=QUICK_S):
        client.create_collection(name, schema=schema(client, dim), timeout=WRITE_S)


def _upsert(client: "MilvusClient", name: str, rows: list[dict[str, Any]]) -> None:
    client.upsert(name, rows, timeout=WRITE_S)


def _drop(client: "MilvusClient", name: str) -> None:
    if client.has_collection(name, timeout=QUICK_S):
        client.drop_collection(name, timeout=QUICK_S)


def _create_index(client: "MilvusClient", name: str) -> None:
    """Every vector is compared: an index that guesses would find other signs than the other backends."""
    flat = client.prepare_index_params()
    flat.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_index(name, flat, timeout=WRITE_S)


def _give_name(client: "MilvusClient", draft: str, name: str) -> None:
    """Rename a whole draft; where another process was faster, its collection stays and the draft goes."""
    if client.has_collection(name, timeout=QUICK_S):
        _drop(client, draft)
    elif client.has_collection(draft, timeout=QUICK_S):
        client.rename_collection(draft, name, timeout=WRITE_S)
    else:
        raise IndexAwayError(f"the collection {draft} has gone while it was filled; it is made anew")


def _point_alias_at(client: "MilvusClient", name: str) -> None:
    from pymilvus import MilvusException

    if ALIAS in client.list_aliases(name, timeout=QUICK_S)["aliases"]:
        return
    try:
        client.alter_alias(name, ALIAS, timeout=QUICK_S)
    except MilvusException:  # it was never made: the codes for that differ between servers
        client.create_alias(name, ALIAS, timeout=QUICK_S)
