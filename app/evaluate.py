"""How well a folder of videos, named by their gloss, finds its signs."""

import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from app.errors import NothingUsableError
from app.lookup import WHOLE, look_up
from app.progress import Progress
from app.services import Services
from app.settings import MAX_K
from app.sources import scan
from model.errors import VideoError

RECALL_AT = (1, 5, 10, 20)


@dataclass(frozen=True)
class Answer:
    """What one query got."""

    glosses: tuple[str, ...]
    """Best first; empty where the video was refused."""
    refusal: str | None = None


Ask = Callable[[Path], Answer]
"""Looks one video up."""


@dataclass(frozen=True)
class Query:
    """One evaluated video."""

    video: str
    gloss: str
    rank: int | None
    """Of the true gloss, from 1; None where it is not among the answers."""
    best: str | None
    """The gloss that came first."""
    seconds: float
    refusal: str | None


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
    median_s: float
    """Seconds per query."""
    p95_s: float
    depth: int
    """Signs per answer: a true sign below is not found."""
    queries: tuple[Query, ...]
    unknown: tuple[str, ...]
    """Videos whose gloss the dictionary does not have; they count nowhere."""


def evaluate(folder: Path, ask: Ask, known: frozenset[str] | None, depth: int, progress: Progress) -> Evaluation:
    """Look every video of a folder up, once.

    Args:
        folder: a plain folder, see `sources`: the place of a video gives its gloss.
        ask: looks one video up.
        known: the glosses of the dictionary; None where they are not known, then every query counts.
        depth: how many signs `ask` gives.
        progress: is told of every query.

    Raises:
        SourceError: the folder can't be read.
        NothingUsableError: no video in it has a gloss of the dictionary.
    """
    clips = scan(folder).clips
    unknown = tuple(clip.entry.video for clip in clips if known is not None and clip.entry.gloss not in known)
    asked = [clip for clip in clips if clip.entry.video not in unknown]
    if not asked:
        raise NothingUsableError(f"none of the {len(clips)} videos in {folder} is named by a gloss of the dictionary")
    progress.phase("query", len(asked))
    queries = []
    for clip in asked:
        queries.append(_query(clip.entry.video, clip.entry.gloss, clip.path, ask))
        progress.advance()
    return summarise(queries, unknown, depth)


def summarise(queries: Sequence[Query], unknown: tuple[str, ...], depth: int) -> Evaluation:
    """The figures of the retrieval protocol, see PAPER's DCG, MRR and Rec@k; a refused video is a miss."""
    ranks = [query.rank for query in queries]
    seconds = [query.seconds for query in queries]
    return Evaluation(
        num_queries=len(queries),
        recall={k: _mean_percent([float(rank is not None and rank <= k) for rank in ranks]) for k in RECALL_AT},
        dcg=_mean_percent([1 / math.log2(rank + 1) if rank else 0.0 for rank in ranks]),
        mrr=_mean_percent([1 / rank if rank else 0.0 for rank in ranks]),
        median_s=float(np.median(seconds)),
        p95_s=float(np.percentile(seconds, 95)),
        depth=depth,
        queries=tuple(queries),
        unknown=unknown,
    )


def ask_offline(services: Services, depth: int) -> Ask:
    """Looks videos up in this process."""
    dictionary = services.dictionary()
    limits = services.settings.video_limits

    def ask(path: Path) -> Answer:
        try:
            found = look_up(
                path, encoder=services.encoder, dictionary=dictionary, limits=limits, k=depth, stretch=WHOLE
            )
        except VideoError as error:
            return Answer((), str(error))
        return Answer(tuple(hit.sign.gloss for hit in found.hits))

    return ask


def ask_over_http(client: httpx.Client) -> Ask:
    """Posts videos to a running service."""

    def ask(path: Path) -> Answer:
        with path.open("rb") as video:
            response = client.post("/search", files={"video": (path.name, video)}, data={"k": MAX_K})
        answer = response.json()
        if response.status_code != httpx.codes.OK:
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


def _query(video: str, gloss: str, path: Path, ask: Ask) -> Query:
    began = time.perf_counter()
    answer = ask(path)
    seconds = time.perf_counter() - began
    rank = answer.glosses.index(gloss) + 1 if gloss in answer.glosses else None
    return Query(video, gloss, rank, next(iter(answer.glosses), None), seconds, answer.refusal)


def _mean_percent(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values)
