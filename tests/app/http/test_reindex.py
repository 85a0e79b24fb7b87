"""POST /reindex: in the background, one at a time, swapped whole."""

import itertools
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from app.http.rate_limit import FailureRateLimit
from index import snapshot_manifest
from tests.app.conftest import GLOSSES, KEY
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip


@pytest.fixture
def folder(dictionary_folder, tmp_path):
    """A dictionary folder that a test may change."""
    return shutil.copytree(dictionary_folder, tmp_path / "videos")


def test_a_reindex_fills_an_empty_dictionary(start, dictionary_folder):
    served = start()
    response = served.as_admin("POST", "/reindex")
    assert response.status_code == 202
    job = response.json()
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    done = served.finished(job)
    assert (done["state"], done["phase"], done["error"]) == ("done", "publish", None)
    answer = served.post(dictionary_folder / "CHAIR.mp4").json()
    assert answer["hits"][0]["sign"]["gloss"] == "CHAIR"
    assert answer["snapshot_id"] == done["snapshot_id"]


def test_a_new_video_is_found_after_a_reindex_and_not_before(start, folder):
    served = start(filled=True, dictionary=folder)
    new = write_clip(folder / "ZEBRA.mp4", 99)
    assert "ZEBRA" not in [hit["sign"]["gloss"] for hit in served.post(new, k=50).json()["hits"]]
    served.finished(served.as_admin("POST", "/v1/reindex").json())
    assert served.post(new).json()["hits"][0]["sign"]["gloss"] == "ZEBRA"


def test_unusable_videos_are_skipped_with_reasons_and_stop_nothing(start, folder):
    (folder / "BROKEN.mp4").write_bytes(b"not a video")
    (folder / "OUT.mp4").symlink_to("/etc/hostname")
    served = start(dictionary=folder)
    job = served.finished(served.as_admin("POST", "/reindex").json())
    assert job["state"] == "done"
    assert {skipped["video"] for skipped in job["skipped"]} == {"BROKEN.mp4", "OUT.mp4"}
    assert all(skipped["reason"] for skipped in job["skipped"])
    [manifest] = snapshot_manifest.manifests(served.services.settings.snapshots)
    assert manifest.counts["entries"] == len(GLOSSES)
    assert manifest.report["skipped"] == job["skipped"]


def test_a_clip_without_a_vector_is_skipped_and_stops_nothing(start):
    served = start()
    encode = served.encoder.encode
    blocks = np.random.default_rng(0).integers(0, 256, size=(8, 8, 3), dtype=np.uint8) - 127.5
    pictures = np.stack([blocks.ravel(), blocks[:, ::-1].ravel()])  # of the first clip, as filmed and mirrored

    def zeros_for_the_first_clip(windows, visible=None):
        encoding = encode(windows, visible)
        is_first = (encoding.embedding @ pictures.T / (pictures**2).sum(axis=1)).max(axis=1) > 0.7
        return replace(encoding, embedding=encoding.embedding * ~is_first[:, None])

    served.encoder.encode = zeros_for_the_first_clip
    job = served.finished(served.as_admin("POST", "/reindex").json())
    assert job["state"] == "done"
    [skipped] = job["skipped"]
    assert "length 0" in skipped["reason"]
    assert served.client.get("/v1/info").json()["dictionary"]["num_entries"] == 4


def test_a_folder_without_a_usable_video_fails_and_the_old_dictionary_serves_on(start, folder, dictionary_folder):
    served = start(filled=True, dictionary=folder)
    for path in folder.iterdir():
        path.write_bytes(b"")
    job = served.finished(served.as_admin("POST", "/reindex").json())
    assert job["state"] == "failed"
    assert "5 skipped" in job["error"]
    assert served.post(dictionary_folder / "APPLE.mp4").json()["hits"][0]["sign"]["gloss"] == "APPLE"


def test_a_second_reindex_is_refused_and_names_the_running_job(start):
    served = start()
    served.encoder.gate.clear()
    first = served.as_admin("POST", "/reindex").json()
    second = served.as_admin("POST", "/reindex")
    assert second.status_code == 409
    assert second.json()["job_id"] == first["id"]
    assert second.headers["Location"] == f"/v1/jobs/{first['id']}"
    served.encoder.gate.set()
    assert served.finished(first)["state"] == "done"
    assert served.as_admin("POST", "/reindex").status_code == 202


