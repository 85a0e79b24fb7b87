import math

import numpy as np
import pytest

from index.metrics import neighbour_recall, retrieval_metrics


def test_metrics_are_the_papers() -> None:
    ranks = [0, 3, 11]
    found = retrieval_metrics(ranks)
    assert found.dcg == pytest.approx(100 * (1 + 1 / math.log2(5) + 1 / math.log2(13)) / 3)
    assert found.mrr == pytest.approx(100 * (1 + 1 / 4 + 1 / 12) / 3)
    assert found.recall == pytest.approx({1: 100 / 3, 5: 200 / 3, 10: 200 / 3})


def test_a_query_that_failed_is_a_miss() -> None:
    found = retrieval_metrics([0, None])
    assert (found.dcg, found.mrr, found.recall[10]) == (50, 50, 50)


def test_recall_of_an_index_is_the_share_of_true_neighbours_that_it_finds() -> None:
    assert neighbour_recall(np.array([[3, 1, 7], [9, 8, 2]]), np.array([[1, 2], [8, 9]])) == 0.75
    assert neighbour_recall(np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 9], [5, 4]])) == 0.75
