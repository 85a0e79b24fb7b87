"""How fast the encoder is on a GPU, how far float16 moves vectors, whether memory stays: `python -m model bench-gpu`.

`make bench-gpu` runs this, then the benchmarks of search and of the service on the same GPU. With `--provider cpu` the
same is done on the processor, which only shows that the benchmark works.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import onnxruntime as ort
import torch
import typer

from model.bench.decoding import generate_clip
from model.bench.encoder import Table, clips_clause, random_windows, window_gflop
from model.config import PRESETS
from model.embed import Embedder
from model.machine import machine
from model.network.checkpoint import Checkpoint, read_checkpoint, untrained
from model.network.export import export
from model.network.pixels import normalise
from model.runtime import devices
from model.runtime.devices import Device
from model.runtime.io_binding import BoundSession
from model.runtime.onnx_encoder import OnnxEncoder, open_session

BATCHES = (1, 2, 4, 8, 16, 32, 64)
PRECISIONS = ("fp32", "fp16")
MATRIX = 8192
PUBLISHED_WINDOWS_PER_S = 133.6
"""Windows per second of the published network in PyTorch on an A100, as its paper says."""
NUM_VECTORS, DIM, K = 1_000_000, 768, 10
MAX_CLIP_WINDOWS = 120


@dataclass(frozen=True)
class BenchDevice:
    """The device that is measured."""

    provider: str
    """As `Device` names it."""
    matrix: int = MATRIX
    """Rows and columns of the matrices whose product is the yardstick."""

    @property
    def name(self) -> str:
        """As torch and ONNX Runtime's buffers call it."""
        return "cpu" if self.provider == "cpu" else "cuda"

    def seconds(self, task: Callable[[], object], repeats: int) -> list[float]:
        """How long a task takes, again and again, after two runs that are not measured."""
        times = []
        for turn in range(repeats + 2):
            self._wait()
            began = time.perf_counter()
            task()
            self._wait()
            if turn >= 2:
                times.append(time.perf_counter() - began)
        return times

    def used_bytes(self) -> int:
        """Memory that is taken: of the GPU by everybody, of the machine by this process."""
        if self.name == "cuda":
            gpu = devices.nvidia_driver().gpus[0]
            return gpu.total_bytes - gpu.free_bytes
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def describe(self) -> str:
        """The device in one line."""
        if self.name == "cpu":
            return machine()
        driver = devices.nvidia_driver()
        return f"{driver.gpus[0].name}, driver {driver.version}; {machine()}"

    def _wait(self) -> None:
        """Wait until the GPU has done all its work."""
        if self.name == "cuda":
            torch.cuda.synchronize()


def matrix_tflop_s(device: BenchDevice) -> float:
    """The float16 matrix rate that torch reaches here."""
    a, b = torch.randn(2, device.matrix, device.matrix, device=device.name).half().unbind()
    return 2 * device.matrix**3 / median(device.seconds(lambda: a @ b, 20)) / 1e12


def bench_rate(
    files: Mapping[str, Path], checkpoint: Checkpoint, device: BenchDevice, batches: Sequence[int], repeats: int
) -> Table:
    """Windows per second and share of the float16 matrix rate, per precision and batch."""
    yardstick, tflop = matrix_tflop_s(device), window_gflop(checkpoint.network()) / 1000
    rows: list[tuple[str, ...]] = []

    def add(name: str, num: int, task: Callable[[], object]) -> None:
        per_s = num / median(device.seconds(task, repeats))
        share = per_s * tflop / yardstick
        rows.append(
            (
                name,
                str(num),
                f"{per_s:.1f}",
                f"{per_s * tflop:.1f}",
                f"{share:.2f}",
                f"{per_s / PUBLISHED_WINDOWS_PER_S:.1f}",
            )
        )

    for precision, path in files.items():
        bound = BoundSession(
            open_session(path.read_bytes(), path, Device(device.provider)), checkpoint.config.dim, device.name
        )
        for num in batches:
            inputs = {"windows": random_windows(checkpoint.config, num)}
            add(f"ONNX Runtime {precision}", num, partial(bound.run, inputs))
    network = checkpoint.network().to(device.name).half()
    with torch.no_grad():
        for num in batches:
            windows = torch.from_numpy(random_windows(checkpoint.config, num)).to(device.name)
            add("torch fp16", num, lambda windows=windows: network(normalise(windows, torch.float16)))  # type: ignore[misc]
    return Table(
        "Encoder rate, full windows, pixels and results moved to and from the device (torch: already there)",
        ("", "batch", "windows/s", "TFLOP/s", "share of the matrix rate", "times the published rate"),
        tuple(rows),
        f"{1000 * tflop:.0f} GFLOP per window; float16 product of two {device.matrix} x {device.matrix} matrices:"
        f" {yardstick:.1f} TFLOP/s. Published: {PUBLISHED_WINDOWS_PER_S} windows/s."
        " Goals: share 0.5 at batch 32, 1,000 windows/s.",
    )


