"""How fast the encoder is, and what each way of saving work costs: `python -m model bench`.

Every number stands beside a baseline measured in the same run, turn by turn, because machines are noisy: ratios hold,
absolute times don't. Medians throughout.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import onnxruntime as ort
import torch
import typer
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.bench.decoding import Codec, measure_decode
from model.clip_stream import STILL
from model.config import PRESETS, EncoderConfig
from model.embed import Embedder
from model.encoder import Floats, Frames
from model.machine import machine
from model.network.checkpoint import read_checkpoint, untrained
from model.network.export import export
from model.network.pixels import normalise
from model.network.signrep import SignRep
from model.pooling import pool
from model.runtime.onnx_encoder import OnnxEncoder
from model.video import open_frames
from model.windows import slide

KEPT_SHARES = (1.0, 0.75, 0.5, 0.4, 0.2)
MATRIX = 2048


@dataclass(frozen=True)
class Table:
    """A heading, column names, rows of cells, and a remark below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remark: str = ""

    def markdown(self) -> str:
        """The table as it stands in docs/benchmarks."""
        lines = [f"## {self.title}", "", "| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", self.remark, ""] if self.remark else [*lines, ""])


@dataclass(frozen=True)
class BenchEncoder:
    """One encoder in its two forms."""

    name: str
    network: SignRep
    encoder: OnnxEncoder

    @property
    def config(self) -> EncoderConfig:
        """Geometry of both."""
        return self.network.config


def interleaved_times(tasks: Sequence[Callable[[], object]], repeats: int) -> list[list[float]]:
    """Seconds of each task, the tasks taking turns so that a slow minute of the machine hits all of them."""
    times: list[list[float]] = [[] for _ in tasks]
    for task in tasks:
        task()
    for _ in range(repeats):
        for task, seconds in zip(tasks, times, strict=True):
            start = time.perf_counter()
            task()
            seconds.append(time.perf_counter() - start)
    return times


def matrix_product_gflop_s(threads: int) -> Callable[[], float]:
    """A task that multiplies two matrices; 2 x 2048^3 operations a call."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, MATRIX, MATRIX).unbind()
    return lambda: float((a @ b)[0, 0])


def window_gflop(network: SignRep) -> float:
    """Operations of one full window as torch counts them, 2 per multiply-add."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    # Only in its plain form is attention made of products that the counter knows.
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(torch.zeros(1, 3, *network.config.window_size))
    return counter.get_total_flops() / 1e9


def random_windows(config: EncoderConfig, num: int) -> Frames:
    """Noise, as hard to encode as anything."""
    return np.random.default_rng(0).integers(0, 256, (num, *config.window_size, 3), dtype=np.uint8)


def bench_rate(bench_encoder: BenchEncoder, threads: int, repeats: int) -> Table:
    """Windows per second and share of the machine's matrix-product rate, ONNX Runtime and torch eager."""
    multiply = matrix_product_gflop_s(threads)
    num = bench_encoder.encoder.device.num_runs
    windows = random_windows(bench_encoder.config, num)
    tensor = torch.from_numpy(windows)

    @torch.no_grad()
    def eager() -> object:
        return bench_encoder.network(normalise(tensor))

    spent = [
        median(times)
        for times in interleaved_times([multiply, lambda: bench_encoder.encoder.encode(windows), eager], repeats)
    ]
    gflop = window_gflop(bench_encoder.network)
    rate = 2 * MATRIX**3 / 1e9 / spent[0]
    seconds = [s / num for s in spent]
    rows = tuple(
        (name, f"{1 / s:.2f}", f"{s:.3f}", f"{gflop / s:.0f}", f"{gflop / s / rate:.2f}")
        for name, s in (("ONNX Runtime", seconds[1]), ("torch eager", seconds[2]))
    )
    return Table(
        f"Encoder rate, {bench_encoder.name}, full windows, {num} at a time",
        ("", "windows/s", "s per window", "GFLOP/s", "share of the matrix-product rate"),
        rows,
        f"{gflop:.0f} GFLOP per window; float32 product of two {MATRIX} x {MATRIX} matrices: {rate:.0f} GFLOP/s."
        f" {repeats} turns, {threads} threads.",
    )


def bench_kept(bench_encoder: BenchEncoder, repeats: int) -> Table:
    """Seconds per window against the kept share of mask units."""
    num, units = bench_encoder.encoder.device.num_runs, bench_encoder.config.num_units
    windows = random_windows(bench_encoder.config, num)
    counts = [round(share * units) for share in KEPT_SHARES]
    tasks = [partial(bench_encoder.encoder.encode, windows, np.tile(np.arange(count), (num, 1))) for count in counts]
    seconds = [median(times) / num for times in interleaved_times(tasks, repeats)]
    rows = tuple(
        (f"{share:.0%}", str(count), f"{s:.3f}", f"{s / seconds[0]:.2f}")
        for share, count, s in zip(KEPT_SHARES, counts, seconds, strict=True)
    )
    return Table(
        f"Cost against kept mask units, {bench_encoder.name}", ("kept", "units", "s per window", "share of full"), rows
    )


@torch.no_grad()
def published_pipeline(network: SignRep, fps: float, num_parts: int, clip: Path) -> Floats:
    """The network as its authors use it: float32 torch, stride 2, every window, one at a time, then pooled."""
    config = network.config
    embeddings, activity = [], []
    with open_frames(clip, fps=fps, size=config.image_size) as frames:
        for window in slide(frames, config.num_frames, 2):
            output = network(normalise(torch.from_numpy(window.frames[None])))
            embeddings.append(output.features[0].numpy())
            activity.append(output.activity_logits[0].sigmoid().numpy())
    return pool(np.stack(embeddings), np.stack(activity), num_parts)


