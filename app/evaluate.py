"""How well a folder of videos, named by their gloss, finds its signs."""

import csv
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.errors import NothingUsableError
from app.lookup import Stretch, look_up
from app.progress import Progress
from app.services import Services
from app.settings import MAX_K
from app.sources import SourceClip, scan
from model.errors import VideoError

if TYPE_CHECKING:
    import httpx

RECALL_AT = (1, 5, 10, 20)
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Answer:
    """What one query got."""

    glosses: tuple[str, ...]
    """Best first; empty where the video was refused."""
    refusal: str | None = None


Ask = Callable[[SourceClip], Answer]
"""Looks one clip up."""


@dataclass(frozen=True)
class Query:
    """One evaluated video."""

    video: str
    """Id of its entry: the path, where no entries file says otherwise."""
    gloss: str
    rank: int | None
    """Of the true gloss, from 1; None where it is not among the answers."""
    best: str | None
    """The gloss that came first."""
    seconds: float
    refusal: str | None


@dataclass(frozen=True)
class SignResult:
    """How the queries of one sign went."""

    gloss: str
    dcg: float
    """Mean over its queries, times 100."""
    ranks: tuple[int | None, ...]
    taken_for: tuple[str, ...]
    """The glosses that came first instead, the most frequent first."""


@dataclass(frozen=True)
class Evaluation:
    """The figures over all queries whose gloss the dictionary has."""

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
    """Signs per answer: a true sign below is not found."""
    worst: tuple[SignResult, ...]
    """Signs that a query did not find first, the worst first."""
    queries: tuple[Query, ...]
    unknown: tuple[str, ...]
    """Videos whose gloss the dictionary does not have; they count nowhere."""


def evaluate(folder: Path, ask: Ask, known: frozenset[str] | None, depth: int, progress: Progress) -> Evaluation:
    """Look every clip of a folder up, once.

    Args:
        folder: see `sources`: its entries file, or the place of a video, gives the gloss.
        ask: looks one video up.
        known: the glosses of the dictionary; None where they are not known, then every query counts.
        depth: how many signs `ask` gives.
        progress: is told of every query, and of what the folder holds that can't be asked.

    Raises:
        SourceError: the folder can't be read.
        NothingUsableError: no video in it has a gloss of the dictionary.
    """
    found = scan(folder)
    for skipped in found.skipped:
        progress.skip(skipped)
    clips = found.clips
    asked = [clip for clip in clips if known is None or clip.entry.gloss in known]
    unknown = tuple(clip.entry.id for clip in clips if known is not None and clip.entry.gloss not in known)
    if not asked:
        raise NothingUsableError(f"none of the {len(clips)} videos in {folder} is named by a gloss of the dictionary")
    progress.phase("query", len(asked))
    queries = []
    for clip in asked:
        queries.append(_query(clip, ask))
        progress.advance()
    return summarise(queries, unknown, depth)


def summarise(queries: Sequence[Query], unknown: tuple[str, ...], depth: int) -> Evaluation:
    """The figures of the retrieval protocol, see PAPER's DCG, MRR and Rec@k; a refused video is a miss."""
    ranks = [query.rank for query in queries]
    seconds = [query.seconds for query in queries]
    return Evaluation(
        num_queries=len(queries),
        recall={k: _mean_percent([float(rank is not None and rank <= k) for rank in ranks]) for k in RECALL_AT},
        dcg=_dcg(ranks),
        mrr=_mean_percent([1 / rank if rank else 0.0 for rank in ranks]),
        latency_s={f"p{p}": float(np.percentile(seconds, p)) for p in PERCENTILES} | {"max": max(seconds)},
        depth=depth,
        worst=_worst(queries),
        queries=tuple(queries),
        unknown=unknown,
    )


def ask_offline(services: Services, depth: int) -> Ask:
    """Looks videos up in this process."""
    dictionary = services.published.dictionary()
    limits = services.settings.video_limits

    def ask(clip: SourceClip) -> Answer:
        stretch = Stretch(clip.entry.start_s, clip.entry.end_s)
        try:
            found = look_up(
                clip.path, encoder=services.encoder, dictionary=dictionary, limits=limits, k=depth, stretch=stretch
            )
        except VideoError as error:
            return Answer((), str(error))
        return Answer(tuple(hit.sign.gloss for hit in found.hits))

    return ask


def ask_over_http(client: "httpx.Client") -> Ask:
    """Posts videos to a running service."""

    def ask(clip: SourceClip) -> Answer:
        form = {"k": MAX_K, "start_s": clip.entry.start_s}
        if clip.entry.end_s is not None:
            form["end_s"] = clip.entry.end_s
        with clip.path.open("rb") as video:
            response = client.post("/search", files={"video": (clip.path.name, video)}, data=form)
        answer = response.json()
        if response.status_code != HTTPStatus.OK:
            return Answer((), answer["detail"])
        return Answer(tuple(hit["sign"]["gloss"] for hit in answer["hits"]))

    return ask


def write_csv(path: Path, queries: Sequence[Query]) -> None:
    """One row per query, worst first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "gloss", "rank", "best", "seconds", "refusal"])
        for query in sorted(queries, key=lambda query: -(query.rank or math.inf)):
            rank = query.rank or ""
            rows.writerow([query.video, query.gloss, rank, query.best, f"{query.seconds:.3f}", query.refusal])


def _query(clip: SourceClip, ask: Ask) -> Query:
    began = time.perf_counter()
    answer = ask(clip)
    seconds = time.perf_counter() - began
    gloss = clip.entry.gloss
    rank = answer.glosses.index(gloss) + 1 if gloss in answer.glosses else None
    return Query(clip.entry.id, gloss, rank, next(iter(answer.glosses), None), seconds, answer.refusal)


def _worst(queries: Sequence[Query]) -> tuple[SignResult, ...]:
    """The signs that were not always found first."""
    of_sign: dict[str, list[Query]] = defaultdict(list)
    for query in queries:
        of_sign[query.gloss].append(query)
    signs = []
    for gloss, asked in of_sign.items():
        ranks = tuple(query.rank for query in asked)
        if any(rank != 1 for rank in ranks):
            mistaken = Counter(query.best for query in asked if query.best is not None and query.best != gloss)
            signs.append(SignResult(gloss, _dcg(ranks), ranks, tuple(best for best, _ in mistaken.most_common())))
    return tuple(sorted(signs, key=lambda sign: (sign.dcg, sign.gloss)))


def _dcg(ranks: Sequence[int | None]) -> float:
    return _mean_percent([1 / math.log2(rank + 1) if rank else 0.0 for rank in ranks])


def _mean_percent(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values)
