"""Alive, ready, and what is missing."""

import pytest

from app.replica.services import open_services
from index import snapshot_manifest
from tests.fakes import FakeEncoder


def ready(served):
    import time

    response = served.client.get("/readyz")
    for _ in range(500):
        if "warming up" not in response.text:
            break
        time.sleep(0.01)
        response = served.client.get("/readyz")
    return response


def test_a_filled_and_warm_service_is_ready(served):
    assert ready(served).json() == {"status": "ready"}
    assert served.client.get("/healthz").json() == {"status": "alive"}


def test_an_empty_dictionary_is_not_ready_and_says_which_command_fills_it(start):
    served = start()
    response = ready(served)
    assert response.status_code == 503
    checks = response.json()["checks"]
    assert checks["encoder"] == "ready"
    assert "python -m app index build DIR" in checks["dictionary"]
    assert served.client.get("/healthz").status_code == 200


def test_an_encoder_that_is_not_warm_is_not_ready(start):
    slow = FakeEncoder()
    slow.gate.clear()
    served = start(encoder=slow)
    assert served.client.get("/readyz").json()["checks"]["encoder"] == "warming up"
    slow.gate.set()
    assert ready(served).json()["checks"]["encoder"] == "ready"


def test_an_encoder_that_fails_to_warm_up_is_never_ready(start):
    broken = FakeEncoder()
    broken.error = RuntimeError("no memory")
    served = start(encoder=broken)
    assert "no memory" in ready(served).json()["checks"]["encoder"]


@pytest.mark.parametrize("name", ["vectors.npy", "entries.jsonl", "manifest.json"])
def test_a_damaged_snapshot_is_refused_with_the_reason(settings, start, progress, dictionary_folder, name):
    manifest = open_services(settings, FakeEncoder()).reindex(progress)
    (settings.snapshots / manifest.snapshot_id / name).write_bytes(b"{}")
    served = start()
    response = ready(served)
    assert response.status_code == 503
    assert name in response.json()["checks"]["dictionary"]
    assert name in served.post(dictionary_folder / "APPLE.mp4").json()["detail"]


def test_a_snapshot_of_another_encoder_is_refused_with_the_reason(settings, start, progress):
    open_services(settings, FakeEncoder("aaaaaaaaaaaa")).reindex(progress)
    told = ready(start(encoder=FakeEncoder("bbbbbbbbbbbb"))).json()["checks"]["dictionary"]
    assert "aaaaaaaaaaaa" in told
    assert "bbbbbbbbbbbb" in told


def test_a_damaged_index_is_made_anew_and_told(settings, start, progress, dictionary_folder):
    manifest = open_services(settings, FakeEncoder()).reindex(progress)
    (settings.snapshots / manifest.snapshot_id / "index.faiss").write_bytes(b"")
    served = start()
    assert ready(served).status_code == 200
    assert "index.faiss" in served.client.get("/v1/info").json()["dictionary"]["notes"][0]
    assert served.post(dictionary_folder / "DANCE.mp4").json()["hits"][0]["sign"]["gloss"] == "DANCE"


def test_info_names_version_encoder_dictionary_and_limits(served):
    told = served.client.get("/v1/info").json()
    assert told["encoder"]["id"] == served.encoder.info.encoder_id
    assert told["encoder"]["dim"] == 192
    assert (told["dictionary"]["num_entries"], told["dictionary"]["num_signs"]) == (5, 5)
    assert told["limits"] == {"max_video_s": 60.0, "max_upload_mb": 100.0, "max_k": 50}


def test_info_of_an_empty_service_has_no_dictionary(start):
    assert start().client.get("/v1/info").json()["dictionary"] is None


def test_the_version_stands_in_pyproject_and_every_file_that_repeats_it_agrees(start):
    import re
    import tomllib

    from tests.conftest import ROOT

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert start().client.get("/v1/info").json()["version"] == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)[0] == version


def test_start_up_tidies_what_a_killed_writer_left(settings, start, caplog):
    (settings.snapshots / ".staging-aaaaaaaaaaaa").mkdir(parents=True)
    start()
    assert not (settings.snapshots / ".staging-aaaaaaaaaaaa").exists()
    assert ".staging-aaaaaaaaaaaa" in caplog.text
    assert snapshot_manifest.manifests(settings.snapshots) == []


def test_a_service_that_opens_its_own_parts_starts(settings, monkeypatch):
    from app.http import application as main
    from tests.running import running

    monkeypatch.setattr("app.replica.services.open_encoder", lambda settings: FakeEncoder())
    with running(main.create_app(settings)) as client:
        assert client.get("/healthz").status_code == 200


def test_decoders_that_do_not_start_are_told(settings, start, progress, monkeypatch):
    open_services(settings, FakeEncoder()).reindex(progress)
    monkeypatch.setattr("app.decoding.decoder.sys.executable", "/bin/false")
    served = start()
    response = ready(served)
    assert response.status_code == 503
    assert "failed to start" in response.json()["checks"]["decoders"]
    assert served.client.get("/v1/signs").status_code == 200
