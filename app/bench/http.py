"""Benchmark of the HTTP service: overhead of HTTP, and time to start: `python -m app.bench.http --clip VIDEO...`.

The service runs in a process of its own, as `python -m app serve`, with the encoder that the settings name.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import typer

from app.client import Client
from app.encoder import encoder_file
from app.http.schemas.search import SearchAnswer
from app.settings import Settings
from index import snapshot
from index.entries import Entry
from model.bench.decoding import generate_clip
from model.encoder import EncoderInfo
from model.machine import machine
from model.runtime.onnx_encoder import OnnxEncoder

READY_WITHIN_S = 120.0
ENTRIES_PER_SIGN = 4


@dataclass(frozen=True)
class SearchCost:
    """Latency of one search, and the part of it that is not work on the query."""

    total_ms: float
    overhead_ms: float


@contextmanager
def serving(data: Path) -> Iterator[tuple[str, float]]:
    """Run the service; yields its address and the seconds from its start until it was ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "SIGNDEX_DATA": str(data), "SIGNDEX_PORT": str(port), "SIGNDEX_MAX_SEARCHES": "64"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the first start compiles the modules, as in an installation
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "app", "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(address, process)
            yield address, time.perf_counter() - began
        finally:
            process.terminate()


def wait_until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    """Poll the service until it is ready.

    Raises:
        RuntimeError: it ended, or took too long.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    with httpx.Client() as client:
        while True:
            try:
                if client.get(f"{address}/readyz").is_success:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service was not ready within {READY_WITHIN_S:g} s")
            time.sleep(0.01)


def publish_random(settings: Settings, info: EncoderInfo, num_entries: int) -> None:
    """Publish a dictionary of random vectors, each entry as filmed and mirrored."""
    entries = [
        Entry(f"{number}.mp4", f"SIGN {number // ENTRIES_PER_SIGN}", f"{number}.mp4", language="xx", mirrored=mirrored)
        for number in range(num_entries)
        for mirrored in (False, True)
    ]
    vectors = np.random.default_rng(0).normal(size=(len(entries), info.vector_dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    snapshot.publish(settings.snapshots, vectors, entries, encoder_id=info.encoder_id)


def search_costs(address: str, clips: Sequence[Path], num_clients: int, num_searches: int) -> list[SearchCost]:
    """Costs of searches by callers who each send the next one as soon as the last is answered."""
    videos = [clip.read_bytes() for clip in clips]
    local = threading.local()

    def search(number: int) -> SearchCost:
        if not hasattr(local, "client"):
            local.client = Client(address)
        began = time.perf_counter()
        answer = local.client.search(videos[number % len(videos)])
        return cost_of(answer, (time.perf_counter() - began) * 1000)

    with ThreadPoolExecutor(num_clients) as pool:
        list(pool.map(search, range(2 * num_clients)))  # warm-up: opens connections
        return list(pool.map(search, range(num_searches)))


def cost_of(answer: SearchAnswer, total_ms: float) -> SearchCost:
    """The latency, and what is left of it without decoding, encoding and searching."""
    spent = answer.timings_ms
    return SearchCost(total_ms, total_ms - spent.decode - spent.encode - spent.search)


def trimmed_search_ms(address: str, clip: Path, num_searches: int) -> list[float]:
    """Latencies of looking a cached query up again with another trim."""
    with Client(address) as client:
        answer = client.search(clip)
        assert answer.query_id is not None
        waits = []
        for number in range(num_searches):
            began = time.perf_counter()
            client.search_again(answer.query_id, start_s=0.1 + 0.01 * (number % 10))
            waits.append((time.perf_counter() - began) * 1000)
    return waits


def row(name: str, *columns: Sequence[float]) -> str:
    """A Markdown row: median and 95th percentile of each column."""
    cells = [f"{np.percentile(column, share):.1f}" for column in columns for share in (50, 95)]
    return f"| {' | '.join([name, *cells])} |"


def report(clips: Sequence[Path], num_searches: int, num_entries: int, repeats: int) -> str:
    """All tables as Markdown."""
    settings = Settings()
    encoder = OnnxEncoder(encoder_file(settings), threads=1)  # for what its file says; the service opens its own
    with tempfile.TemporaryDirectory() as folder:
        began_on = machine()
        small, large = (settings.model_copy(update={"data": Path(folder) / name}) for name in ("small", "large"))
        publish_random(small, encoder.info, 1000)
        publish_random(large, encoder.info, num_entries)
        with serving(small.data) as (address, _):
            costs = {n: search_costs(address, clips, n, num_searches) for n in (1, 8)}
        starts = []
        for _ in range(repeats):
            with serving(large.data) as (address, seconds):
                starts.append(seconds)
        with serving(large.data) as (address, _):
            again = trimmed_search_ms(address, clips[0], 200)
    lines = [
        "# The service",
        "",
        f"{began_on} when it began; encoder {encoder.info.encoder_id} ({encoder.info.pictures.image_size} pixels), "
        f"SIGNDEX_PROVIDER {settings.provider}, SIGNDEX_THREADS {settings.threads}, "
        f"clips {', '.join(clip.stem for clip in clips)}. "
        "Callers run on the same machine.",
        "",
        "## What HTTP adds to a search by video",
        "",
        "The caller's wait less decoding, encoding and searching; queueing counts into those.",
        "",
        "| callers at once | wait p50 ms | p95 | of it overhead p50 ms | p95 |",
        "|---|---|---|---|---|",
        *(
            row(str(n), [each.total_ms for each in of_n], [each.overhead_ms for each in of_n])
            for n, of_n in costs.items()
        ),
        "",
        f"{num_searches} searches each, after warm-up, 1,000 entries.",
        "",
        f"## With {num_entries:,} entries, as filmed and mirrored",
        "",
        "| | p50 | p95 |",
        "|---|---|---|",
        row("start to ready, s", starts),
        row("`POST /v1/search/vector` with a trim, ms", again),
        "",
        f"{repeats} starts, 200 searches, {encoder.info.vector_dim} numbers per vector.",
        "",
    ]
    return "\n".join(lines)


def generated_clip(folder: Path) -> Path:
    """A generated clip of two seconds."""
    path = folder / "generated.mp4"
    path.write_bytes(generate_clip("libx264", 640, 480, 2).getvalue())
    return path


def main(
    *,
    clips: Annotated[
        list[Path] | None, typer.Option("--clip", help="Videos to search with; by default a generated one of 2 s.")
    ] = None,
    num_searches: Annotated[int, typer.Option("--searches", help="Per number of callers.")] = 100,
    num_entries: Annotated[int, typer.Option("--entries", help="Of the large dictionary.")] = 100_000,
    repeats: Annotated[int, typer.Option(help="Starts.")] = 5,
    write: Annotated[Path | None, typer.Option(help="Also write the tables to this file.")] = None,
) -> None:
    """Measure the service and print Markdown tables."""
    with tempfile.TemporaryDirectory() as folder:
        text = report(clips or [generated_clip(Path(folder))], num_searches, num_entries, repeats)
    typer.echo(text)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
