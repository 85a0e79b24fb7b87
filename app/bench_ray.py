"""How fast a dictionary is embedded over Ray, beside the same machine alone: `python -m app.bench_ray`.

One node for every core of this machine, each with one processor and an encoder of one thread, against one process with
decoders and an encoder on all cores. Both take turns in the same run; starting the cluster is told apart.
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

from app import bulk
from app.bench import Quiet, write_clips
from app.bulk import EmbedClips
from app.cluster.address import require_ray
from app.cluster.local import OBJECT_STORE_BYTES, local_cluster
from app.errors import ServiceError
from app.reindex import rebuild
from app.settings import Settings
from index.bench import cpu_name
from index.cache import EmbeddingCache
from model.embed import Embedder
from model.runtime import DEFAULT_ENCODER, OnnxEncoder

GOAL = 0.85
"""What the cluster should reach of the speed of the machine alone."""


@dataclass(frozen=True)
class Turn:
    """One reindex from nothing by each."""

    alone_s: float
    cluster_s: float
    same: bool
    """Whether the vectors are the same, bit for bit."""


@dataclass(frozen=True)
class Measured:
    """What a run of the benchmark found."""

    turns: Sequence[Turn]
    num_clips: int
    num_nodes: int
    start_s: float
    """From an address to workers that are ready."""

    @property
    def reached(self) -> float:
        """Speed of the cluster, of that of the machine alone."""
        return statistics.median(turn.alone_s / turn.cluster_s for turn in self.turns)

    @property
    def overhead_ms(self) -> float:
        """What a clip takes longer over the cluster, milliseconds."""
        return 1000 * statistics.median(turn.cluster_s - turn.alone_s for turn in self.turns) / self.num_clips


def main(
    *,
    clips: Annotated[int, typer.Option(min=1, help="Clips that are embedded, 640 x 480 pixels of 2 s.")] = 48,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of both.")] = 3,
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


def measure(num_clips: int, repeats: int) -> Measured:
    """Let both embed the same clips from nothing, in turns."""
    from app.cluster.connection import open_cluster  # imports Ray

    num_nodes = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name, local_cluster(num_nodes) as cluster:
        folder = Path(name)
        videos = write_clips(folder / "videos", num_clips)
        alone = Embedder(OnnxEncoder(DEFAULT_ENCODER, threads=num_nodes))
        settings = Settings(dictionary=videos, encoder=DEFAULT_ENCODER, provider="cpu", threads=1)
        began = time.perf_counter()
        with open_cluster(cluster.address, settings, alone) as over_ray:
            start_s = time.perf_counter() - began
            turns = [turn(videos, alone, over_ray, folder / str(number)) for number in range(repeats)]
        return Measured(turns, num_clips, num_nodes, start_s)


def turn(videos: Path, embedder: Embedder, over_ray: EmbedClips, data: Path) -> Turn:
    """One reindex by each."""
    alone_s, alone = timed(videos, embedder, bulk.embed_clips, data / "alone")
    cluster_s, away = timed(videos, embedder, over_ray, data / "cluster")
    return Turn(alone_s, cluster_s, same=np.array_equal(alone, away))


def timed(videos: Path, embedder: Embedder, embed_clips: EmbedClips, data: Path) -> tuple[float, np.ndarray]:
    """Seconds of a reindex from nothing, and its vectors."""
    began = time.perf_counter()
    with EmbeddingCache(data / "cache.sqlite") as cache:
        manifest = rebuild(
            videos, embedder, snapshots=data / "snapshots", cache=cache, progress=Quiet(), embed_clips=embed_clips
        )
    spent = time.perf_counter() - began
    return spent, np.load(data / "snapshots" / manifest.snapshot_id / "vectors.npy")


def report(measured: Measured, note: str) -> str:
    """The table as Markdown; every cell is a median over the turns."""
    alone_s, cluster_s = (
        statistics.median(getattr(turn, name) for turn in measured.turns) for name in ("alone_s", "cluster_s")
    )
    same = "the same bit for bit" if all(turn.same for turn in measured.turns) else "NOT the same"
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
        f"`python -m app.bench_ray`. {cpu_name()}, {measured.num_nodes} cores, load average {os.getloadavg()[0]:.1f},"
        f" object stores of {OBJECT_STORE_BYTES // 1_000_000} MB. {note}".rstrip(),
        "",
        f"{measured.num_clips} clips of 2 s, 640 x 480 H.264, reindexed from nothing; medians of"
        f" {len(measured.turns)} turns, in which both took turns.",
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
