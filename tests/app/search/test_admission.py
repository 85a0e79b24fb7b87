"""A limited number of slots for requests."""

import pytest

from app.errors import OverloadedError
from app.search.admission import Admission


def test_slots_are_held_as_long_as_the_work_and_their_time_decides_when_to_come_back():
    now = [0.0]
    admission = Admission(1, "SIGNDEX_X", clock=lambda: now[0])
    for _ in range(60):
        with admission.slot():
            now[0] += 7
    with (
        admission.slot(),
        pytest.raises(OverloadedError, match=r"1 requests .* \(SIGNDEX_X\); try again in 7 s") as refused,
    ):
        admission.require_slot()
    assert refused.value.retry_after_s == 7
    with pytest.raises(KeyError), admission.slot():
        raise KeyError
    admission.require_slot()
