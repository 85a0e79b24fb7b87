"""A clock that jumps back and forth by decades costs nothing: durations come from a clock that does not."""

import datetime
import itertools
import re
import shutil
import time

import pytest

from tests.app.conftest import GLOSSES
from tests.conftest import ROOT
from tests.tiny_videos import write_clip

YEARS = itertools.cycle([2026, 1970, 2099, 2001, 2026, 2038])


class JumpingDatetime(datetime.datetime):
    """Every look at the clock shows another year."""

    @classmethod
    def now(cls, tz=None):
        return cls(next(YEARS), 1, 1, tzinfo=tz)


@pytest.fixture
def jumping(monkeypatch):
    """From now on the time of day is another decade at every look."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + (next(YEARS) - 2026) * 31_557_600)
    monkeypatch.setattr(datetime, "datetime", JumpingDatetime)


def test_searches_jobs_and_snapshots_do_not_care_what_time_it_is(start, dictionary_folder, tmp_path, jumping):
    folder = shutil.copytree(dictionary_folder, tmp_path / "videos")
    served = start(dictionary=folder)
    ids = []
    for seed in range(4):
        write_clip(folder / f"NEW{seed}.mp4", 100 + seed)
        job = served.finished(served.as_admin("POST", "/reindex").json())
        assert (job["state"], job["eta_s"]) == ("done", None)
        ids.append(job["snapshot_id"])
        answer = served.post(folder / f"NEW{seed}.mp4").json()
        assert answer["hits"][0]["sign"]["gloss"] == f"NEW{seed}"
        assert all(spent >= 0 for spent in answer["timings_ms"].values())
        again = served.client.post("/v1/search/vector", json={"query_id": answer["query_id"]})
        assert again.json()["hits"] == answer["hits"]
    kept = served.as_admin("GET", "/v1/snapshots").json()["snapshots"]
    assert {snapshot["id"] for snapshot in kept} == set(ids[-2:]), "the one before the current one is kept, no other"
    assert served.as_admin("POST", f"/v1/snapshots/{ids[-2]}/activate").status_code == 200
    assert served.client.get("/v1/info").json()["dictionary"]["num_entries"] == len(GLOSSES) + 3


def test_a_job_never_promises_a_negative_time(start, dictionary_folder, jumping):
    served = start(dictionary=dictionary_folder)
    served.encoder.gate.clear()
    job = served.as_admin("POST", "/reindex").json()
    told = [served.as_admin("GET", f"/v1/jobs/{job['id']}").json()["eta_s"] for _ in range(5)]
    served.encoder.gate.set()
    served.finished(job)
    assert all(eta_s is None or eta_s >= 0 for eta_s in told)


def test_the_time_of_day_is_asked_only_where_it_is_told_to_people_orders_the_cache_or_ages_notes():
    asking = {
        str(path.relative_to(ROOT))
        for package in ("app", "index", "model")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\btime\.time\(|datetime\.now\(", path.read_text(encoding="utf-8"))
    }
    assert asking == {"app/replica/jobs.py", "index/cache.py", "index/milvus/leases.py", "index/snapshot.py"}
