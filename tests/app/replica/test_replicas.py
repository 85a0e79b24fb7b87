"""Several services on one data folder: a publish is everybody's, a job is one's, and what is somebody's own says so."""

import logging
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from app.errors import JobCancelledError
from app.http.lifecycle import REFRESH_INTERVAL_S
from app.indexing.reindex import ReindexMode
from app.progress import JobState
from app.replica.services import open_services
from index import snapshot_manifest
from tests.app.conftest import GLOSSES, KEY, SilentProgress
from tests.app.http.test_reindex import events_of
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip

PATIENCE_S = 60.0


@pytest.fixture
def folder(dictionary_folder, tmp_path):
    """A dictionary folder that a test may change."""
    return shutil.copytree(dictionary_folder, tmp_path / "videos")


@pytest.fixture
def pair(start, folder):
    """Two replicas on one data folder with the five signs."""
    one = start(filled=True, dictionary=folder, encoder=FakeEncoder())
    return one, start(dictionary=folder, encoder=FakeEncoder())


def eventually(what, seconds=PATIENCE_S):
    """What is asked for again and again, as soon as it is there."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def used_by(served):
    return served.client.get("/v1/info").json()["dictionary"]["snapshot_id"]


def job_of(served, job):
    return served.as_admin("GET", f"/v1/jobs/{job['id']}").json()


def test_what_one_replica_publishes_the_others_serve(pair, folder):
    one, other = pair
    new = write_clip(folder / "ZEBRA.mp4", 99)
    done = one.finished(one.as_admin("POST", "/reindex").json())
    eventually(lambda: used_by(other) == done["snapshot_id"])
    assert other.post(new).json()["hits"][0]["sign"]["gloss"] == "ZEBRA"
    assert REFRESH_INTERVAL_S <= 0.5  # of the two seconds that are promised, most is for loading


def test_a_replica_without_a_dictionary_gets_ready_when_another_one_publishes(start, folder):
    one, other = start(dictionary=folder), start(dictionary=folder, encoder=FakeEncoder())
    assert other.client.get("/readyz").status_code == 503
    one.finished(one.as_admin("POST", "/reindex").json())
    eventually(lambda: other.client.get("/readyz").status_code == 200)


def test_what_the_command_line_publishes_or_activates_is_served(pair, folder):
    one, other = pair
    before = used_by(one)
    write_clip(folder / "ZEBRA.mp4", 99)
    command = open_services(one.services.settings, FakeEncoder())
    new = command.reindex(SilentProgress()).snapshot_id
    eventually(lambda: {used_by(one), used_by(other)} == {new})
    command.active_snapshot.activate(before)
    eventually(lambda: {used_by(one), used_by(other)} == {before})


def test_every_answer_is_of_one_snapshot_while_replicas_publish_in_turn(pair, folder, dictionary_folder):
    signs_of, stop = {}, threading.Event()

    def ask(served):
        while not stop.is_set():
            answer = served.post(dictionary_folder / "APPLE.mp4", k=50).json()
            signs = frozenset(hit["sign"]["gloss"] for hit in answer["hits"])
            signs_of.setdefault(answer["snapshot_id"], set()).add(signs)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, served) for served in pair for _ in range(2)]
        published = [used_by(pair[0])]
        for turn in range(3):
            write_clip(folder / f"NEW{turn}.mp4", 200 + turn)
            job = pair[turn % 2].finished(pair[turn % 2].as_admin("POST", "/reindex").json())
            published.append(job["snapshot_id"])
            eventually(lambda: {used_by(served) for served in pair} == {published[-1]})
            eventually(lambda: published[-1] in signs_of)
        stop.set()
        for each in asking:
            each.result()
    assert list(signs_of) == published
    for num_new, snapshot_id in enumerate(published):
        assert signs_of[snapshot_id] == {frozenset([*GLOSSES, *(f"NEW{turn}" for turn in range(num_new))])}


def test_every_replica_says_where_a_job_is_and_how_far(pair, folder):
    one, other = pair
    write_clip(folder / "ZEBRA.mp4", 99)
    one.encoder.gate.clear()
    job = one.as_admin("POST", "/reindex").json()
    assert job["replica"] == one.services.coordination.name != other.services.coordination.name
    seen = eventually(lambda: (now := job_of(other, job))["phase"] == "embed" and now)
    assert (seen["replica"], seen["state"], seen["done"], seen["total"]) == (job["replica"], "running", 0, 1)
    refused = other.as_admin("POST", "/reindex")
    assert (refused.status_code, refused.headers["Location"]) == (409, f"/v1/jobs/{job['id']}")
    assert job["replica"] in refused.json()["detail"]
    with other.client.stream(
        "GET", f"/v1/jobs/{job['id']}/events", headers={"Authorization": f"Bearer {KEY}"}
    ) as response:
        events = events_of(response)
        assert next(events)["phase"] == "embed"
        one.encoder.gate.set()
        *_, last = events
    assert last["state"] == "done"
    assert [each["id"] for each in other.as_admin("GET", "/v1/jobs").json()["jobs"]] == [job["id"]]
    assert 'signdex_job_state{state="done"} 1.0' in other.client.get("/metrics").text


def test_any_replica_can_cancel_a_job(pair, folder):
    one, other = pair
    before = used_by(one)
    for number in range(8):
        write_clip(folder / f"NEW{number}.mp4", 300 + number)
    one.encoder.gate.clear()
    job = one.as_admin("POST", "/reindex").json()
    assert other.as_admin("DELETE", f"/v1/jobs/{job['id']}").status_code == 202
    eventually(one.services.jobs._stopped.is_set)
    one.encoder.gate.set()
    assert one.finished(job)["state"] == "cancelled"
    assert eventually(lambda: job_of(other, job)["finished_at"])
    assert (used_by(one), used_by(other)) == (before, before)


def test_a_replica_that_is_stopped_hands_its_job_over(pair, folder):
    one, other = pair
    for number in range(8):
        write_clip(folder / f"NEW{number}.mp4", 300 + number)
    one.encoder.gate.clear()
    job = one.as_admin("POST", "/reindex").json()
    eventually(lambda: job_of(one, job)["phase"] == "embed")
    with ThreadPoolExecutor(1) as pool:
        closing_it = pool.submit(one.services.jobs.close)
        eventually(one.services.jobs._stopped.is_set)
        one.encoder.gate.set()
        closing_it.result()
    done = other.finished(job)
    assert (done["state"], done["replica"]) == ("done", other.services.coordination.name)
    assert eventually(lambda: used_by(other) == done["snapshot_id"])


def test_a_job_that_was_cancelled_is_not_handed_over(pair, folder):
    one, other = pair
    write_clip(folder / "NEW.mp4", 300)
    one.encoder.gate.clear()
    job = one.as_admin("POST", "/reindex").json()
    one.as_admin("DELETE", f"/v1/jobs/{job['id']}")
    with ThreadPoolExecutor(1) as pool:
        closing_it = pool.submit(one.services.jobs.close)
        one.encoder.gate.set()
        closing_it.result()
    assert job_of(other, job)["state"] == "cancelled"


def test_a_replica_that_has_lost_its_lease_publishes_nothing(pair, folder):
    one, other = pair
    before = used_by(one)
    write_clip(folder / "ZEBRA.mp4", 99)
    one.encoder.gate.clear()
    job = one.as_admin("POST", "/reindex").json()
    eventually(lambda: job_of(one, job)["phase"] == "embed")
    with closing(sqlite3.connect(one.services.settings.coordination)) as database, database:
        database.execute("UPDATE jobs SET owner = ?", (other.services.coordination.name,))
    one.encoder.gate.set()
    one.services.jobs._thread.join()
    assert snapshot_manifest.current_id(one.services.settings.snapshots) == before
    assert job_of(one, job)["replica"] == other.services.coordination.name


@pytest.mark.parametrize("mode", ReindexMode)
def test_a_replica_that_takes_a_job_over_embeds_only_what_was_not_embedded(start, folder, mode):
    services = start(filled=True, dictionary=folder).services
    for number in range(4):
        write_clip(folder / f"NEW{number}.mp4", 300 + number)

    class Ends(SilentProgress):
        """The replica ends in the middle of embedding."""

        num = 0

        def advance(self):
            self.num += self.phases[-1][0] == "embed"
            if self.num == 3:
                raise JobCancelledError("ended")

    with pytest.raises(JobCancelledError):
        services.reindex(Ends(), mode, run="the job")
    card = services.reindex(SilentProgress(), mode, run="the job").report["cache"]
    assert card["num_embedded"] == {ReindexMode.MISSING: 4, ReindexMode.FULL: 9}[mode] - 3
    again = services.reindex(SilentProgress(), ReindexMode.FULL, run="another job").report["cache"]
    assert again["num_embedded"] == 9


def test_a_query_of_another_replica_is_unknown_and_the_problem_says_so(pair, dictionary_folder):
    one, other = pair
    query_id = one.post(dictionary_folder / "APPLE.mp4").json()["query_id"]
    assert one.client.post("/v1/search/vector", json={"query_id": query_id}).status_code == 200
    refused = other.client.post("/v1/search/vector", json={"query_id": query_id})
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:signdex:problem:query-unknown")
    assert "other replicas do not know them: post the video again" in refused.json()["detail"]


def test_a_snapshot_that_a_replica_cannot_use_leaves_it_with_what_it_has(pair, folder, caplog):
    one, other = pair
    before = used_by(other)
    write_clip(folder / "ZEBRA.mp4", 99)
    with caplog.at_level(logging.WARNING):
        settings = one.services.settings
        published = open_services(settings, FakeEncoder("bbbbbbbbbbbb")).reindex(SilentProgress())
        eventually(
            lambda: (
                {one.services.active_snapshot.rejected, other.services.active_snapshot.rejected}
                == {published.snapshot_id}
            )
        )
        time.sleep(3 * REFRESH_INTERVAL_S)
    assert used_by(other) == before
    assert other.client.get("/readyz").status_code == 200
    refusals = [record for record in caplog.records if "the dictionary was refused" in record.message]
    assert len([record for record in refusals if "bbbbbbbbbbbb" in record.message]) == 3, "once by each who looked"
    open_services(settings, FakeEncoder()).reindex(SilentProgress())
    eventually(lambda: used_by(one) == used_by(other) != before)


def test_videos_are_served_while_the_active_snapshot_is_off_the_disk_already(start, folder):
    served = start(filled=True, dictionary=folder)
    services = served.services
    object.__setattr__(services, "settings", services.settings.model_copy(update={"dictionary": None}))
    shutil.rmtree(services.settings.snapshots / used_by(served))
    assert served.client.get("/v1/entries/APPLE.mp4/video").status_code == 200


def test_a_service_that_may_write_nothing_searches_and_its_jobs_fail_and_say_why(start, folder, tmp_path, monkeypatch):
    import sqlite3 as real

    def refused(path, **how):
        if str(path).endswith("replicas.sqlite"):
            raise real.OperationalError("attempt to write a readonly database")
        return connect(path, **how)

    connect = real.connect
    monkeypatch.setattr("app.replica.coordination.sqlite3.connect", refused)
    served = start(filled=True, dictionary=folder)
    job = served.finished(served.as_admin("POST", "/reindex").json())
    assert job["state"] == JobState.DONE
    assert served.as_admin("GET", "/v1/jobs").json()["jobs"] == [job]
