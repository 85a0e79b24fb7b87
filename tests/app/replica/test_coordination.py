"""Coordination of replicas: a job is leased to one of them, and taken over once that one is dead."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from app.errors import CoordinationError, JobRunningError, JobUnknownError
from app.progress import JobState, SkippedVideo
from app.replica.coordination import KEPT_JOBS, LEASE_S, MAX_TAKEOVERS, CoordinationStore, Job
from tests.conftest import ROOT

NOW = "2026-01-01T00:00:00.000+00:00"


OLD_TABLES = """
PRAGMA user_version = 1;
CREATE TABLE replicas (name TEXT PRIMARY KEY, beats INTEGER NOT NULL, snapshot_id TEXT);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, is_over INTEGER NOT NULL,
    is_cancelled INTEGER NOT NULL DEFAULT 0, num_takeovers INTEGER NOT NULL DEFAULT 0, told TEXT NOT NULL
);
INSERT INTO replicas VALUES ('old', 7, 'aaaaaaaaaaaa');
INSERT INTO jobs (id, owner, is_over, told) VALUES ('0123456789ab', 'old', 0,
    '{"id": "0123456789ab", "kind": "reindex", "mode": "missing", "state": "running",
      "created_at": "2026-01-01T00:00:00.000+00:00", "replica": "old", "finished_at": null, "phase": "embed", "done": 1,
      "total": 5, "eta_s": 1.5, "skipped": [{"video": "x.mp4", "reason": "it is no video", "line": 3}],
      "snapshot_id": null, "error": null}');
"""


class Clock:
    """Goes on when it is told to."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stores(tmp_path, clock):
    """One store as three replicas open it."""
    stores = [CoordinationStore(tmp_path / "data" / "replicas.sqlite", name, clock=clock) for name in "abc"]
    yield stores
    for store in stores:
        store.leave()


def job(job_id="0123456789ab", **fields):
    return Job(job_id, "reindex", "missing", JobState.QUEUED, created_at=NOW, **fields)


def pass_time(clock, living, seconds=LEASE_S + 2):
    """Let time pass in which only some replicas send heartbeats."""
    for _ in range(int(seconds)):
        clock.now_s += 1
        for store in living:
            store.heartbeat()


def test_all_replicas_see_a_job_and_how_far_it_is(stores):
    one, other, _ = stores
    added = one.add_job(job())
    assert added.replica == "a"
    assert other.jobs() == [added]
    further = replace(added, state=JobState.RUNNING, phase="embed", done=2, total=5,
                      skipped=(SkippedVideo("x.mp4", "it is no video", 3),))  # fmt: skip
    assert one.update_job(further)
    assert other.job(added.id) == further


def test_there_is_one_job_at_a_time_among_all_replicas(stores):
    one, other, _ = stores
    added = one.add_job(job())
    with pytest.raises(JobRunningError, match="on replica a") as refused:
        other.add_job(job("ba9876543210"))
    assert refused.value.members == {"job_id": added.id}
    one.update_job(replace(added, state=JobState.DONE))
    assert other.add_job(job("ba9876543210")).replica == "b"


def test_a_job_is_taken_over_once_its_replica_sent_no_heartbeat_for_the_lease(stores, clock):
    one, other, third = stores
    added = one.add_job(job())
    one.update_job(replace(added, state=JobState.RUNNING, phase="embed", done=2, total=5))
    one.heartbeat()
    pass_time(clock, [other, third], LEASE_S)
    assert other.take_over_job(NOW) is None
    pass_time(clock, [other, third], 2)
    taken = other.take_over_job(NOW)
    assert (taken.id, taken.state, taken.replica, taken.done) == (added.id, JobState.QUEUED, "b", 0)
    assert third.take_over_job(NOW) is None
    assert third.job(added.id) == taken


def test_a_replica_that_sends_heartbeats_keeps_its_job_however_long_it_takes(stores, clock):
    one, other, _ = stores
    one.add_job(job())
    pass_time(clock, [one, other], 10 * LEASE_S)
    assert other.take_over_job(NOW) is None


def test_a_replica_that_was_only_held_up_learns_that_its_lease_is_lost(stores, clock):
    one, other, _ = stores
    added = one.add_job(job())
    pass_time(clock, [other])
    taken = other.take_over_job(NOW)
    one.heartbeat()
    assert not one.update_job(replace(added, state=JobState.RUNNING, phase="publish"))
    assert other.job(added.id) == taken
    pass_time(clock, [one, other])
    assert one.take_over_job(NOW) is None


def test_a_replica_that_was_held_up_keeps_a_lease_that_was_not_taken_over(stores, clock):
    one, other, _ = stores
    added = one.add_job(job())
    pass_time(clock, [other])
    one.heartbeat()
    assert other.take_over_job(NOW) is None
    assert one.update_job(replace(added, state=JobState.RUNNING))


def test_whether_another_replica_is_alive_is_judged_by_the_own_clock_from_its_first_heartbeat_on(tmp_path, clock):
    path = tmp_path / "replicas.sqlite"
    gone = CoordinationStore(path, "gone", clock=clock)
    gone.add_job(job())
    clock.now_s += 1_000_000
    new = CoordinationStore(path, "new", clock=clock)
    new.heartbeat()
    assert new.take_over_job(NOW) is None
    pass_time(clock, [new])
    assert new.take_over_job(NOW) is not None


