"""Where replicas meet: jobs are owned by one, and are taken over from whoever has ended."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from app.board import KEPT_JOBS, LEASE_S, MAX_TAKEOVERS, Board, Job, JobState
from app.errors import BoardError, JobRunningError, JobUnknownError
from app.progress import Skipped
from tests.conftest import ROOT

NOW = "2026-01-01T00:00:00.000+00:00"


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
def boards(tmp_path, clock):
    """Three replicas' hands on one board."""
    boards = [Board(tmp_path / "data" / "replicas.sqlite", name, clock=clock) for name in "abc"]
    yield boards
    for board in boards:
        board.leave()


def job(job_id="0123456789ab", **fields):
    return Job(job_id, "reindex", "missing", JobState.QUEUED, created_at=NOW, **fields)


def pass_time(clock, living, seconds=LEASE_S + 2):
    """Let time pass in which only some replicas beat."""
    for _ in range(int(seconds)):
        clock.now_s += 1
        for board in living:
            board.beat(None)


def test_all_replicas_see_a_job_and_how_far_it_is(boards):
    one, other, _ = boards
    posted = one.post(job())
    assert posted.replica == "a"
    assert other.jobs() == [posted]
    further = replace(posted, state=JobState.RUNNING, phase="embed", done=2, total=5,
                      skipped=(Skipped("x.mp4", "it is no video", 3),))  # fmt: skip
    assert one.tell(further)
    assert other.job(posted.id) == further


def test_there_is_one_job_at_a_time_among_all_replicas(boards):
    one, other, _ = boards
    posted = one.post(job())
    with pytest.raises(JobRunningError, match="on replica a") as refused:
        other.post(job("ba9876543210"))
    assert refused.value.members == {"job_id": posted.id}
    one.tell(replace(posted, state=JobState.DONE))
    assert other.post(job("ba9876543210")).replica == "b"


def test_a_job_is_taken_over_once_its_replica_was_not_heard_of_for_the_lease(boards, clock):
    one, other, third = boards
    posted = one.post(job())
    one.tell(replace(posted, state=JobState.RUNNING, phase="embed", done=2, total=5))
    one.beat("s1")
    pass_time(clock, [other, third], LEASE_S)
    assert other.take_over(NOW) is None
    pass_time(clock, [other, third], 2)
    taken = other.take_over(NOW)
    assert (taken.id, taken.state, taken.replica, taken.done) == (posted.id, JobState.QUEUED, "b", 0)
    assert third.take_over(NOW) is None
    assert third.job(posted.id) == taken


def test_a_replica_that_beats_keeps_its_job_however_long_it_takes(boards, clock):
    one, other, _ = boards
    one.post(job())
    pass_time(clock, [one, other], 10 * LEASE_S)
    assert other.take_over(NOW) is None


def test_a_replica_that_was_only_held_up_is_told_that_its_job_is_another_ones(boards, clock):
    one, other, _ = boards
    posted = one.post(job())
    pass_time(clock, [other])
    taken = other.take_over(NOW)
    one.beat("s1")
    assert not one.tell(replace(posted, state=JobState.RUNNING, phase="publish"))
    assert other.job(posted.id) == taken
    pass_time(clock, [one, other])
    assert one.take_over(NOW) is None


def test_a_replica_that_was_held_up_keeps_what_nobody_took(boards, clock):
    one, other, _ = boards
    posted = one.post(job())
    pass_time(clock, [other])
    one.beat("s1")
    assert other.take_over(NOW) is None
    assert one.tell(replace(posted, state=JobState.RUNNING))


def test_whether_another_replica_lives_is_judged_by_ones_own_clock_from_the_first_look_on(tmp_path, clock):
    path = tmp_path / "replicas.sqlite"
    gone = Board(path, "gone", clock=clock)
    gone.post(job())
    clock.now_s += 1_000_000
    new = Board(path, "new", clock=clock)
    new.beat(None)
    assert new.take_over(NOW) is None
    pass_time(clock, [new])
    assert new.take_over(NOW) is not None


def test_a_job_that_was_handed_over_is_taken_at_once(boards):
    one, other, third = boards
    posted = one.post(job())
    assert one.tell(replace(posted, replica=""))
    with pytest.raises(JobRunningError, match="on no replica yet"):
        third.post(job("ba9876543210"))
    assert other.take_over(NOW).replica == "b"