def bench_drift(files: Mapping[str, Path], clips: Sequence[Path], device: BenchDevice) -> Table:
    """How far float16 moves the vectors of clips."""
    vectors = []
    for precision in PRECISIONS:
        embedder = Embedder(OnnxEncoder(files[precision], provider=device.provider), stride_frames=2, still=0)
        vectors.append(np.stack([embedder.embed(clip).vector for clip in clips]))
    cosines = (vectors[0] * vectors[1]).sum(axis=1)
    return Table(
        "Cosine between float32 and float16 vectors",
        ("clips", "median", "lowest"),
        ((str(len(clips)), f"{median(cosines):.6f}", f"{min(cosines):.6f}"),),
        "Goal: at least 0.999.",
    )


def bench_memory(path: Path, device: BenchDevice, num_clips: int) -> Table:
    """Memory that is taken while clips of all lengths go through."""
    encoder = OnnxEncoder(path, provider=device.provider)
    encoder.warm()
    windows = random_windows(encoder.info.pictures, MAX_CLIP_WINDOWS)
    lengths = np.random.default_rng(0).integers(1, MAX_CLIP_WINDOWS + 1, num_clips)
    looked = {max(1, num_clips * tenth // 10) for tenth in range(1, 11)}
    used = [("warm", device.used_bytes())]
    for number, length in enumerate(lengths, 1):
        encoder.encode(windows[:length])
        if number in looked:
            used.append((str(number), device.used_bytes()))
    rows = tuple((name, f"{num_bytes / 1e6:.0f}", f"{(num_bytes - used[1][1]) / 1e6:+.0f}") for name, num_bytes in used)
    return Table(
        f"Memory over {num_clips:,} clips of 1 to {MAX_CLIP_WINDOWS} windows",
        ("clips", "MB taken", "beside the first tenth"),
        rows,
    )


def bench_product(device: BenchDevice, num: int, repeats: int) -> Table:
    """What a search costs as one product and one selection in torch: the yardstick of `python -m index bench`."""
    generator = torch.Generator(device.name).manual_seed(0)
    vectors = torch.randn(num, DIM, device=device.name, dtype=torch.float16, generator=generator)
    query = torch.randn(DIM, device=device.name, dtype=torch.float16, generator=generator)

    def search() -> torch.Tensor:
        return (vectors @ query).topk(K).indices.cpu()

    seconds = device.seconds(search, repeats)
    return Table(
        f"The {K} nearest of {num:,} vectors of {DIM} as one product in torch, float16",
        ("p50 ms", "p95 ms"),
        ((f"{1000 * median(seconds):.3f}", f"{1000 * np.percentile(seconds, 95):.3f}"),),
        "FAISS on the same GPU: `python -m index bench`.",
    )


def export_both(source: str, folder: Path) -> tuple[Checkpoint, dict[str, Path]]:
    """A checkpoint, or a preset with random weights, and its encoder files by precision."""
    checkpoint = untrained(PRESETS[source](), source) if source in PRESETS else read_checkpoint(Path(source))
    files = {"fp32": folder / "encoder.onnx", "fp16": folder / "encoder.fp16.onnx"}
    for precision, path in files.items():
        export(checkpoint, path, precision=precision)
    return checkpoint, files


def main(
    *,
    source: Annotated[str, typer.Option("--encoder", help="base, small, compact, tiny, or a checkpoint.")] = "base",
    provider: Annotated[str, typer.Option(help="cuda, tensorrt; cpu to try the benchmark out.")] = "cuda",
    clips: Annotated[list[Path] | None, typer.Option("--clip", help="Videos for the drift of float16.")] = None,
    num_clips: Annotated[int, typer.Option(help="For the memory over time.")] = 2000,
    num_vectors: Annotated[int, typer.Option(help="For search as a product.")] = NUM_VECTORS,
    max_batch: Annotated[int, typer.Option(help="The largest batch.")] = BATCHES[-1],
    matrix: Annotated[int, typer.Option(help="Rows of the matrices that are multiplied.")] = MATRIX,
    repeats: Annotated[int, typer.Option(help="Runs of each measurement.")] = 20,
    write: Annotated[Path | None, typer.Option(help="Also write the tables to this file.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Leave the encoder files in this folder.")] = None,
) -> None:
    """Measure the encoder on a GPU and print Markdown tables; refuses where there is none."""
    devices.require_device(Device(provider))
    device = BenchDevice(provider, matrix)
    began_on = device.describe()
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        checkpoint, files = export_both(source, folder)
        videos = clips or [_generated(folder)]
        tables = [
            bench_rate(files, checkpoint, device, [num for num in BATCHES if num <= max_batch], repeats),
            bench_drift(files, videos, device),
            bench_memory(files["fp16"], device, num_clips),
            bench_product(device, num_vectors, repeats),
        ]
    versions = f"torch {torch.__version__}, onnxruntime {ort.__version__}"
    command = f"`python -m model bench-gpu --encoder {source} --provider {provider}`{clips_clause(clips)}"
    head = ["# The encoder on a GPU", "", f"{command}. {began_on} when it began; {versions}.", ""]
    text = "\n".join([*head, *(table.markdown() for table in tables)])
    typer.echo(text)
    if write is not None:
        write.write_text(text)


def _generated(folder: Path) -> Path:
    """A clip of two seconds."""
    path = folder / "generated.mp4"
    path.write_bytes(generate_clip("libx264", 640, 480, 2).getvalue())
    return path