def test_a_job_tells_how_far_it_is(start):
    served = start()
    paces = threading.Semaphore(0)
    encode = served.encoder.encode
    reached = threading.Event()
    calls = []

    def hold_the_last_batch(windows, visible=None):
        calls.append(len(windows))
        if len(calls) == 4:  # 5 clips of 3 windows, 4 to a batch: at the last one some clips are complete, never all
            reached.set()
            assert paces.acquire(timeout=30)
        return encode(windows, visible)

    served.encoder.encode = hold_the_last_batch
    job = served.as_admin("POST", "/reindex").json()
    assert reached.wait(30)
    seen = served.as_admin("GET", f"/v1/jobs/{job['id']}").json()
    assert (seen["state"], seen["phase"], seen["total"]) == ("running", "embed", 5)
    assert 1 <= seen["done"] < 5
    assert seen["eta_s"] >= 0
    paces.release()
    assert served.finished(job)["eta_s"] is None


def test_a_cancelled_reindex_stops_and_publishes_nothing(start):
    served = start(filled=True)
    before = served.client.get("/v1/info").json()["dictionary"]
    served.encoder.gate.clear()
    job = served.as_admin("POST", "/reindex?mode=full").json()
    assert served.as_admin("DELETE", f"/v1/jobs/{job['id']}").status_code == 202
    served.encoder.gate.set()
    assert served.finished(job)["state"] == "cancelled"
    assert served.client.get("/v1/info").json()["dictionary"] == before
    assert len(snapshot_manifest.manifests(served.services.settings.snapshots)) == 1


class PacedEncoder:
    """An encoder for the reindex alone: every batch takes a permit, so that a test decides how long it lasts."""

    def __init__(self, encoder):
        self.encoder, self.info = encoder, encoder.info
        self.permits = threading.Semaphore(0)

    def encode(self, windows, visible=None):
        assert self.permits.acquire(timeout=60)
        return self.encoder.encode(windows, visible)


NUM_SEARCHES = 100


