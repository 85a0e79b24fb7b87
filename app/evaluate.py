"""Retrieval metrics of a folder of query videos, each named by its gloss."""

import csv
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.errors import NothingUsableError
from app.http.schemas.search import MAX_K
from app.indexing.sources import SourceClip, scan
from app.progress import ProgressCallback
from app.replica.services import Services
from app.search.offline import look_up
from index import metrics
from model.errors import VideoError
from model.video.time_range import TimeRange

if TYPE_CHECKING:
    from app.client import Client

RECALL_AT = (1, 5, 10, 20)
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class RankedGlosses:
    """The glosses that one query found."""

    glosses: tuple[str, ...]
    """Best first; empty where the video was refused."""
    refusal: str | None = None


Search = Callable[[SourceClip], RankedGlosses]
"""Looks one clip up."""


@dataclass(frozen=True)
class EvaluatedQuery:
    """One query video and the rank of its gloss."""

    video: str
    """Id of its entry: the path, where no entries file says otherwise."""
    gloss: str
    rank: int | None
    """Of the true gloss, from 1; None where it was not found."""
    best: str | None
    """The gloss that came first."""
    seconds: float
    refusal: str | None


@dataclass(frozen=True)
class SignResult:
    """The queries of one sign."""

    gloss: str
    dcg: float
    """Mean over its queries, times 100."""
    ranks: tuple[int | None, ...]
    taken_for: tuple[str, ...]
    """The glosses that came first instead, the most frequent first."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics over all queries whose gloss the dictionary has, see `index.metrics`."""

    num_queries: int
    recall: dict[int, float]
    """Percent of queries whose sign is among the first k."""
    dcg: float
    """Mean of 1 / log2(rank + 1), times 100; a sign that is not found gives 0. One true sign per query."""
    mrr: float
    """Mean of 1 / rank, times 100."""
    latency_s: dict[str, float]
    """Seconds per query: p50, p90, p95, p99 and the longest."""
    depth: int
    """Signs per query: a true sign below is not found."""
    worst: tuple[SignResult, ...]
    """Signs that a query did not find first, the worst first."""
    queries: tuple[EvaluatedQuery, ...]
    unknown: tuple[str, ...]
    """Videos whose gloss the dictionary does not have; they count nowhere."""


def evaluate(
    folder: Path, search: Search, known: frozenset[str] | None, depth: int, progress: ProgressCallback
) -> Evaluation:
    """Look every clip of a folder up, once.

    Args:
        folder: see `sources`: its entries file, or the place of a video, gives the gloss.
        search: looks one video up.
        known: the glosses of the dictionary; None where they are not known, then every query counts.
        depth: how many signs `search` gives.
        progress: callbacks, for every query and for what is skipped.

    Raises:
        SourceError: the folder can't be read.
        NothingUsableError: no video in it has a gloss of the dictionary.
    """
    found = scan(folder)
    for skipped in found.skipped:
        progress.report_skipped(skipped)
    clips = [clip for clip in found.clips if known is None or clip.entry.gloss in known]
    unknown = tuple(clip.entry.id for clip in found.clips if known is not None and clip.entry.gloss not in known)
    if not clips:
        raise NothingUsableError(
            f"none of the {len(found.clips)} videos in {folder} is named by a gloss of the dictionary"
        )
    progress.start_phase("query", len(clips))
    queries = []
    for clip in clips:
        queries.append(_evaluated(clip, search))
        progress.advance()
    return summarise(queries, unknown, depth)


def summarise(queries: Sequence[EvaluatedQuery], unknown: tuple[str, ...], depth: int) -> Evaluation:
    """The metrics of all queries; a refused video is a miss."""
    figures = _metrics([query.rank for query in queries])
    seconds = [query.seconds for query in queries]
    return Evaluation(
        num_queries=len(queries),
        recall=figures.recall,
        dcg=figures.dcg,
        mrr=figures.mrr,
        latency_s={f"p{p}": float(np.percentile(seconds, p)) for p in PERCENTILES} | {"max": max(seconds)},
        depth=depth,
        worst=_worst(queries),
        queries=tuple(queries),
        unknown=unknown,
    )


def search_offline(services: Services, depth: int) -> Search:
    """Looks videos up in this process."""
    dictionary = services.active_snapshot.require_dictionary()
    limits = services.settings.video_limits

    def search(clip: SourceClip) -> RankedGlosses:
        part = TimeRange(clip.entry.start_s, clip.entry.end_s)
        try:
            found = look_up(
                clip.path, encoder=services.encoder, dictionary=dictionary, limits=limits, k=depth, time_range=part
            )
        except VideoError as error:
            return RankedGlosses((), str(error))
        return RankedGlosses(tuple(hit.sign.gloss for hit in found.hits))

    return search


def search_over_http(client: "Client") -> Search:
    """Posts videos to a running service."""
    from app.client import ProblemReceived  # its httpx takes longer to import than other commands should wait

    def search(clip: SourceClip) -> RankedGlosses:
        try:
            found = client.search(clip.path, k=MAX_K, start_s=clip.entry.start_s, end_s=clip.entry.end_s)
        except ProblemReceived as refused:
            return RankedGlosses((), refused.problem.detail)
        return RankedGlosses(tuple(hit.sign.gloss for hit in found.hits))

    return search


def write_csv(path: Path, queries: Sequence[EvaluatedQuery]) -> None:
    """One row per query, worst first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "gloss", "rank", "best", "seconds", "refusal"])
        for query in sorted(queries, key=lambda query: -(query.rank or math.inf)):
            rank = query.rank or ""
            rows.writerow([query.video, query.gloss, rank, query.best, f"{query.seconds:.3f}", query.refusal])


def _evaluated(clip: SourceClip, search: Search) -> EvaluatedQuery:
    started = time.perf_counter()
    found = search(clip)
    seconds = time.perf_counter() - started
    gloss = clip.entry.gloss
    rank = found.glosses.index(gloss) + 1 if gloss in found.glosses else None
    return EvaluatedQuery(clip.entry.id, gloss, rank, next(iter(found.glosses), None), seconds, found.refusal)


def _worst(queries: Sequence[EvaluatedQuery]) -> tuple[SignResult, ...]:
    """The signs that were not always found first."""
    of_sign: dict[str, list[EvaluatedQuery]] = defaultdict(list)
    for query in queries:
        of_sign[query.gloss].append(query)
    signs = []
    for gloss, own in of_sign.items():
        ranks = tuple(query.rank for query in own)
        if any(rank != 1 for rank in ranks):
            mistaken = Counter(query.best for query in own if query.best is not None and query.best != gloss)
            taken_for = tuple(best for best, _ in mistaken.most_common())
            signs.append(SignResult(gloss, _metrics(ranks).dcg, ranks, taken_for))
    return tuple(sorted(signs, key=lambda sign: (sign.dcg, sign.gloss)))


def _metrics(ranks: Sequence[int | None]) -> metrics.RetrievalMetrics:
    """The metrics of ranks from 1."""
    return metrics.retrieval_metrics([None if rank is None else rank - 1 for rank in ranks], RECALL_AT)