def test_a_job_that_was_handed_over_is_taken_at_once(stores):
    one, other, third = stores
    added = one.add_job(job())
    assert one.update_job(replace(added, replica=""))
    with pytest.raises(JobRunningError, match="on no replica yet"):
        third.add_job(job("ba9876543210"))
    assert other.take_over_job(NOW).replica == "b"


def test_a_job_that_takes_every_replica_down_is_given_up(stores, clock):
    one, other, third = stores
    added = one.add_job(job())
    for taker, survivor in [(other, third), (third, one)][:MAX_TAKEOVERS]:
        pass_time(clock, [taker, survivor])
        assert taker.take_over_job(NOW).state == JobState.QUEUED
    pass_time(clock, [one])
    given_up = one.take_over_job(NOW)
    assert (given_up.state, given_up.finished_at) == (JobState.FAILED, NOW)
    assert f"{MAX_TAKEOVERS + 1} replicas" in given_up.error
    assert one.add_job(job("ba9876543210"))
    assert one.job(added.id) == given_up


def test_handing_over_does_not_count_as_an_end(stores):
    stores[0].add_job(job())
    for turn in range(3 * MAX_TAKEOVERS):
        had = stores[turn % 3].job(job().id)
        assert stores[turn % 3].update_job(replace(had, replica=""))
        assert stores[(turn + 1) % 3].take_over_job(NOW).state == JobState.QUEUED


def test_any_replica_may_cancel_and_a_cancelled_job_is_not_restarted(stores, clock):
    one, other, _ = stores
    added = one.add_job(job())
    assert not one.is_cancelled(added.id)
    other.cancel(added.id)
    assert one.is_cancelled(added.id)
    pass_time(clock, [other])
    assert (other.take_over_job(NOW).state, other.job(added.id).finished_at) == (JobState.CANCELLED, NOW)


def test_what_is_over_is_not_changed_any_more(stores):
    one, _, _ = stores
    done = replace(one.add_job(job()), state=JobState.DONE)
    assert one.update_job(done)
    assert not one.update_job(replace(done, state=JobState.RUNNING))
    assert one.job(done.id) == done


def test_replicas_know_of_the_others_until_those_leave_or_die(stores, clock):
    one, other, third = stores
    for store in stores:
        store.heartbeat()
    assert sorted(one.other_replicas()) == ["b", "c"]
    other.leave()
    assert one.other_replicas() == ["c"]
    pass_time(clock, [third])
    assert third.other_replicas() == []


def test_a_file_of_an_older_version_with_one_more_column_is_used_as_it_is(tmp_path, clock):
    path = tmp_path / "replicas.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(OLD_TABLES)
    store = CoordinationStore(path, "new", clock=clock)
    store.heartbeat()
    assert store.other_replicas() == ["old"]
    assert (store.job("0123456789ab").state, store.job("0123456789ab").replica) == (JobState.RUNNING, "old")
    pass_time(clock, [store])
    assert store.take_over_job(NOW).skipped == ()
    assert store.other_replicas() == []
    store.leave()
    with closing(sqlite3.connect(path)) as database:
        assert [column[1] for column in database.execute("PRAGMA table_info(replicas)")][-1] == "snapshot_id"


def test_the_latest_jobs_are_kept(stores):
    one, other, _ = stores
    for number in range(KEPT_JOBS + 3):
        one.update_job(replace(one.add_job(job(f"{number:012x}")), state=JobState.DONE))
    assert [each.id for each in other.jobs()] == [f"{number:012x}" for number in reversed(range(3, KEPT_JOBS + 3))]
    with pytest.raises(JobUnknownError, match="0000"):
        other.job(f"{0:012x}")


@pytest.mark.parametrize("spoil", ["folder", "schema", "bytes"])
def test_a_store_that_cannot_be_opened_leaves_a_replica_alone_and_says_so(tmp_path, caplog, spoil):
    path = tmp_path / "replicas.sqlite"
    if spoil == "folder":
        path = tmp_path / "file" / "replicas.sqlite"
        path.parent.write_text("no folder")
    elif spoil == "schema":
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA user_version = 7")
    else:
        path.write_bytes(b"no database " * 1000)
    store = CoordinationStore(path, "a")
    added = store.add_job(job())
    assert store.jobs() == [added]
    assert "does not know of others" in caplog.text
    store.leave()


def test_a_store_that_fails_later_is_an_error_that_says_what_to_do(tmp_path):
    path = tmp_path / "replicas.sqlite"
    store = CoordinationStore(path, "a")
    store.heartbeat()
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE jobs")
    with pytest.raises(CoordinationError, match="make room"):
        store.add_job(job())
    store.leave()


TAKE = """
import sys
from pathlib import Path
from app.replica.coordination import CoordinationStore
store = CoordinationStore(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
taken = store.take_over_job("now")
store.heartbeat()
print(taken.replica if taken else "-", sorted(store.other_replicas()).count("gone"), flush=True)
sys.stdin.readline()
"""


def test_of_processes_that_open_a_new_store_and_take_over_at_the_same_moment_one_gets_the_job(tmp_path):
    path = tmp_path / "replicas.sqlite"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, str(path), f"racer-{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        store = CoordinationStore(path, "gone")
        store.update_job(replace(store.add_job(job()), replica=""))
        store.leave()
        for racer in racers:
            racer.stdin.write("\n")
            racer.stdin.flush()
        told = [racer.stdout.readline().split()[0] for racer in racers]
    finally:
        for racer in racers:
            racer.communicate("\n")
    [winner] = [name for name in told if name != "-"]
    assert CoordinationStore(path, "looks on").job(job().id).replica == winner
