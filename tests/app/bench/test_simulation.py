"""The simulation against what can be worked out by hand, and against queueing theory."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from app.bench.simulation import LoadPrediction, ServiceConfig, StageCosts, closed_loop, open_loop, random_arrivals
from app.bench.simulation import main as simulate

COSTS = StageCosts(decode_s=1.0, windows=4, window_s=0.5, other_s=0.25)
CONFIG = ServiceConfig(cores=4, replicas=1, threads=1, decoders=1, max_searches=16, max_windows=8)


def waits(results):
    return [result.done_s - result.arrived_s for result in results if not result.was_refused]


def test_a_search_alone_takes_the_sum_of_its_stages():
    assert waits(open_loop(CONFIG, COSTS, [0.0])) == pytest.approx([1.0 + 4 * 0.5 + 0.25])


def test_twice_the_threads_halve_the_encoding_and_nothing_else():
    assert waits(open_loop(replace(CONFIG, threads=2), COSTS, [0.0])) == pytest.approx([1.0 + 2 * 0.5 + 0.25])


def test_a_window_is_never_shared_by_threads():
    assert waits(open_loop(replace(CONFIG, threads=3), COSTS, [0.0])) == pytest.approx([1.0 + 2 * 0.5 + 0.25])
    assert waits(open_loop(replace(CONFIG, threads=4), COSTS, [0.0])) == pytest.approx([1.0 + 0.5 + 0.25])


def test_threads_beyond_the_cores_bring_nothing():
    eight = replace(COSTS, windows=8)
    of_cores, of_more = (
        waits(open_loop(replace(CONFIG, threads=threads), eight, [0.0])) for threads in (CONFIG.cores, 2 * CONFIG.cores)
    )
    assert of_more == pytest.approx(of_cores)


def test_tasks_share_the_cores_where_there_are_too_few():
    one_core = replace(CONFIG, cores=1, decoders=2)
    only_decoding = replace(COSTS, window_s=0.0, other_s=0.0)
    assert waits(open_loop(one_core, only_decoding, [0.0, 0.0])) == pytest.approx([2.0, 2.0])
    assert waits(open_loop(replace(one_core, decoders=1), only_decoding, [0.0, 0.0])) == pytest.approx([1.0, 2.0])


def test_an_idle_core_takes_a_thread_from_a_busy_one():
    two_cores = replace(CONFIG, cores=2, decoders=3)
    only_decoding = replace(COSTS, window_s=0.0, other_s=0.0)
    # The third comes to the core of the first; the second is done, and its core takes one of both, half done each.
    assert sorted(waits(open_loop(two_cores, only_decoding, [0.0, 0.0, 0.0]))) == pytest.approx([1.0, 1.5, 1.5])


def test_windows_of_several_callers_go_into_one_batch_as_the_service_makes_it():
    costs = replace(COSTS, decode_s=0.0, other_s=0.0, windows=6)
    results = open_loop(replace(CONFIG, decoders=4), costs, [0.0, 0.0, 0.0])
    # The first is encoded alone (6); then 6 + 2 of both others, then the 4 that are left.
    assert waits(results) == pytest.approx([3.0, 7.0, 9.0])


def test_a_search_above_the_limit_is_refused_at_once():
    results = open_loop(replace(CONFIG, max_searches=2), COSTS, [0.0, 0.1, 0.2])
    [refused] = [result for result in results if result.was_refused]
    assert (refused.arrived_s, refused.done_s) == (0.2, 0.2)
    assert len(waits(results)) == 2


def test_replicas_take_callers_in_turn():
    alone = waits(open_loop(CONFIG, COSTS, [0.0]))
    both = waits(open_loop(replace(CONFIG, replicas=2), COSTS, [0.0, 0.0]))
    assert both == pytest.approx(alone * 2)


def test_capacity_is_what_the_cores_give():
    work_s = COSTS.decode_s + COSTS.windows * COSTS.window_s + COSTS.other_s
    config = replace(CONFIG, cores=2, threads=2, decoders=2)
    predicted = LoadPrediction.from_results(closed_loop(config, COSTS, callers=8, seconds=1000.0), 1000.0)
    assert predicted.goodput == pytest.approx(2 / work_s, rel=0.02)
    assert predicted.refused == 0


def test_callers_who_wait_are_never_more_than_there_are():
    results = closed_loop(CONFIG, COSTS, callers=3, seconds=100.0)
    begun = [(result.arrived_s, 1) for result in results]
    events = sorted([*begun, *((result.done_s, -1) for result in results)], key=lambda event: (event[0], event[1]))
    assert np.cumsum([change for _, change in events]).max() == 3


def test_one_queue_and_one_server_wait_as_pollaczek_and_khinchine_say():
    """M/D/1: the mean wait in the queue is rho / (2 mu (1 - rho))."""
    costs = StageCosts(decode_s=1.0, windows=1, window_s=0.0, other_s=0.0)
    config = replace(CONFIG, max_searches=10_000)
    rho = 0.7
    arrivals = random_arrivals(rho, 100_000.0, np.random.default_rng(0))
    mean_s = float(np.mean(waits(open_loop(config, costs, arrivals))))
    assert mean_s == pytest.approx(1 + rho / (2 * (1 - rho)), rel=0.05)


def test_arrivals_have_the_requested_rate():
    arrivals = random_arrivals(5.0, 2000.0, np.random.default_rng(1))
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] < 2000.0


def test_the_command_prints_its_configuration_and_what_it_predicts():
    import typer

    command = typer.Typer()
    command.command()(simulate)
    told = json.loads(CliRunner().invoke(command, ["--rate", "1", "--seconds", "50", "--replicas", "2"]).stdout)
    assert told["plan"]["replicas"] == 2
    assert 0 < told["predicted"]["goodput"] < 2
    assert told["predicted"]["p50_s"] <= told["predicted"]["p95_s"]
