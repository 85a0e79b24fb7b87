"""Benchmark of reindexing: `python -m app.bench.reindex`.

A reindex is measured beside its two halves alone, in the same run: decoding all clips into windows without encoding
them, and encoding their windows without decoding anything. Machines are noisy: compare ratios, not absolute times.
"""

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer

from app.indexing import bulk
from app.indexing.reindex import reindex
from app.progress import SkippedVideo
from index import snapshot
from index.bench.search import cpu_name
from index.cache import EmbeddingCache
from model.bench.decoding import generate_clip
from model.clip_stream import MovingWindow, open_pictures
from model.embed import Embedder, batches
from model.encoder import Encoder, EncoderInfo, Encoding, Frames, Ints
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder

LIMIT_S = 2.0
"""A second run with nothing changed should take less, for 500 entries."""


class NoSkipsCallback:
    """A `ProgressCallback` for benchmarks, in which no clip may be skipped."""

    def start_phase(self, name: str, total: int) -> None:
        """Do nothing."""

    def advance(self) -> None:
        """Do nothing."""

    def report_skipped(self, skipped: SkippedVideo) -> None:
        """Refuse to go on without a clip.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"{skipped.video}: {skipped.reason}")


class DummyEncoder:
    """An encoder that computes next to nothing, so that only decoding is measured."""

    def __init__(self, info: EncoderInfo) -> None:
        self.info = info
        self._row = np.random.default_rng(0).normal(size=info.vector_dim).astype(np.float32)

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """Cheap embeddings that differ between clips."""
        shades = windows[:, 0, ::16, ::16, 1].reshape(len(windows), -1)[:, : len(self._row)].astype(np.float32)
        embedding = np.broadcast_to(self._row, (len(windows), len(self._row))).copy()
        embedding[:, : shades.shape[1]] += shades
        return Encoding(embedding, np.ones((len(windows), 2), np.float32))


@dataclass(frozen=True)
class TimeSpent:
    """Wall-clock and processor time."""

    wall_s: float
    cpu_s: float
    """Of all threads, and of child processes that have ended."""


@dataclass(frozen=True)
class RepeatTimes:
    """Times of one repeat: the halves of a reindex alone, and the whole."""

    decode: TimeSpent
    encode: TimeSpent
    reindex: TimeSpent

    def lower_bound_s(self, num_cores: int) -> float:
        """Lower bound of a reindex: its slower half, or the work of both halves spread over all cores."""
        cpu_s = self.decode.cpu_s + self.encode.cpu_s
        return max(self.decode.wall_s, self.encode.wall_s, cpu_s / num_cores)


def main(
    *,
    clips: Annotated[int, typer.Option(min=1, help="Clips that are embedded, 640 x 480 pixels of 2 s.")] = 12,
    entries: Annotated[int, typer.Option(min=1, help="Entries of the run with nothing changed.")] = 500,
    repeats: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = 3,
    encoder: Annotated[Path, typer.Option(help="Encoder file.")] = DEFAULT_ENCODER,
    threads: Annotated[int, typer.Option(min=0, help="Of the encoder; 0 takes all cores.")] = 0,
    write: Annotated[Path | None, typer.Option(help="Also write the tables to this file.")] = None,
) -> None:
    """Clips per minute against decoding and encoding alone, and a second run with nothing changed."""
    opened = OnnxEncoder(encoder, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        videos = write_clips(Path(folder) / "videos", clips)
        times, num_windows = measure_first_runs(videos, opened, Path(folder), repeats)
        unchanged_s = measure_unchanged(videos, opened.info, Path(folder), entries, repeats)
    text = report(times, num_windows, clips, entries, unchanged_s, encoder, threads)
    typer.echo(text)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text)


def write_clips(folder: Path, num: int) -> Path:
    """A plain folder of so many videos with the same frames but different bytes."""
    folder.mkdir()
    content = generate_clip("libx264", 640, 480, 2).getvalue()
    for number in range(num):
        (folder / f"SIGN{number:04}.mp4").write_bytes(content + free_box(number))
    return folder


def free_box(number: int) -> bytes:
    """An MP4 box that players ignore, so that every file has another sha256."""
    payload = number.to_bytes(8, "big")
    return (8 + len(payload)).to_bytes(4, "big") + b"free" + payload


def measure_first_runs(videos: Path, encoder: OnnxEncoder, folder: Path, repeats: int) -> tuple[list[RepeatTimes], int]:
    """Times of decoding alone, encoding alone, and a reindex without cache; and the number of windows of all clips."""
    embedder = Embedder(encoder)
    paths = [bulk.ClipToEmbed(path, 0.0, None) for path in sorted(videos.iterdir())]
    windows = windows_of(paths[0], embedder)
    encoder.warm()
    times = []
    for repeat in range(repeats):
        decode = timed(lambda: sum(1 for _ in bulk.embed_clips(paths, Embedder(DummyEncoder(encoder.info)))))
        encode = timed(lambda: encode_all(windows, len(paths), embedder))
        data = folder / f"repeat-{repeat}"
        times.append(RepeatTimes(decode, encode, timed(lambda data=data: run(videos, encoder, data))))  # type: ignore[misc]
    return times, len(windows) * len(paths)


def windows_of(clip: bulk.ClipToEmbed, embedder: Embedder) -> list[MovingWindow]:
    """The windows of one clip that are encoded."""
    with open_pictures(clip.path, embedder.windowing) as windows:
        return list(windows)


def encode_all(windows: Sequence[MovingWindow], num_clips: int, embedder: Embedder) -> None:
    """Encode the windows of so many equal clips as filmed and mirrored, in full batches."""
    both = [*windows, *(embedder.mirrored(window) for window in windows)]
    every = (window for _ in range(num_clips) for window in both)
    for batch in batches(every, embedder.encoder.info.num_at_once):
        embedder.encode(batch)


def run(videos: Path, encoder: Encoder, data: Path) -> None:
    """Reindex and load the new snapshot."""
    with EmbeddingCache(data / "cache.sqlite") as cache:
        reindex(videos, Embedder(encoder), snapshots=data / "snapshots", cache=cache, progress=NoSkipsCallback())
    snapshot.load(data / "snapshots")


def measure_unchanged(videos: Path, info: EncoderInfo, folder: Path, num_entries: int, repeats: int) -> float:
    """Seconds of a second run over so many entries; the first run is not measured and uses no real encoder."""
    shutil.rmtree(videos)
    write_clips(videos, num_entries)
    data, encoder = folder / "unchanged", DummyEncoder(info)
    run(videos, encoder, data)
    return median(timed(lambda: run(videos, encoder, data)).wall_s for _ in range(repeats))


def timed(function: Callable[[], object]) -> TimeSpent:
    """The time that a function takes."""
    started, cpu_started = time.perf_counter(), cpu_s()
    function()
    return TimeSpent(time.perf_counter() - started, cpu_s() - cpu_started)


def cpu_s() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def report(
    repeats: Sequence[RepeatTimes],
    num_windows: int,
    clips: int,
    entries: int,
    unchanged_s: float,
    encoder: Path,
    threads: int,
) -> str:
    """The tables as Markdown; every cell is the median of the repeats."""
    num_cores = len(os.sched_getaffinity(0))
    reached = median(each.lower_bound_s(num_cores) / each.reindex.wall_s for each in repeats)
    of_slower = median(max(each.decode.wall_s, each.encode.wall_s) / each.reindex.wall_s for each in repeats)
    more_work = median(each.reindex.cpu_s / (each.decode.cpu_s + each.encode.cpu_s) for each in repeats)
    lines = [
        row("decoding alone", [each.decode for each in repeats], clips),
        row("encoding alone, as filmed and mirrored", [each.encode for each in repeats], clips),
        row("reindex from nothing", [each.reindex for each in repeats], clips),
    ]
    return "\n".join(
        [
            "# Reindexing",
            "",
            f"`python -m app.bench.reindex`. {cpu_name()}, load average {os.getloadavg()[0]:.1f},"
            f" encoder {encoder.name} on {threads or num_cores} threads.",
            "",
            f"{clips} clips of 2 s, 640 x 480 H.264, {num_windows} windows, each encoded twice;"
            f" medians of {len(repeats)} repeats.",
            "",
            "| | s | processor s | clips per minute |",
            "|---|---|---|---|",
            *lines,
            "",
            f"The reindex reaches {reached:.2f} of what is possible: it can't be faster than its slower half"
            f" ({of_slower:.2f} of that), nor than the processor time of both halves on {num_cores} cores. It takes"
            f" {more_work:.2f} times the processor time of its halves.",
            "",
            f"A second run with nothing changed, {entries} entries: {unchanged_s:.2f} s (limit {LIMIT_S:g} s), from"
            " scanning to the new snapshot loaded; nothing is embedded.",
            "",
        ]
    )


def row(name: str, spent: Sequence[TimeSpent], num_clips: int) -> str:
    """One line of the table."""
    wall_s, cpu = median(each.wall_s for each in spent), median(each.cpu_s for each in spent)
    return f"| {name} | {wall_s:.2f} | {cpu:.2f} | {60 * num_clips / wall_s:.0f} |"


if __name__ == "__main__":
    typer.run(main)
