"""The part of a video that shows a sign."""

import pytest

from model.errors import TimeRangeError
from model.video.time_range import WHOLE_VIDEO, TimeRange


def test_without_an_end_it_reaches_to_the_end_of_the_video():
    assert TimeRange(0.5).end_s is None
    assert TimeRange() == WHOLE_VIDEO


@pytest.mark.parametrize("end_s", [0.5, 0.4, -1.0])
def test_a_range_that_does_not_end_after_its_start_is_refused(end_s):
    with pytest.raises(TimeRangeError, match=f"end_s is {end_s}, start_s is 0.5; end_s must be larger"):
        TimeRange(0.5, end_s)
