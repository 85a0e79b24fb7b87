"""What approximate indexes would bring and cost, beside the flat one: `python -m index bench-scale`.

Flat, IVF-PQ and HNSW of FAISS on the same vectors: random ones, among which every neighbour is about as far as any
other, and ones in clusters of ten, as the videos of a sign are. One index at a time is in memory, the vectors lie on
the disk: a million of 768 numbers needs 3.1 GB of it, and under 4 GB of memory. What was measured is kept in the
folder, so a run that was cut off goes on; a row is measured again when its line in `rows.jsonl` is removed.

Candidates are meant to be scored again with the true vectors, as the dictionary does: `recall@10 of 100` is what of the
ten true neighbours is among the 100 best, and so the recall after that.
"""

import gc
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import faiss
import numpy as np
import typer

from index.bench.search import clustered, cpu_name
from index.metrics import neighbour_recall
from index.protocol import Floats, Ints

Kind = Literal["random", "clustered"]
DIM = 768
K, CANDIDATES = 10, 100
BLOCK = 20_000
PQ_BYTES = 96
"""Of a vector in IVF-PQ: eight numbers become a byte."""
HNSW_LINKS = 32
BUILD_CANDIDATES = 80
"""`efConstruction`: how many neighbours HNSW looks at when it links a vector."""
TRAINED_PER_LIST = 40
"""Vectors per list that IVF learns from: the fewest for which FAISS does not warn."""


@dataclass(frozen=True)
class ScaleResult:
    """One index with one way of searching it."""

    kind: Kind
    num_vectors: int
    name: str
    setting: str
    """How much of it a search looks at; empty where there is no choice."""
    recall: float
    """Share of the ten nearest among the first ten."""
    recall_of_candidates: float
    """Share of the ten nearest among the first hundred."""
    p50_ms: float
    p95_ms: float
    bytes_per_vector: float
    """Of the written index."""
    build_s: float
    threads: int
    """While it was built; single queries take one."""
    load_average: float
    """When it was measured: a machine that has more to do than cores is no place for a benchmark."""

    def line(self) -> str:
        """The Markdown table's row."""
        return (
            f"| {self.kind} | {self.num_vectors:,} | {self.name} | {self.setting or '–'} | {self.recall:.3f}"
            f" | {self.recall_of_candidates:.3f} | {self.p50_ms:.2f} | {self.p95_ms:.2f} | {self.bytes_per_vector:.0f}"
            f" | {self.build_s:.1f} | {self.threads} | {self.load_average:.0f} |"
        )


@dataclass(frozen=True)
class IndexVariant:
    """A kind of index."""

    name: str
    settings: tuple[tuple[str, int], ...]
    """Name and value of what is changed between searches; empty where there is nothing."""
    make: Callable[[int, int], faiss.Index]
    """From the number of vectors and their size."""


