import math

import pytest

from training.evaluate.metrics import summarise


def test_metrics_are_the_papers() -> None:
    ranks = [0, 3, 11]
    found = summarise(ranks)
    assert found.dcg == pytest.approx(100 * (1 + 1 / math.log2(5) + 1 / math.log2(13)) / 3)
    assert found.mrr == pytest.approx(100 * (1 + 1 / 4 + 1 / 12) / 3)
    assert found.recall == pytest.approx({1: 100 / 3, 5: 200 / 3, 10: 200 / 3})


def test_a_query_that_failed_is_a_miss() -> None:
    found = summarise([0, None])
    assert (found.dcg, found.mrr, found.recall[10]) == (50, 50, 50)