def bench_clips(bench_encoder: BenchEncoder, clips: Sequence[Path]) -> Table:
    """Seconds per clip and how far the vector moves, one saving after the other, against the authors' way."""
    info = bench_encoder.encoder.info

    def step(stride: int, still: float, share: float) -> Callable[[Path], Floats]:
        embedder = Embedder(bench_encoder.encoder, stride_frames=stride, still=still, kept_share=share)
        return lambda clip: embedder.embed(clip).vector

    steps: list[tuple[str, Callable[[Path], Floats]]] = [
        ("authors' way: float32 torch, one window at a time, stride 2, every window",
         lambda clip: published_pipeline(bench_encoder.network, info.fps, info.num_parts, clip)),
        ("ONNX Runtime, a window a core", step(2, 0, 1)),
        (f"+ motion gate at {STILL:g} grey levels", step(2, STILL, 1)),
        ("+ stride 4", step(4, STILL, 1)),
        ("+ stride 8", step(8, STILL, 1)),
        ("+ 40 % of the mask units", step(8, STILL, 0.4)),
        ("stride 2, gate, 40 % of the mask units", step(2, STILL, 0.4)),
    ]  # fmt: skip
    vectors: list[list[Floats]] = [[] for _ in steps]
    times: list[list[float]] = [[] for _ in steps]
    for clip in clips:
        for i, (_, embed) in enumerate(steps):
            start = time.perf_counter()
            vectors[i].append(embed(clip))
            times[i].append(time.perf_counter() - start)
    rows = []
    for (name, _), found, seconds in zip(steps, vectors, times, strict=True):
        cosines = [float(a @ b) for a, b in zip(found, vectors[0], strict=True)]
        speedup = median(first / s for first, s in zip(times[0], seconds, strict=True))
        rows.append((name, f"{median(seconds):.2f}", f"{speedup:.1f}", f"{median(cosines):.5f}", f"{min(cosines):.5f}"))
    between = [float(a @ b) for i, a in enumerate(vectors[0]) for b in vectors[0][:i]] or [1.0]
    return Table(
        f"From video to vector, {bench_encoder.name}, {len(clips)} clips",
        ("", "s per clip", "times faster", "cosine to the authors' vector", "lowest"),
        tuple(rows),
        "Each row keeps what the rows above brought, except the last."
        f" Cosine between different clips, the authors' way: {median(between):.5f} (median).",
    )


def bench_decode() -> Table:
    """Decoding, resizing and cropping without any encoder, for what phones and browsers send."""
    codecs: tuple[tuple[str, Codec], ...] = (("H.264", "libx264"), ("VP8", "libvpx"))
    costs = [(name, measure_decode(codec, threads=threads)) for name, codec in codecs for threads in (1, 2)]
    rows = tuple(
        (f"{cost.height}p {name}", str(cost.threads), f"{cost.total_ms:.0f}", f"{cost.decode_ms:.0f}",
         f"{cost.resize_share:.0%}")
        for name, cost in costs
    )  # fmt: skip
    columns = ("generated clip", "threads", "ms per second of video", "of it decoding", "resize, colour, crop")
    return Table("Decoding alone, to 224-pixel frames at 25 per second", columns, rows)


def load_bench_encoder(source: str, threads: int, folder: Path) -> BenchEncoder:
    """A preset with random weights, or a checkpoint, as torch and as ONNX."""
    if source in PRESETS:
        checkpoint, name = untrained(PRESETS[source](), source), f"{source} (random weights)"
    else:
        checkpoint, name = read_checkpoint(Path(source)), Path(source).name
    path = folder / "encoder.onnx"
    export(checkpoint, path)
    gc.collect()
    return BenchEncoder(name, checkpoint.network(), OnnxEncoder(path, threads=threads))


def clips_clause(clips: Sequence[Path] | None) -> str:
    """The clips of a run, for its heading."""
    return f" on the clips {', '.join(clip.stem for clip in clips)}" if clips else ""


def main(
    *,
    source: Annotated[str, typer.Option("--encoder", help="base, small, tiny, or a checkpoint.")] = "base",
    clips: Annotated[list[Path] | None, typer.Option("--clip", help="Videos for the way from video to vector.")] = None,
    threads: Annotated[int, typer.Option(help="For matrix product, torch and ONNX Runtime alike.")] = 2,
    repeats: Annotated[int, typer.Option(help="Turns of each measurement.")] = 7,
    write: Annotated[Path | None, typer.Option(help="Also write the tables to this file.")] = None,
) -> None:
    """Measure the encoder against its baselines and print Markdown tables."""
    began_on = machine()
    with tempfile.TemporaryDirectory() as folder:
        bench_encoder = load_bench_encoder(source, threads, Path(folder))
        torch.set_num_threads(threads)
        tables = [bench_rate(bench_encoder, threads, repeats), bench_kept(bench_encoder, repeats)]
        if clips:
            tables.append(bench_clips(bench_encoder, clips))
        tables.append(bench_decode())
    command = f"python -m model bench --encoder {source} --threads {threads} --repeats {repeats}"
    versions = f"torch {torch.__version__}, onnxruntime {ort.__version__}"
    run = f"`{command}`{clips_clause(clips)}. {began_on} when it began, {versions}."
    head = ["# Encoder and decoder on a CPU", "", run, ""]
    text = "\n".join([*head, *(table.markdown() for table in tables)])
    typer.echo(text)
    if write is not None:
        write.write_text(text)
