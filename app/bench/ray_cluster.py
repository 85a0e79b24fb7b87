"""Benchmark of embedding over Ray against the same machine alone: `python -m app.bench.ray_cluster`.

One node per core of this machine, each with one processor and an encoder of one thread, against one process with
decoders and an encoder on all cores. Both alternate in the same run; the start of the cluster is measured separately.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from app.bench.reindex import NoSkipsCallback, write_clips
from app.errors import ServiceError
from app.indexing import bulk
from app.indexing.bulk import EmbedClips
from app.indexing.cluster.address import require_ray
from app.indexing.cluster.local import OBJECT_STORE_BYTES, local_cluster
from app.indexing.reindex import reindex
from app.settings import Settings
from index.bench.search import cpu_name
from index.cache import EmbeddingCache
from model.embed import Embedder
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder

GOAL = 0.85
"""Share of the speed of the machine alone that the cluster should reach."""


@dataclass(frozen=True)
class PairedRun:
    """Times of one reindex without cache on each."""

    alone_s: float
    cluster_s: float
    same: bool
    """Whether the vectors are the same, bit for bit."""


@dataclass(frozen=True)
class ClusterBenchmark:
    """Result of the benchmark."""

    repeats: Sequence[PairedRun]
    num_clips: int
    num_nodes: int
    start_s: float
    """Seconds from the address to workers that are ready."""

    @property
    def reached(self) -> float:
        """Speed of the cluster as a share of that of the machine alone."""
        return statistics.median(each.alone_s / each.cluster_s for each in self.repeats)

    @property
    def overhead_ms(self) -> float:
        """Milliseconds that a clip takes longer on the cluster."""
        return 1000 * statistics.median(each.cluster_s - each.alone_s for each in self.repeats) / self.num_clips


def main(
    *,
    clips: Annotated[int, typer.Option(min=1, help="Clips that are embedded, 640 x 480 pixels of 2 s.")] = 48,
    repeats: Annotated[int, typer.Option(min=1, help="Of both.")] = 3,
    write: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
    note: Annotated[str, typer.Option(help="A sentence about the machine, for the table.")] = "",
) -> None:
    """Clips per minute over a cluster of this machine's cores, against the machine alone."""
    try:
        require_ray()
        measured = measure(clips, repeats)
    except ServiceError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    text = report(measured, note)
    typer.echo(text)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text)


def measure(num_clips: int, repeats: int) -> ClusterBenchmark:
    """Embed the same clips on both, in each."""
    from app.indexing.cluster.connection import open_cluster  # imports Ray

    num_nodes = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name, local_cluster(num_nodes) as cluster:
        folder = Path(name)
        videos = write_clips(folder / "videos", num_clips)
        alone = Embedder(OnnxEncoder(DEFAULT_ENCODER, threads=num_nodes))
        settings = Settings(dictionary=videos, encoder=DEFAULT_ENCODER, provider="cpu", threads=1)
        started = time.perf_counter()
        with open_cluster(cluster.address, settings, alone) as over_ray:
            start_s = time.perf_counter() - started
            times = [measure_both(videos, alone, over_ray, folder / str(number)) for number in range(repeats)]
        return ClusterBenchmark(times, num_clips, num_nodes, start_s)


def measure_both(videos: Path, embedder: Embedder, over_ray: EmbedClips, data: Path) -> PairedRun:
    """One reindex on each."""
    alone_s, alone = timed(videos, embedder, bulk.embed_clips, data / "alone")
    cluster_s, away = timed(videos, embedder, over_ray, data / "cluster")
    return PairedRun(alone_s, cluster_s, same=np.array_equal(alone, away))


def timed(videos: Path, embedder: Embedder, embed_clips: EmbedClips, data: Path) -> tuple[float, np.ndarray]:
    """Seconds of a reindex without cache, and its vectors."""
    started = time.perf_counter()
    with EmbeddingCache(data / "cache.sqlite") as cache:
        manifest = reindex(
            videos,
            embedder,
            snapshots=data / "snapshots",
            cache=cache,
            progress=NoSkipsCallback(),
            embed_clips=embed_clips,
        )
    spent = time.perf_counter() - started
    return spent, np.load(data / "snapshots" / manifest.snapshot_id / "vectors.npy")


def report(measured: ClusterBenchmark, note: str) -> str:
    """The table as Markdown; every cell is the median of the repeats."""
    alone_s, cluster_s = (
        statistics.median(getattr(each, name) for each in measured.repeats) for name in ("alone_s", "cluster_s")
    )
    same = "the same bit for bit" if all(each.same for each in measured.repeats) else "NOT the same"
    rows = [
        f"| {name} | {seconds:.2f} | {60 * measured.num_clips / seconds:.0f} |"
        for name, seconds in (
            (f"one process, {measured.num_nodes} threads", alone_s),
            (f"Ray, {measured.num_nodes} nodes of one processor", cluster_s),
        )
    ]
    lines = [
        "# Bulk embedding over Ray",
        "",
        f"`python -m app.bench.ray_cluster`. {cpu_name()}, {measured.num_nodes} cores,"
        f" load average {os.getloadavg()[0]:.1f},"
        f" object stores of {OBJECT_STORE_BYTES // 1_000_000} MB. {note}".rstrip(),
        "",
        f"{measured.num_clips} clips of 2 s, 640 x 480 H.264, reindexed from nothing; medians of"
        f" {len(measured.repeats)} repeats, in which both alternated.",
        "",
        "| | s | clips per minute |",
        "|---|---|---|",
        *rows,
        "",
        f"Over Ray {measured.reached:.2f} of the speed of the machine alone (goal {GOAL:g}), {measured.overhead_ms:.0f}"
        f" ms more for a clip. Connecting, and workers that are ready: {measured.start_s:.1f} s, once. The vectors are"
        f" {same}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
