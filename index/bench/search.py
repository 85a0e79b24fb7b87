"""How fast search is, and what it costs in memory and recall: `python -m index bench`.

Every row is measured beside the others in the same run, turn by turn, because machines are noisy: ratios hold, absolute
times don't. Speed is never given without recall.
"""

import gc
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
import typer

from index import faiss_index
from index.entries import Entry
from index.errors import IndexDeviceError
from index.exact import ExactIndex
from index.gpu_index import GpuIndex, require_gpu
from index.metrics import neighbour_recall
from index.milvus.connection import Address, Connection
from index.milvus.leases import Leases
from index.milvus.server import MilvusServer
from index.protocol import AllowedRows, Floats, Ints, VectorIndex

SIZES = (1_000, 100_000, 1_000_000)
DIM = 768
K = 10
NUM_QUERIES = 30
CLUSTER_SPREAD = 0.8
"""How far vectors lie from the centre of their sign, in lengths of a random vector: neighbours are neither all alike
nor all unrelated."""


class Float32FlatIndex(faiss_index.FlatIndex):
    """The obvious choice, faiss.IndexFlatIP in float32: the baseline, with one thread as ours."""

    def __init__(self, vectors: Floats) -> None:
        super().__init__(faiss.IndexFlatIP(vectors.shape[1]))
        self._flat.add(vectors)

    def search(self, queries: Floats, k: int, allowed: AllowedRows | None = None) -> tuple[Floats, Ints]:
        """Without filters."""
        faiss.omp_set_num_threads(1)
        scores, rows = self._flat.search(queries, k)
        return scores, rows


@dataclass(frozen=True)
class BackendResult:
    """One backend at one size."""

    name: str
    num_vectors: int
    p50_ms: float
    p95_ms: float
    recall: float
    """Share of the true k nearest that are found."""
    bytes_per_vector: float

    def row(self, baseline: "BackendResult") -> str:
        """The Markdown table's row."""
        return (
            f"| {self.num_vectors:,} | {self.name} | {self.p50_ms:.2f} | {self.p95_ms:.2f} |"
            f" {self.p50_ms / baseline.p50_ms:.2f} | {self.recall:.4f} | {self.bytes_per_vector:.0f} |"
        )


def clustered(num: int, dim: int, seed: int) -> Floats:
    """[num, dim] unit vectors in clusters of ten, as a dictionary's videos are around their signs."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, num // 10), dim), dtype=np.float32)
    rows = np.empty((num, dim), np.float32)
    for start in range(0, num, 100_000):
        part = rows[start : start + 100_000]
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        part[:] = centres[rng.integers(len(centres), size=len(part))] + CLUSTER_SPREAD * noise
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


IndexFactory = Callable[[Floats], VectorIndex]


@contextmanager
def milvus_backend(address: str | None) -> Iterator[dict[str, IndexFactory]]:
    """The row of a Milvus server, where one is named; what was put there goes at the end."""
    if address is None:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        server = MilvusServer(Connection(Address.parse(address)), secrets.token_hex(6), Leases(Path(folder)))
        server.require_usable()

        def make(vectors: Floats) -> VectorIndex:
            entries = [Entry(f"{row}", f"{row}", f"{row}.mp4") for row in range(len(vectors))]
            return server.open_index(secrets.token_hex(6), "0" * 12, vectors, entries)

        try:
            yield {"Milvus": make}
        finally:
            gc.collect()  # what is in use is not dropped
            server.drop_all_but(())
            server.close()


def measure(num: int, dim: int, num_queries: int, others: dict[str, IndexFactory]) -> list[BackendResult]:
    """Single queries, backends taking turns."""
    vectors = clustered(num, dim, 0)
    queries = vectors[np.random.default_rng(1).integers(num, size=num_queries)]
    queries = queries + 0.5 * np.random.default_rng(2).standard_normal(queries.shape, dtype=np.float32) / dim**0.5
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    makers: dict[str, IndexFactory] = {
        "numpy float32": ExactIndex,
        "faiss IndexFlatIP": Float32FlatIndex,
        "ours, CPU": faiss_index.build,
        **others,
    }
    backends: dict[str, VectorIndex] = {name: make(vectors) for name, make in makers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    found: dict[str, list[Ints]] = {name: [] for name in backends}
    for backend in backends.values():
        backend.search(queries[:1], K)
    for query in queries:
        for name, backend in backends.items():
            began = time.perf_counter()
            _, rows = backend.search(query[None], K)
            seconds[name].append(time.perf_counter() - began)
            found[name].append(rows[0])
    results = [
        BackendResult(
            name,
            num,
            1000 * float(np.median(seconds[name])),
            1000 * float(np.percentile(seconds[name], 95)),
            neighbour_recall(np.stack(found[name]), np.stack(found["numpy float32"])),
            (2 if name.startswith("ours") else 4) * dim,
        )
        for name in backends
    ]
    del backends
    gc.collect()
    return results


def stored_bytes_per_vector(num: int, dim: int) -> float:
    """Bytes of the written index per vector, to check what the table says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.faiss"
        faiss_index.build(clustered(num, dim, 0)).write(path)
        return path.stat().st_size / num


def cpu_name() -> str:
    """The processor in one line."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} cores"


def main(
    *,
    size: Annotated[list[int] | None, typer.Option(help="Vectors; may be given several times.")] = None,
    dim: Annotated[int, typer.Option(help="Numbers per vector.")] = DIM,
    num_queries: Annotated[int, typer.Option(help="Single queries per size.")] = NUM_QUERIES,
    write: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
    milvus: Annotated[
        str | None,
        typer.Option(help="Also measure this server, milvus://HOST:PORT/DATABASE, with a database to spare."),
    ] = None,
) -> None:
    """Measure single queries on every backend and print a Markdown table."""
    others: dict[str, IndexFactory] = {}
    try:
        require_gpu()
        others["ours, GPU"] = GpuIndex
    except IndexDeviceError as error:
        typer.echo(f"without GPU: {error}", err=True)
    rows = []
    with milvus_backend(milvus) as its_row:
        for num in size or SIZES:
            results = measure(num, dim, num_queries, others | its_row)
            baseline = next(each for each in results if each.name == "faiss IndexFlatIP")
            rows += [each.row(baseline) for each in results]
    stored = stored_bytes_per_vector(10_000, dim)
    text = "\n".join(
        [
            "# Search",
            "",
            f"`python -m index bench`. {cpu_name()}, faiss {faiss.__version__}, load average {os.getloadavg()[0]:.1f}.",
            "",
            f"Single queries, one thread (numpy takes all), the {K} nearest of vectors of {dim} in clusters of ten;",
            f"{num_queries} queries per size, backends taking turns. Recall is against numpy in float32.",
            "",
            "| vectors | backend | p50 ms | p95 ms | p50 / IndexFlatIP | recall@10 | bytes per vector |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"A written index of 10,000 vectors takes {stored:.1f} bytes per vector.",
            "",
        ]
    )
    typer.echo(text)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text)