def test_a_job_that_ends_whoever_has_it_is_given_up(boards, clock):
    one, other, third = boards
    posted = one.post(job())
    for taker, survivor in [(other, third), (third, one)][:MAX_TAKEOVERS]:
        pass_time(clock, [taker, survivor])
        assert taker.take_over(NOW).state == JobState.QUEUED
    pass_time(clock, [one])
    given_up = one.take_over(NOW)
    assert (given_up.state, given_up.finished_at) == (JobState.FAILED, NOW)
    assert f"{MAX_TAKEOVERS + 1} replicas" in given_up.error
    assert one.post(job("ba9876543210"))
    assert one.job(posted.id) == given_up


def test_handing_over_does_not_count_as_an_end(boards):
    boards[0].post(job())
    for turn in range(3 * MAX_TAKEOVERS):
        had = boards[turn % 3].job(job().id)
        assert boards[turn % 3].tell(replace(had, replica=""))
        assert boards[(turn + 1) % 3].take_over(NOW).state == JobState.QUEUED


def test_any_replica_may_cancel_and_a_cancelled_job_is_not_begun_again(boards, clock):
    one, other, _ = boards
    posted = one.post(job())
    assert not one.is_cancelled(posted.id)
    other.cancel(posted.id)
    assert one.is_cancelled(posted.id)
    pass_time(clock, [other])
    assert (other.take_over(NOW).state, other.job(posted.id).finished_at) == (JobState.CANCELLED, NOW)


def test_what_is_over_is_not_changed_any_more(boards):
    one, _, _ = boards
    done = replace(one.post(job()), state=JobState.DONE)
    assert one.tell(done)
    assert not one.tell(replace(done, state=JobState.RUNNING))
    assert one.job(done.id) == done


def test_replicas_say_which_snapshots_they_serve_until_they_leave(boards, clock):
    one, other, third = boards
    one.beat("111111111111")
    other.beat("222222222222")
    third.beat(None)
    assert one.snapshots_in_use() == {"111111111111", "222222222222"}
    assert sorted(one.others()) == ["b", "c"]
    other.leave()
    assert (one.snapshots_in_use(), one.others()) == ({"111111111111"}, ["c"])
    pass_time(clock, [third])
    assert third.snapshots_in_use() == set()


def test_the_latest_jobs_are_kept(boards):
    one, other, _ = boards
    for number in range(KEPT_JOBS + 3):
        one.tell(replace(one.post(job(f"{number:012x}")), state=JobState.DONE))
    assert [each.id for each in other.jobs()] == [f"{number:012x}" for number in reversed(range(3, KEPT_JOBS + 3))]
    with pytest.raises(JobUnknownError, match="0000"):
        other.job(f"{0:012x}")


@pytest.mark.parametrize("spoil", ["folder", "schema", "bytes"])
def test_a_board_that_cannot_be_opened_leaves_a_replica_alone_and_says_so(tmp_path, caplog, spoil):
    path = tmp_path / "replicas.sqlite"
    if spoil == "folder":
        path = tmp_path / "file" / "replicas.sqlite"
        path.parent.write_text("no folder")
    elif spoil == "schema":
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA user_version = 7")
    else:
        path.write_bytes(b"no database " * 1000)
    board = Board(path, "a")
    posted = board.post(job())
    assert board.jobs() == [posted]
    assert "does not know of others" in caplog.text
    board.leave()


def test_a_board_that_fails_later_is_an_error_that_says_what_to_do(tmp_path):
    path = tmp_path / "replicas.sqlite"
    board = Board(path, "a")
    board.beat(None)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE jobs")
    with pytest.raises(BoardError, match="make room"):
        board.post(job())
    board.leave()


TAKE = """
import sys
from pathlib import Path
from app.board import Board
board = Board(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
taken = board.take_over("now")
board.beat(None)
print(taken.replica if taken else "-", sorted(board.others()).count("gone"), flush=True)
sys.stdin.readline()
"""


def test_of_processes_that_open_a_new_board_and_take_at_the_same_moment_one_gets_the_job(tmp_path):
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
        board = Board(path, "gone")
        board.tell(replace(board.post(job()), replica=""))
        board.leave()
        for racer in racers:
            racer.stdin.write("\n")
            racer.stdin.flush()
        told = [racer.stdout.readline().split()[0] for racer in racers]
    finally:
        for racer in racers:
            racer.communicate("\n")
    [winner] = [name for name in told if name != "-"]
    assert Board(path, "looks on").job(job().id).replica == winner