def flat(_: int, dim: int) -> faiss.Index:
    """Every vector is compared, in half precision: what Signdex uses."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def ivf_pq(num: int, dim: int) -> faiss.Index:
    """Vectors in lists around centres, each as 96 bytes of what is left; a search looks at some of the lists."""
    quantizer = faiss.IndexFlatIP(dim)
    made = faiss.IndexIVFPQ(quantizer, dim, num_lists(num), PQ_BYTES * dim // DIM or 1, 8, faiss.METRIC_INNER_PRODUCT)
    made.own_fields = True
    quantizer.this.disown()  # type: ignore[attr-defined] # freed with the index that has it now
    return made


def hnsw(_: int, dim: int) -> faiss.Index:
    """A graph that a search walks along, over vectors in half precision."""
    half = faiss.ScalarQuantizer.QT_fp16
    made = faiss.IndexHNSWSQ(dim, half, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)  # type: ignore[arg-type]
    made.hnsw.efConstruction = BUILD_CANDIDATES
    return made


VARIANTS = (
    IndexVariant("flat fp16", (), flat),
    IndexVariant(f"IVF-PQ {PQ_BYTES} bytes", (("nprobe", 8), ("nprobe", 32), ("nprobe", 128)), ivf_pq),
    IndexVariant(f"HNSW {HNSW_LINKS} links, fp16", (("efSearch", 32), ("efSearch", 128), ("efSearch", 512)), hnsw),
)


def num_lists(num: int) -> int:
    """How many lists IVF makes: four times the square root, as its authors advise, and no more than it can learn."""
    return max(1, min(4 * math.isqrt(num), num // TRAINED_PER_LIST))


def stored_vectors(folder: Path, kind: Kind, num: int, dim: int) -> Floats:
    """[num, dim] unit vectors, mapped from a file that is made where it is not there yet."""
    path = folder / f"{kind}-{num}-{dim}.npy"
    if not path.exists():
        aside = path.with_suffix(".part")
        rows = np.lib.format.open_memmap(aside, "w+", np.float32, (num, dim))
        for number, start in enumerate(range(0, num, BLOCK)):
            size = min(BLOCK, num - start)
            rows[start : start + size] = MAKERS[kind](size, dim, number)
        rows.flush()
        aside.replace(path)
    found: Floats = np.load(path, mmap_mode="r")
    return found


def uniform(num: int, dim: int, seed: int) -> Floats:
    """[num, dim] unit vectors in any direction."""
    rows = np.random.default_rng(seed).standard_normal((num, dim), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


MAKERS: dict[Kind, Callable[[int, int, int], Floats]] = {"random": uniform, "clustered": clustered}


def queries_of(vectors: Floats, num: int) -> Floats:
    """[num, D] unit vectors near some of the vectors, half a length away: another film of the same sign."""
    rng = np.random.default_rng(1)
    near = vectors[np.sort(rng.integers(len(vectors), size=num))]
    near = near + 0.5 * rng.standard_normal(near.shape, dtype=np.float32) / near.shape[1] ** 0.5
    return np.asarray(near / np.linalg.norm(near, axis=1, keepdims=True), np.float32)


def blocks(vectors: Floats) -> Iterator[tuple[int, Floats]]:
    """The vectors in parts that fit into memory, with the number of the first."""
    for start in range(0, len(vectors), BLOCK):
        yield start, np.ascontiguousarray(vectors[start : start + BLOCK])


def nearest(vectors: Floats, queries: Floats, k: int = K) -> Ints:
    """[Q, k] the true neighbours, by comparing everything in float32."""
    scores = np.full((len(queries), 0), 0, np.float32)
    rows = np.zeros((len(queries), 0), np.int64)
    for start, block in blocks(vectors):
        both = np.concatenate([scores, queries @ block.T], axis=1)
        numbers = np.arange(start, start + len(block))
        numbers_of = np.concatenate([rows, np.broadcast_to(numbers, (len(queries), len(block)))], axis=1)
        best = np.argsort(-both, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(both, best, 1), np.take_along_axis(numbers_of, best, 1)
    return rows


def build_index(variant: IndexVariant, vectors: Floats, threads: int) -> tuple[faiss.Index, float]:
    """An index over the vectors, and the seconds that took."""
    faiss.omp_set_num_threads(threads)
    began = time.perf_counter()
    made = variant.make(*vectors.shape)
    if not made.is_trained:
        num = min(len(vectors), TRAINED_PER_LIST * num_lists(len(vectors)))
        picked = np.sort(np.random.default_rng(0).choice(len(vectors), size=num, replace=False))
        made.train(np.ascontiguousarray(vectors[picked]))
    for start, block in blocks(vectors):
        made.add(block)
        log_progress(f"{variant.name}: {start + len(block):,} of {len(vectors):,}, {time.perf_counter() - began:.0f} s")
    return made, time.perf_counter() - began


def timed_searches(made: faiss.Index, queries: Floats) -> tuple[Ints, list[float]]:
    """[Q, 100] rows that are found, and the milliseconds of each query, one at a time on one thread."""
    faiss.omp_set_num_threads(1)
    made.search(queries[:1], CANDIDATES)
    found, spent_ms = [], []
    for query in queries:
        began = time.perf_counter()
        _, rows = made.search(query[None], CANDIDATES)
        spent_ms.append(1000 * (time.perf_counter() - began))
        found.append(rows[0])
    return np.stack(found), spent_ms


def measure_variant(
    kind: Kind, variant: IndexVariant, vectors: Floats, num_queries: int, threads: int
) -> list[ScaleResult]:
    """A row per setting of one index."""
    queries = queries_of(vectors, num_queries)
    expected = nearest(vectors, queries)
    made, build_s = build_index(variant, vectors, threads)
    size = bytes_of(made) / len(vectors)
    rows = []
    for name, value in variant.settings or (("", 0),):
        set_search(made, name, value)
        found, spent_ms = timed_searches(made, queries)
        rows.append(
            ScaleResult(
                kind, len(vectors), variant.name, f"{name} {value}" if name else "",
                neighbour_recall(found[:, :K], expected), neighbour_recall(found, expected),
                float(np.median(spent_ms)), float(np.percentile(spent_ms, 95)), size, build_s, threads,
                os.getloadavg()[0],
            )
        )  # fmt: skip
        log_progress(rows[-1].line())
    return rows


def set_search(made: faiss.Index, name: str, value: int) -> None:
    """Set how much of an index a search looks at."""
    if name == "nprobe":
        made.nprobe = value  # type: ignore[attr-defined]
    elif name:
        made.hnsw.efSearch = value  # type: ignore[attr-defined]


def bytes_of(made: faiss.Index) -> int:
    """Bytes of the index as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        faiss.write_index(made, str(path))
        return path.stat().st_size