@pytest.mark.parametrize("num_rounds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_hundred_searches_during_each_reindex_never_fail_and_never_mix_snapshots(start, folder, num_rounds):
    served = start(filled=True, dictionary=folder, decoders=2)
    # Searches keep the encoder that the service began with; the reindex takes the one that is set now.
    served.services.encoder = paced = PacedEncoder(served.encoder)
    videos = [folder / f"{gloss}.mp4" for gloss in GLOSSES[:2]]
    signs_of: dict[str, set[frozenset[str]]] = {}

    def search(number):
        response = served.post(videos[number % 2], k=50)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["hits"][0]["sign"]["gloss"] == GLOSSES[number % 2]
        glosses = frozenset(hit["sign"]["gloss"] for hit in answer["hits"])
        signs_of.setdefault(answer["snapshot_id"], set()).add(glosses)
        return answer["snapshot_id"]

    with ThreadPoolExecutor(4) as pool:
        for round_ in range(num_rounds):
            for path in folder.glob("EXTRA*"):
                path.unlink()
            write_clip(folder / f"EXTRA{round_}.mp4", 200 + round_)
            before = served.client.get("/v1/info").json()["dictionary"]["snapshot_id"]
            job = served.as_admin("POST", "/reindex?mode=full").json()
            assert set(pool.map(search, range(NUM_SEARCHES))) == {before}
            assert served.as_admin("GET", f"/v1/jobs/{job['id']}").json()["state"] == "running"
            paced.permits.release(1000)
            over = pool.submit(served.finished, job)
            while not over.done():  # while it publishes and swaps
                list(pool.map(search, range(3)))
            assert over.result()["state"] == "done"
            assert search(0) == over.result()["snapshot_id"]
            while paced.permits.acquire(blocking=False):
                pass
    assert len(signs_of) == num_rounds + 1
    assert all(len(seen) == 1 for seen in signs_of.values())


def test_a_search_goes_on_with_the_dictionary_it_started_with(start, folder):
    import concurrent.futures

    served = start(filled=True, dictionary=folder)
    before = served.client.get("/v1/info").json()["dictionary"]["snapshot_id"]
    entered, leave = threading.Event(), threading.Event()
    encode = served.encoder.encode

    def held(windows, visible=None):
        entered.set()
        assert leave.wait(30)
        return encode(windows, visible)

    served.encoder.encode = held
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        search = pool.submit(served.post, folder / "APPLE.mp4")
        assert entered.wait(30)
        served.encoder.encode = encode
        write_clip(folder / "ZEBRA.mp4", 99)
        served.finished(served.as_admin("POST", "/reindex").json())
        assert served.client.get("/v1/info").json()["dictionary"]["snapshot_id"] != before
        leave.set()
        assert search.result().json()["snapshot_id"] == before


def test_an_unexpected_error_fails_the_job_and_frees_the_place(start):
    served = start()
    served.encoder.error = MemoryError("no more")
    job = served.finished(served.as_admin("POST", "/reindex").json())
    assert job["state"] == "failed"
    assert "MemoryError" in job["error"]
    served.encoder.error = None
    assert served.finished(served.as_admin("POST", "/reindex").json())["state"] == "done"


def test_without_a_dictionary_folder_a_reindex_is_refused(start):
    response = start(dictionary=None).as_admin("POST", "/reindex")
    assert response.status_code == 409
    assert "SIGNDEX_DICTIONARY" in response.json()["detail"]


def test_a_mode_that_does_not_exist_is_refused(start):
    response = start().as_admin("POST", "/reindex?mode=most")
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:invalid-request")


def test_an_unknown_job_is_not_found(start):
    response = start().as_admin("GET", "/v1/jobs/nope")
    assert (response.status_code, response.json()["type"]) == (404, "urn:signdex:problem:job-unknown")


ADMIN_ROUTES = [
    ("POST", "/reindex"),
    ("POST", "/v1/reindex"),
    ("GET", "/v1/jobs/x"),
    ("DELETE", "/v1/jobs/x"),
    ("GET", "/v1/jobs/x/events"),
    ("GET", "/v1/snapshots"),
    ("POST", "/v1/snapshots/x/activate"),
]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
def test_admin_routes_are_closed_while_no_key_is_set(start, method, path):
    served = start(admin_key=None)
    response = served.as_admin(method, path)
    assert response.status_code == 403
    assert "SIGNDEX_ADMIN_KEY" in response.json()["detail"]


def test_admin_routes_refuse_any_other_key(start):
    served = start()
    served.app.state.rate_limits.wrong_keys = FailureRateLimit("wrong admin keys", at_once=1000, every_s=1)
    for header in (None, "Bearer", "Bearer wrong", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY):
        for method, path in ADMIN_ROUTES:
            headers = {"Authorization": header} if header else {}
            response = served.client.request(method, path, headers=headers)
            assert response.status_code == 401, (header, path)
            assert response.headers["WWW-Authenticate"] == "Bearer"


def test_shutting_down_stops_a_running_reindex(settings):
    from app.http.application import create_app
    from app.http.lifecycle import Lifecycle
    from app.replica.services import open_services
    from tests.running import running

    encoder = FakeEncoder()
    services = open_services(settings, encoder)
    encoder.gate.clear()
    with running(create_app(settings, Lifecycle(services))) as client:
        job = client.post("/reindex", headers={"Authorization": f"Bearer {KEY}"}).json()
        encoder.gate.set()
    assert services.jobs.get(job["id"]).is_over


def events_of(response):
    """The jobs of a stream of server-sent events."""
    event = None
    for line in response.iter_lines():
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: "):
            assert event == "job"
            yield json.loads(line.removeprefix("data: "))


def test_a_job_tells_its_changes_as_events_until_it_is_over(start):
    served = start()
    served.encoder.gate.clear()
    job = served.as_admin("POST", "/reindex").json()
    told = []
    with served.client.stream(
        "GET", f"/v1/jobs/{job['id']}/events", headers={"Authorization": f"Bearer {KEY}"}
    ) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        for seen in events_of(response):
            told.append(seen)
            served.encoder.gate.set()
    assert told[0]["state"] in ("queued", "running")
    assert told[-1] == served.as_admin("GET", f"/v1/jobs/{job['id']}").json()
    assert told[-1]["state"] == "done"
    assert all(before != after for before, after in itertools.pairwise(told))


def test_the_events_of_an_unknown_job_are_a_problem(start):
    response = start().as_admin("GET", "/v1/jobs/nope/events")
    assert (response.status_code, response.json()["type"]) == (404, "urn:signdex:problem:job-unknown")


def test_an_unknown_snapshot_is_not_activated(start):
    served = start(filled=True)
    before = served.client.get("/v1/info").json()["dictionary"]
    for unknown in ("nope", "aaaaaaaaaaaa", "..%2f.."):
        response = served.as_admin("POST", f"/v1/snapshots/{unknown}/activate")
        assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")
    assert served.client.get("/v1/info").json()["dictionary"] == before


def test_snapshots_of_an_empty_service_are_none(start):
    assert start().as_admin("GET", "/v1/snapshots").json() == {"snapshots": []}
