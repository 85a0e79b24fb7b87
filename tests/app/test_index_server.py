"""A service whose vectors lie on a Milvus server: there, away, back, and something else."""

import shutil
import time
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from app.__main__ import _index_if_empty as index_if_empty
from app.errors import DictionaryEmptyError
from app.http.lifecycle import Lifecycle
from app.replica.index_health import IndexHealthMonitor
from app.replica.services import open_services
from app.settings import Settings
from index import snapshot
from index.errors import IndexAwayError, IndexDeviceError, IndexRefusedError
from index.milvus.connection import Address, Connection
from index.milvus.leases import Leases
from index.milvus.server import ALIAS
from tests.fakes import FakeEncoder
from tests.milvus_lite import running_lite


@pytest.fixture
def lite(tmp_path):
    with running_lite(tmp_path / "lite") as lite:
        yield lite


def until(ask, is_so, limit_s=60):
    """Asks until the answer is as expected: the service looks after its server every two seconds."""
    deadline = time.monotonic() + limit_s
    while not is_so(response := ask()):
        assert time.monotonic() < deadline, response.text
        time.sleep(0.1)
    return response


def ready(served):
    return served.client.get("/readyz")


def names(address):
    connection = Connection(Address.parse(address))
    try:
        return connection.call(lambda client: client.list_collections())
    finally:
        connection.close()


def test_a_service_finds_loses_and_finds_its_milvus_again(lite, start, dictionary_folder):
    served = start(filled=True, index=lite.address)
    video = dictionary_folder / "CHAIR.mp4"
    until(lambda: ready(served), lambda response: response.status_code == 200)
    before = served.post(video, k=5).json()["hits"]
    assert before[0]["sign"]["gloss"] == "CHAIR"
    vector = served.post(video).json()["vector"]

    lite.stop()
    response = until(lambda: served.post(video), lambda response: response.status_code != 200)
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"] == "2"
    assert response.json()["type"] == "urn:signdex:problem:index-away"
    assert lite.address.removeprefix("milvus://") in response.json()["detail"]
    told = until(lambda: ready(served), lambda response: response.status_code == 503)
    assert "can't be asked just now" in told.json()["checks"]["index"]
    assert told.json()["checks"]["dictionary"] == "ready"
    again = served.client.post("/v1/search/vector", json={"vector": vector})
    assert (again.status_code, again.headers["Retry-After"]) == (503, "2")
    assert served.client.get("/v1/signs").json()["total"] == 5, "what needs no search goes on"
    assert served.client.get("/healthz").status_code == 200

    lite.start()
    until(lambda: ready(served), lambda response: response.status_code == 200)
    assert served.post(video, k=5).json()["hits"] == before
    similar = served.client.get(f"/v1/signs/{before[0]['sign']['id']}/similar")
    assert len(similar.json()["hits"]) == 4


def test_a_service_that_starts_before_its_milvus_waits_for_it(lite, settings, start, progress, dictionary_folder):
    on_lite = settings.model_copy(update={"index": lite.address})
    services = open_services(on_lite, FakeEncoder())
    services.reindex(progress)
    Lifecycle(services).close()
    lite.stop()
    served = start(index=lite.address)
    assert "can't be asked" in ready(served).json()["checks"]["index"]
    refused = served.post(dictionary_folder / "APPLE.mp4")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    lite.start()
    until(lambda: ready(served), lambda response: response.status_code == 200)
    assert served.post(dictionary_folder / "APPLE.mp4").json()["hits"][0]["sign"]["gloss"] == "APPLE"


def test_a_dropped_collection_is_made_anew_by_itself(lite, start, dictionary_folder):
    served = start(filled=True, index=lite.address)
    until(lambda: ready(served), lambda response: response.status_code == 200)
    [name] = names(lite.address)
    connection = Connection(Address.parse(lite.address))
    connection.call(lambda client: client.drop_alias(ALIAS))
    connection.call(lambda client: client.drop_collection(name))
    connection.close()

    def answers():
        return served.post(dictionary_folder / "DANCE.mp4")

    response = until(answers, lambda response: response.status_code == 200)
    assert response.json()["hits"][0]["sign"]["gloss"] == "DANCE"
    assert names(lite.address) == [name]


