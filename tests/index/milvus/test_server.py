"""Snapshots on a Milvus server: what is made, kept, dropped and refused there."""

import http.server
import threading
import time
from concurrent import futures
from dataclasses import replace

import grpc
import numpy as np
import pytest

from index import faiss_index, snapshot, snapshot_manifest
from index.catalogue import NO_FILTERS, Filters
from index.dictionary import Dictionary
from index.entries import Entry
from index.errors import IndexAddressError, IndexAwayError, IndexRefusedError
from index.exact import ExactIndex
from index.milvus.collection_index import MAX_K, MilvusIndex
from index.milvus.connection import Address, Connection
from index.milvus.leases import Leases
from index.milvus.rows import FIELDS, text_code
from index.milvus.server import ALIAS
from index.protocol import AllowedRows
from tests.index.conftest import ENCODER
from tests.milvus_lite import running_lite

OTHER_ENCODER = "ba9876543210"


def unit(rng, num, dim=16):
    rows = rng.normal(size=(num, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def made(seed=0, num=60):
    """Entries as filmed and mirrored, in languages and with tags that try to break out of a rule."""
    rng = np.random.default_rng(seed)
    entries = []
    for i in range(num // 2):
        tags = tuple(tag for tag in ('"', "food' or row >= 0", "手", "x" * 300) if rng.random() < 0.4)
        entry = Entry(f"e{i}", f"G{i % 9}", f"e{i}.mp4", language=[None, "ase", '" or "" == "'][i % 3], tags=tags)
        entries += [entry, replace(entry, mirrored=True)]
    return unit(rng, num), entries


def collections(server):
    return set(server.connection.call(lambda client: client.list_collections()))


def alias(server):
    return server.connection.call(lambda client: client.describe_alias(ALIAS))["collection_name"]


def publish(folder, server, seed=0):
    return snapshot.publish(folder, *made(seed), encoder_id=ENCODER, server=server)


def named(server, manifest):
    return f"signdex_1_{server._folder_id}_{manifest.snapshot_id}_{manifest.encoder_id}"


def told(hits):
    return [(hit.rank, hit.sign, hit.mirrored, [scored.entry for scored in hit.entries]) for hit in hits]


def scores(hits):
    return [scored.score for hit in hits for scored in hit.entries]


def test_numpy_faiss_and_milvus_give_the_same_hits_with_filters_and_groups(build_on_milvus):
    vectors, entries = made(num=120)

    def dictionary(vector_index):
        return Dictionary(
            snapshot_id="a" * 12,
            encoder_id=ENCODER,
            created_at="2026-01-01T00:00:00+00:00",
            entries=entries,
            vectors=vectors,
            vector_index=vector_index,
        )

    exact = dictionary(ExactIndex(vectors))
    others = [dictionary(faiss_index.build(vectors)), dictionary(build_on_milvus(vectors, entries))]
    wanted = [NO_FILTERS, *(Filters(language) for language in ("ase", '" or "" == "', "gsg"))]
    wanted += [Filters(tag=tag) for tag in ('"', "food' or row >= 0", "手", "x" * 300, "food")]
    wanted += [Filters("ase", "手"), Filters("", "")]
    for number, filters in enumerate(wanted):
        query = unit(np.random.default_rng(number), 1)[0]
        expected = exact.search(query, k=7, encoder_id=ENCODER, filters=filters)
        for other in others:
            hits = other.search(query, k=7, encoder_id=ENCODER, filters=filters)
            assert told(hits) == told(expected)
            np.testing.assert_allclose(scores(hits), scores(expected), rtol=0, atol=1e-5)
    for sign in exact.signs[:9]:
        for other in others:
            assert told(other.neighbours(sign.id, 5)) == told(exact.neighbours(sign.id, 5))


def test_equal_scores_come_in_row_order(build_on_milvus):
    one = unit(np.random.default_rng(1), 1)
    vectors = np.repeat(one, 30, axis=0)
    _, rows = build_on_milvus(vectors).search(one, 30)
    assert rows[0].tolist() == list(range(30))


def test_more_neighbours_than_milvus_finds_are_found_here(new_server):
    server = new_server()
    vectors = unit(np.random.default_rng(2), MAX_K + 5, dim=4)
    index = MilvusIndex(server.connection, "none: it is not asked", vectors)
    scores, rows = index.search(vectors[:2], MAX_K + 1)
    expected_scores, expected_rows = ExactIndex(vectors).search(vectors[:2], MAX_K + 1)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


def test_a_snapshot_becomes_a_collection_named_by_its_ids_and_the_alias_follows_current(tmp_path, new_server):
    server = new_server()
    first = publish(tmp_path / "s", server)
    assert alias(server) == named(server, first)
    second = publish(tmp_path / "s", server, seed=1)
    assert alias(server) == named(server, second)
    assert collections(server) == {named(server, first), named(server, second)}
    snapshot.activate(tmp_path / "s", first.snapshot_id, encoder_id=ENCODER, server=server)
    assert snapshot_manifest.current_id(tmp_path / "s") == first.snapshot_id
    assert alias(server) == named(server, first)


def test_old_collections_go_once_their_snapshot_has_gone_and_nobody_searches_them(tmp_path, new_server):
    server = new_server()
    first = publish(tmp_path / "s", server)
    replica = new_server(address_of(server), server._folder_id, Leases(tmp_path / "in-use"))
    searched = snapshot.load(tmp_path / "s", server=replica)
    for seed in (1, 2, 3):
        publish(tmp_path / "s", server, seed)
    assert named(server, first) in collections(server)
    assert searched.search(made()[0][0], k=1, encoder_id=ENCODER)[0].score == pytest.approx(1, abs=1e-5)
    del searched
    last = publish(tmp_path / "s", server, seed=4)
    on_disk = {path.name for path in (tmp_path / "s").iterdir() if path.is_dir() and path.name[0] != "."}
    assert {name.split("_")[3] for name in collections(server)} == on_disk
    assert len(on_disk) == 2
    assert last.snapshot_id in on_disk


def address_of(server):
    uri = server.connection.address
    return f"milvus{str(uri).removeprefix('http')}"


def test_what_the_server_has_lost_is_made_anew_from_the_files(tmp_path, new_server):
    server = new_server()
    manifest = publish(tmp_path / "s", server)
    loaded = snapshot.load(tmp_path / "s", server=server)
    assert server.can_search(manifest.snapshot_id, ENCODER)
    server.connection.call(lambda client: client.release_collection(named(server, manifest)))
    assert not server.can_search(manifest.snapshot_id, ENCODER)
    server.connection.call(lambda client: client.drop_alias(ALIAS))
    server.connection.call(lambda client: client.drop_collection(named(server, manifest)))
    with pytest.raises(IndexAwayError, match="tried again"):
        loaded.search(made()[0][3], k=1, encoder_id=ENCODER)
    assert not server.can_search(manifest.snapshot_id, ENCODER)
    snapshot.load(tmp_path / "s", server=server)
    assert server.can_search(manifest.snapshot_id, ENCODER)


def test_a_publish_that_the_server_does_not_take_leaves_everything_as_it_was(tmp_path, new_server, monkeypatch):
    server = new_server()
    first = publish(tmp_path / "s", server)
    before = collections(server)

    def fails(*args):
        raise IndexAwayError("gone")

    monkeypatch.setattr("index.milvus.server._give_name", fails)
    monkeypatch.setattr("index.milvus.server.FILL_RETRY_S", 0.0)
    with pytest.raises(IndexAwayError):
        publish(tmp_path / "s", server, seed=1)
    assert snapshot_manifest.current_id(tmp_path / "s") == first.snapshot_id
    assert collections(server) == before
    assert alias(server) == named(server, first)
    assert [path.name for path in (tmp_path / "s").iterdir() if path.name.startswith(".staging")] == []


def test_a_draft_that_its_process_left_behind_goes_with_the_next_publish(tmp_path, new_server):
    server = new_server()
    first = publish(tmp_path / "s", server)
    draft = f"{named(server, first)}_0123abcd"
    filled_by_another = f"{named(server, first)}_4567abcd"
    for name in (draft, filled_by_another):
        server.connection.call(lambda client, name=name: client.create_collection(name, dimension=4))
    Leases(tmp_path / "in-use").acquire(filled_by_another)
    publish(tmp_path / "s", server, seed=1)
    assert draft not in collections(server)
    assert filled_by_another in collections(server)


def test_processes_that_fill_the_same_collection_at_once_end_with_one(tmp_path, new_server):
    one = new_server()
    other = new_server(address_of(one), one._folder_id, Leases(tmp_path / "in-use"))
    vectors, entries = made()
    with futures.ThreadPoolExecutor(2) as pool:
        indexes = list(pool.map(lambda server: server.open_index("ab" * 6, ENCODER, vectors, entries), (one, other)))
    assert len(collections(one)) == 1
    for index in indexes:
        assert index.search(vectors[:1], 1)[1].tolist() == [[0]]


def test_two_data_folders_on_one_database_are_refused(tmp_path, new_server):
    server = new_server(folder_id=snapshot.folder_id(tmp_path / "s"))
    publish(tmp_path / "s", server)
    other = snapshot.folder_id(tmp_path / "t")
    with pytest.raises(IndexRefusedError, match=f"data folder {server._folder_id}; this one is {other}.*DATABASE"):
        publish(tmp_path / "t", new_server(address_of(server), other))
    assert not (tmp_path / "t" / "CURRENT").exists()


@pytest.mark.parametrize("version", [0, 2])
def test_a_schema_of_another_version_is_refused(new_server, version):
    server = new_server()
    name = f"signdex_{version}_whatever"
    server.connection.call(lambda client: client.create_collection(name, dimension=4))
    with pytest.raises(IndexRefusedError, match=rf"{name}, of schema {version}; this version knows 1\. Drop"):
        server.open_index("ab" * 6, ENCODER, *made())


def test_a_collection_of_another_encoder_is_refused(new_server):
    server = new_server()
    server.open_index("ab" * 6, OTHER_ENCODER, *made())
    with pytest.raises(IndexRefusedError, match=f"by encoder {OTHER_ENCODER}.*encoder {ENCODER} made it; drop"):
        server.open_index("ab" * 6, ENCODER, *made())


def test_a_collection_with_other_fields_or_rows_is_refused(new_server):
    server = new_server()
    vectors, entries = made()
    server.open_index("ab" * 6, ENCODER, vectors, entries)
    with pytest.raises(IndexRefusedError, match=r"vectors of 16 and 60 rows; expected .*, 16 and 40\. Drop"):
        server.open_index("ab" * 6, ENCODER, vectors[:40], entries[:40])
    name = f"signdex_1_{server._folder_id}_{'cd' * 6}_{ENCODER}"
    server.connection.call(lambda client: client.create_collection(name, dimension=16))
    with pytest.raises(IndexRefusedError, match=f"expected {', '.join(FIELDS)}"):
        server.open_index("cd" * 6, ENCODER, vectors, entries)


def test_the_folder_has_one_id_for_ever(tmp_path):
    first = snapshot.folder_id(tmp_path / "s")
    assert first == snapshot.folder_id(tmp_path / "s") != snapshot.folder_id(tmp_path / "t")


class Hello(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_a_web_server_at_the_address_is_refused():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(IndexRefusedError, match=r"not as Milvus does.*gRPC port"):
            Connection(Address.parse(f"milvus://127.0.0.1:{server.server_port}")).call(lambda client: client)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_grpc_server_that_is_no_milvus_is_refused():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(IndexRefusedError, match="not as Milvus does"):
            Connection(Address.parse(f"milvus://127.0.0.1:{port}")).call(lambda client: client)
        with pytest.raises(IndexRefusedError, match="no TLS"):
            Connection(Address.parse(f"milvus+https://127.0.0.1:{port}")).call(lambda client: client)
    finally:
        server.stop(None).wait()


def test_a_wrong_token_is_refused_and_not_shown():
    class Bouncer(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
            )

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Bouncer()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        connection = Connection(Address.parse(f"milvus://127.0.0.1:{port}"), "root:a secret")
        with pytest.raises(IndexRefusedError, match="SIGNDEX_INDEX_TOKEN") as refused:
            connection.call(lambda client: client)
    finally:
        server.stop(None).wait()
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(connection.address)


def eventually(task):
    """What a task gives once the server is not away any more."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return task()
        except IndexAwayError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_server_that_goes_is_away_and_one_that_comes_back_is_found(tmp_path):
    with running_lite(tmp_path / "lite") as lite:
        connection = Connection(Address.parse(lite.address))
        connection.call(lambda client: client.list_collections())
        lite.stop()
        with pytest.raises(IndexAwayError, match="tried again by itself"):
            connection.call(lambda client: client.list_collections(timeout=1))
        with pytest.raises(IndexAwayError):
            connection.require_not_paused()
        lite.start()
        assert eventually(lambda: connection.call(lambda client: client.list_collections())) == []
        connection.require_not_paused()
        connection.close()


def test_what_fails_for_a_moment_is_tried_again(new_server):
    server, seen = new_server(), []

    def stumbles(client):
        seen.append(client)
        if len(seen) < 3:
            raise IndexAwayError("a moment")
        return "done"

    assert server.connection.call(stumbles) == "done"


@pytest.mark.parametrize(
    ("text", "uri", "database"),
    [
        ("milvus://db", "http://db:19530", ""),
        ("milvus://db:1/", "http://db:1", ""),
        ("milvus+https://db:443/signs", "https://db:443", "signs"),
        ("milvus://[::1]:5", "http://[::1]:5", ""),
    ],
)
def test_addresses_are_read(text, uri, database):
    assert Address.parse(text) == Address(uri, database)


@pytest.mark.parametrize(
    "text", ["http://db:19530", "milvus://", "milvus://db:x", "milvus://db/a/b", "milvus://db/?x=1", "db:19530", ""]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(IndexAddressError, match="milvus://HOST:PORT/DATABASE"):
        Address.parse(text)


def test_a_password_in_the_address_is_refused_and_not_shown():
    with pytest.raises(IndexAddressError, match="SIGNDEX_INDEX_TOKEN") as refused:
        Address.parse("milvus://root:secret@db:19530")
    assert "secret" not in str(refused.value)


def test_codes_tell_texts_apart():
    assert len({text_code(text) for text in ("", "a", "A", "ä", '"', "a" * 1000)}) == 6
    assert all(len(text_code(text)) == 12 for text in ("", "手" * 400))


def test_no_row_at_all_is_found_without_asking(build_on_milvus):
    vectors = unit(np.random.default_rng(3), 5)
    scores, rows = build_on_milvus(vectors).search(vectors[:2], 3, AllowedRows(np.zeros(5, np.bool_), Filters("none")))
    assert scores.shape == rows.shape == (2, 0)