def read_results(path: Path) -> list[ScaleResult]:
    """The rows that were measured before."""
    return [ScaleResult(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def all_rows(folder: Path, num: int, dim: int, num_queries: int, threads: int) -> list[ScaleResult]:
    """Every row, those of earlier runs included; each index's are kept as soon as they are there."""
    path = folder / "rows.jsonl"
    for variant in VARIANTS:
        for kind in MAKERS:
            if any((row.kind, row.num_vectors, row.name) == (kind, num, variant.name) for row in read_results(path)):
                continue
            rows = measure_variant(kind, variant, stored_vectors(folder, kind, num, dim), num_queries, threads)
            with path.open("a") as lines:
                lines.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
            gc.collect()
    return sorted((row for row in read_results(path) if row.num_vectors == num), key=lambda row: row.kind)


def table(rows: Sequence[ScaleResult], num_queries: int) -> str:
    """Everything as Markdown."""
    return "\n".join(
        [
            "# Indexes that are not flat",
            "",
            f"`python -m index bench-scale`. {cpu_name()}, faiss {faiss.__version__}.",
            "",
            f"{num_queries} single queries on one thread, 100 neighbours each; recall against comparing everything in"
            " float32. `recall@10 of 100`: after the 100 were scored again with the true vectors. Bytes are those of"
            " the written index; the true vectors (3,072 bytes each at 768) come on top, on the disk. Where the load"
            " average is above the number of cores, seconds and milliseconds are no benchmark: recall and bytes are.",
            "",
            "| vectors | number | index | looks at | recall@10 | recall@10 of 100 | p50 ms | p95 ms | bytes per vector"
            " | build s | build threads | load average |",
            "|" + "---|" * 12,
            *(row.line() for row in rows),
            "",
        ]
    )


def log_progress(text: str) -> None:
    """Write progress to standard error."""
    sys.stderr.write(f"{text}\n")


def main(
    *,
    num: Annotated[int, typer.Option(min=K, help="Vectors of each kind.")] = 1_000_000,
    num_queries: Annotated[int, typer.Option(min=1, help="Single queries.")] = 100,
    threads: Annotated[int, typer.Option(min=0, help="For building; 0 takes all cores.")] = 0,
    folder: Annotated[Path, typer.Option(help="For vectors and measured rows.")] = Path("data/scale_bench"),
    write: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
) -> None:
    """Measure flat, IVF-PQ and HNSW and print a Markdown table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = all_rows(folder, num, DIM, num_queries, threads or os.cpu_count() or 1)
    text = table(rows, num_queries)
    typer.echo(text)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text, encoding="utf-8")