class FlakyServer:
    """A server of which a test says how it is."""

    def __init__(self):
        self.error, self.has_it = None, True

    def require_usable(self):
        if self.error:
            raise self.error

    def can_search(self, snapshot_id, encoder_id):
        return self.has_it


@dataclass
class Loaded:
    snapshot_id: str = "a" * 12
    encoder_id: str = "b" * 12


def test_what_is_published_is_loaded_once_and_again_only_after_a_loss():
    server, used, seen = FlakyServer(), [], []

    def reload():
        seen.append(monitor.error)
        used[:] = [Loaded()]

    monitor = IndexHealthMonitor(server, lambda: used[0] if used else None, reload)
    server.error = IndexAwayError("away")
    for _ in range(2):
        with pytest.raises(IndexAwayError, match="away"):
            monitor.check()
    assert seen == []
    server.error = None
    for _ in range(3):
        monitor.check()
    assert len(seen) == 1
    assert monitor.error is None
    server.has_it = False
    monitor.check()
    assert "brought back" in str(seen[1]), "searches are refused while it is brought back"
    used.clear()
    server.has_it = True
    monitor.check()
    assert len(seen) == 2, "a snapshot that was refused for itself is not read again every two seconds"


def test_a_reindex_is_refused_before_anything_is_embedded_while_milvus_is_away(settings, progress):
    services = open_services(settings.model_copy(update={"index": "milvus://127.0.0.1:1"}), FakeEncoder())
    with pytest.raises(IndexAwayError, match=r"127\.0\.0\.1:1"):
        services.reindex(progress)
    assert progress.phases == []
    index_if_empty(services)
    assert not (services.settings.snapshots / "CURRENT").exists()
    with pytest.raises(IndexAwayError):
        services.searchable_dictionary()
    with pytest.raises(DictionaryEmptyError):
        services.active_snapshot.require_dictionary()
    Lifecycle(services).close()


def test_a_service_of_another_data_folder_does_not_start(lite, settings, progress, tmp_path):
    services = open_services(settings.model_copy(update={"index": lite.address}), FakeEncoder())
    services.reindex(progress)
    Lifecycle(services).close()
    other = settings.model_copy(update={"index": lite.address, "data": tmp_path / "other"})
    with pytest.raises(IndexRefusedError, match="Two data folders do not share a database"):
        open_services(other, FakeEncoder())


def test_what_this_process_searches_is_noted_and_what_it_searches_no_more_is_not(
    lite, settings, progress, tmp_path, dictionary_folder
):
    videos = shutil.copytree(dictionary_folder, tmp_path / "videos")
    services = open_services(settings.model_copy(update={"index": lite.address, "dictionary": videos}), FakeEncoder())
    noted = Leases(settings.snapshots / ".in-use")
    for name in (None, "APPLE.mp4"):
        if name is not None:
            (videos / name).unlink()
        manifest = services.reindex(progress)
        folder_id = snapshot.folder_id(settings.snapshots)
        assert noted.held_anywhere() == {f"signdex_1_{folder_id}_{manifest.snapshot_id}_{manifest.encoder_id}"}
    assert len(names(lite.address)) == 2
    Lifecycle(services).close()


def test_a_server_and_a_gpu_at_once_are_refused(settings):
    with pytest.raises(IndexDeviceError, match="unset one of them"):
        open_services(settings.model_copy(update={"index": "milvus://db", "index_device": "cuda"}), FakeEncoder())


def test_the_token_is_not_shown():
    assert "a secret" not in repr(Settings(index="milvus://db", index_token=SecretStr("root:a secret")))
