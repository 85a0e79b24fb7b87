"""The comparison of simulation and service, as far as it can be known without a quiet machine."""

import os
import time

import pytest

from app.bench.simulation import LoadPrediction
from tests.fire.capacity import Compared, got
from tests.fire.load import Called
from tests.fire.server import cpu_s


def test_what_callers_got_is_counted_as_the_simulation_counts():
    calls = [Called(200, 1.0, 2.0), Called(200, 3.0, 9.0), Called(200, 2.0, 11.0), Called(429, 0.1, 1.0, True)]
    assert got(calls, 10.0) == LoadPrediction(goodput=0.2, refused=0.25, p50_s=2.0, p95_s=pytest.approx(2.9))


def test_a_wrong_answer_is_no_measurement():
    with pytest.raises(AssertionError, match="wrong answer"):
        got([Called(200, 1.0, 2.0, is_right=False)], 10.0)


def test_a_figure_is_off_by_its_share_of_what_was_measured():
    row = Compared(2, "8 wait", "answers/s", predicted=5.0, measured=4.0)
    assert row.off == pytest.approx(0.25)
    assert row.line() == "| 2 | 8 wait | answers/s | 5.00 | 4.00 | +25% | no |"
    assert Compared(2, "8 wait", "answers/s", predicted=3.3, measured=4.0).line().endswith("| -18% | yes |")


def test_what_a_process_takes_of_cores_is_what_it_says_itself():
    before = cpu_s(os.getpid())
    end_s = time.process_time() + 0.3
    while time.process_time() < end_s:
        pass
    assert cpu_s(os.getpid()) - before == pytest.approx(0.3, abs=0.05)
    assert cpu_s(2**22 + 1) == 0
