"""The figures of the retrieval protocol."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class Metrics:
    """Means over queries, times 100."""

    dcg: float
    """1 / log2(r + 2) of the rank r, from 0, of the true gloss."""
    mrr: float
    """1 / (r + 1)."""
    recall: dict[int, float]
    """[r < k] by k."""


def summarise(ranks: Sequence[int | None]) -> Metrics:
    """The metrics of many queries (SignRep, supplementary material).

    Args:
        ranks: from 0, one per query; None for a query that failed, which counts as never found.
    """

    def mean(values: list[float]) -> float:
        return 100.0 * sum(values) / len(values)

    return Metrics(
        dcg=mean([0.0 if rank is None else 1.0 / math.log2(rank + 2) for rank in ranks]),
        mrr=mean([0.0 if rank is None else 1.0 / (rank + 1) for rank in ranks]),
        recall={k: mean([float(rank is not None and rank < k) for rank in ranks]) for k in RECALL_AT},
    )
