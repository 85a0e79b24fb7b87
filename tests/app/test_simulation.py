"""The simulation against what can be worked out by hand, and against queueing theory."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from app.simulation import Plan, Prediction, Stages, closed_loop, open_loop, random_arrivals
from app.simulation import main as simulate

STAGES = Stages(decode_s=1.0, windows=4, window_s=0.5, other_s=0.25)
PLAN = Plan(cores=4, replicas=1, threads=1, decoders=1, max_searches=16, max_windows=8)


def waits(outcomes):
    return [outcome.done_s - outcome.arrived_s for outcome in outcomes if not outcome.was_refused]


def test_a_search_alone_takes_the_sum_of_its_stages():
    assert waits(open_loop(PLAN, STAGES, [0.0])) == pytest.approx([1.0 + 4 * 0.5 + 0.25])


def test_twice_the_threads_halve_the_encoding_and_nothing_else():
    assert waits(open_loop(replace(PLAN, threads=2), STAGES, [0.0])) == pytest.approx([1.0 + 2 * 0.5 + 0.25])


def test_a_window_is_never_shared_by_threads():
    assert waits(open_loop(replace(PLAN, threads=3), STAGES, [0.0])) == pytest.approx([1.0 + 2 * 0.5 + 0.25])
    assert waits(open_loop(replace(PLAN, threads=4), STAGES, [0.0])) == pytest.approx([1.0 + 0.5 + 0.25])


def test_threads_beyond_the_cores_bring_nothing():
    eight = replace(STAGES, windows=8)
    of_cores, of_more = (
        waits(open_loop(replace(PLAN, threads=threads), eight, [0.0])) for threads in (PLAN.cores, 2 * PLAN.cores)
    )
    assert of_more == pytest.approx(of_cores)


def test_tasks_share_the_cores_where_there_are_too_few():
    one_core = replace(PLAN, cores=1, decoders=2)
    only_decoding = replace(STAGES, window_s=0.0, other_s=0.0)
    assert waits(open_loop(one_core, only_decoding, [0.0, 0.0])) == pytest.approx([2.0, 2.0])
    assert waits(open_loop(replace(one_core, decoders=1), only_decoding, [0.0, 0.0])) == pytest.approx([1.0, 2.0])


def test_an_idle_core_takes_a_thread_of_a_busy_one():
    two_cores = replace(PLAN, cores=2, decoders=3)
    only_decoding = replace(STAGES, window_s=0.0, other_s=0.0)
    # The third comes to the core of the first; the second is done, and its core takes one of both, half done each.
    assert sorted(waits(open_loop(two_cores, only_decoding, [0.0, 0.0, 0.0]))) == pytest.approx([1.0, 1.5, 1.5])


def test_windows_of_several_callers_go_into_one_batch_as_the_service_makes_it():
    stages = replace(STAGES, decode_s=0.0, other_s=0.0, windows=6)
    outcomes = open_loop(replace(PLAN, decoders=4), stages, [0.0, 0.0, 0.0])
    # The first is encoded alone (6); then 6 + 2 of both others, then the 4 that are left.
    assert waits(outcomes) == pytest.approx([3.0, 7.0, 9.0])


def test_who_finds_no_place_is_refused_at_once():
    outcomes = open_loop(replace(PLAN, max_searches=2), STAGES, [0.0, 0.1, 0.2])
    [refused] = [outcome for outcome in outcomes if outcome.was_refused]
    assert (refused.arrived_s, refused.done_s) == (0.2, 0.2)
    assert len(waits(outcomes)) == 2


def test_replicas_take_callers_in_turn():
    alone = waits(open_loop(PLAN, STAGES, [0.0]))
    both = waits(open_loop(replace(PLAN, replicas=2), STAGES, [0.0, 0.0]))
    assert both == pytest.approx(alone * 2)


def test_capacity_is_what_the_cores_give():
    work_s = STAGES.decode_s + STAGES.windows * STAGES.window_s + STAGES.other_s
    plan = replace(PLAN, cores=2, threads=2, decoders=2)
    predicted = Prediction.of(closed_loop(plan, STAGES, callers=8, seconds=1000.0), 1000.0)
    assert predicted.goodput == pytest.approx(2 / work_s, rel=0.02)
    assert predicted.refused == 0


def test_callers_who_wait_are_never_more_than_there_are():
    outcomes = closed_loop(PLAN, STAGES, callers=3, seconds=100.0)
    begun = [(outcome.arrived_s, 1) for outcome in outcomes]
    events = sorted([*begun, *((outcome.done_s, -1) for outcome in outcomes)], key=lambda event: (event[0], event[1]))
    assert np.cumsum([change for _, change in events]).max() == 3


def test_one_queue_and_one_server_wait_as_pollaczek_and_khinchine_say():
    """M/D/1: the mean wait in the queue is rho / (2 mu (1 - rho))."""
    stages = Stages(decode_s=1.0, windows=1, window_s=0.0, other_s=0.0)
    plan = replace(PLAN, max_searches=10_000)
    rho = 0.7
    arrivals = random_arrivals(rho, 100_000.0, np.random.default_rng(0))
    mean_s = float(np.mean(waits(open_loop(plan, stages, arrivals))))
    assert mean_s == pytest.approx(1 + rho / (2 * (1 - rho)), rel=0.05)


def test_arrivals_come_at_the_rate_that_was_asked_for():
    arrivals = random_arrivals(5.0, 2000.0, np.random.default_rng(1))
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] < 2000.0


def test_the_command_tells_its_plan_and_what_it_predicts():
    import typer

    command = typer.Typer()
    command.command()(simulate)
    told = json.loads(CliRunner().invoke(command, ["--rate", "1", "--seconds", "50", "--replicas", "2"]).stdout)
    assert told["plan"]["replicas"] == 2
    assert 0 < told["predicted"]["goodput"] < 2
    assert told["predicted"]["p50_s"] <= told["predicted"]["p95_s"]
