"""Metrics of retrieval (SignRep, supplementary material): DCG, MRR and Rec@k, for one true sign per query.

A rank counts from 0, the first place; None stands for a query whose sign was not found, or that failed.

    gain(r) = 1 / log2(r + 2)          DCG    the mean of gain(r)
    1 / (r + 1)                        MRR    its mean
    [r < k]                            Rec@k  its mean
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rank = int | None
RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class RetrievalMetrics:
    """Means over queries, times 100."""

    dcg: float
    mrr: float
    recall: dict[int, float]
    """Rec@k by k."""


def retrieval_metrics(ranks: Sequence[Rank], recall_at: Sequence[int] = RECALL_AT) -> RetrievalMetrics:
    """The metrics of many queries, at least one.

    Args:
        ranks: of the true sign, one per query.
        recall_at: every k of which Rec@k is wanted.
    """
    return RetrievalMetrics(
        dcg=mean_dcg(ranks),
        mrr=_mean_percent([0.0 if rank is None else 1.0 / (rank + 1) for rank in ranks]),
        recall={k: _mean_percent([float(rank is not None and rank < k) for rank in ranks]) for k in recall_at},
    )


def mean_dcg(ranks: Sequence[Rank]) -> float:
    """The DCG of queries, at least one: a mean, times 100."""
    return _mean_percent([0.0 if rank is None else 1.0 / math.log2(rank + 2) for rank in ranks])


def neighbour_recall(found: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    """The recall of an approximate index: the mean share of true neighbours among those found.

    Args:
        found: [Q, n] rows that the index finds.
        expected: [Q, k] rows of the true neighbours, which a row names once.
    """
    return float(np.mean([np.isin(rows, among).mean() for among, rows in zip(found, expected, strict=True)]))


def _mean_percent(values: Sequence[float]) -> float:
    return 100.0 * sum(values) / len(values)
