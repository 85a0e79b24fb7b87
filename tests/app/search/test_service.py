"""Vectors of parts of a clip that was encoded as a whole."""

import numpy as np
import pytest

from app.search.service import part_vector
from model.errors import TimeRangeError
from model.video.time_range import WHOLE_VIDEO, TimeRange
from tests.app.search.clips import make_clip


def test_the_whole_of_a_clip_keeps_its_vector():
    whole = make_clip(still=(0, 1, 9))
    assert part_vector(whole, 0.64, WHOLE_VIDEO, 1) is whole.vector
    assert part_vector(whole, 0.64, TimeRange(0, 100), 1) == pytest.approx(whole.vector, abs=1e-6)


def test_a_part_shorter_than_a_window_takes_the_nearest_window():
    whole = make_clip()
    vector = part_vector(
        whole, 0.64, TimeRange(0.9, 1.1), 1
    )  # around 1.0; window 2 is around 0.96, window 3 around 1.28
    expected = whole.embeddings[2] / np.linalg.norm(whole.embeddings[2])
    assert vector == pytest.approx(expected, abs=1e-6)


def test_a_part_in_which_nothing_moves_is_refused():
    with pytest.raises(TimeRangeError, match="nothing moves between 0 and 1 s"):
        part_vector(make_clip(still=(0, 1)), 0.64, TimeRange(0, 1), 1)
