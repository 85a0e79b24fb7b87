import math

import pytest

from training.fit.schedule import Progress, Schedule, warmup_cosine, warmup_cosine_by_share


def rates(schedule: Schedule, steps: int) -> list[float]:
    return [schedule(Progress(step, steps)) for step in range(steps)]


def test_the_rate_climbs_to_its_peak_and_falls_along_half_a_cosine() -> None:
    found = rates(warmup_cosine(2.0, 4), 12)
    assert found[:4] == [0.5, 1.0, 1.5, 2.0]
    assert found[4:] == [pytest.approx(1 + math.cos(math.pi * k / 8)) for k in range(8)]


def test_a_time_budget_that_is_ahead_of_the_steps_leads_the_cosine() -> None:
    schedule = warmup_cosine(2.0, 4)
    assert schedule(Progress(5, 1000, 0.5)) == pytest.approx(1.0)
    assert schedule(Progress(5, 1000, 1.0)) == 0
    late = warmup_cosine(2.0, 0)
    assert late(Progress(900, 1000, 0.1)) == late(Progress(900, 1000))


def test_by_share_the_rate_rises_for_a_fiftieth_of_the_run_and_ends_at_zero() -> None:
    schedule = warmup_cosine_by_share(1.0)
    assert schedule(Progress(0, 100)) == 0
    assert schedule(Progress(1, 100)) == pytest.approx(0.5, abs=0.01)
    assert schedule(Progress(2, 100)) == pytest.approx(1.0, abs=0.01)
    assert schedule(Progress(0, 100, 1.0)) == pytest.approx(0, abs=1e-9)


def test_each_phase_of_a_run_has_its_own_warmup_and_cosine() -> None:
    whole, halves = warmup_cosine_by_share(3.0), warmup_cosine_by_share(3.0, first_phase=0.5)
    assert rates(halves, 20)[:10] == pytest.approx(rates(whole, 10))
    assert rates(halves, 20)[10:] == pytest.approx(rates(whole, 10))
    only = warmup_cosine_by_share(3.0, first_phase=1.0)
    assert rates(only, 20) == pytest.approx(rates(whole, 20)), "nothing follows the first one"
