"""How fast a dictionary is indexed: `python -m app.bench reindex`.

A reindex is measured beside its two halves alone, in the same run: decoding and cutting all clips without encoding
them, and encoding their windows without decoding anything. Machines are noisy: ratios hold, absolute times don't.
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

from app import bulk
from app.progress import Skipped
from app.reindex import rebuild
from index import snapshot
from index.bench import cpu_name
from index.cache import EmbeddingCache
from model.cut import MovingWindow, open_windows
from model.embed import Embedder, batches
from model.encoder import Encoder, EncoderInfo, Encoding, Frames, Ints
from model.runtime import DEFAULT_ENCODER, OnnxEncoder
from model.video.bench import generate_clip

commands = typer.Typer(no_args_is_help=True, add_completion=False, help="Benchmarks of the service.")
LIMIT_S = 2.0
"""A second run with nothing changed should take less, for 500 entries."""


class Quiet:
    """A `Progress` that nobody looks at."""

    def phase(self, name: str, total: int) -> None:
        """Nothing."""

    def advance(self) -> None:
        """Nothing."""

    def skip(self, skipped: Skipped) -> None:
        """No clip of a benchmark may be left out.

        Raises:
            RuntimeError: one was.
        """
        raise RuntimeError(f"{skipped.video}: {skipped.reason}")


class NoEncoder:
    """Takes the place of an encoder and does nothing: what is left is decoding and cutting."""

    def __init__(self, info: EncoderInfo) -> None:
        self.info = info
        self._row = np.random.default_rng(0).normal(size=info.vector_dim).astype(np.float32)

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """The same for every window, but not for every clip: cheap, and no two clips are alike."""
        shades = windows[:, 0, ::16, ::16, 1].reshape(len(windows), -1)[:, : len(self._row)].astype(np.float32)
        embedding = np.broadcast_to(self._row, (len(windows), len(self._row))).copy()
        embedding[:, : shades.shape[1]] += shades
        return Encoding(embedding, np.ones((len(windows), 2), np.float32))


@dataclass(frozen=True)
class Spent:
    """What a piece of work took."""

    wall_s: float
    cpu_s: float
    """Of all threads, and of the processes that it started and ended."""


@dataclass(frozen=True)
class Turn:
    """The halves of a reindex alone, and the whole."""

    decode: Spent
    encode: Spent
    reindex: Spent

    def allowed_s(self, num_cores: int) -> float:
        """What no reindex can be faster than: its slower half, and the work of both halves over all cores."""
        cpu_s = self.decode.cpu_s + self.encode.cpu_s
        return max(self.decode.wall_s, self.encode.wall_s, cpu_s / num_cores)


@commands.callback()
def benchmarks() -> None:
    """Benchmarks of the service."""


@commands.command()
def reindex(
    *,
    clips: Annotated[int, typer.Option(min=1, help="Clips that are embedded, 640 x 480 pixels of 2 s.")] = 12,
    entries: Annotated[int, typer.Option(min=1, help="Entries of the run with nothing changed.")] = 500,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each measurement.")] = 3,
    encoder: Annotated[Path, typer.Option(help="Encoder file.")] = DEFAULT_ENCODER,
    threads: Annotated[int, typer.Option(min=0, help="Of the encoder; 0 takes all cores.")] = 0,
    write: Annotated[Path | None, typer.Option(help="Also write the tables to this file.")] = None,
) -> None:
    """Clips per minute against decoding and encoding alone, and a second run with nothing changed."""
    opened = OnnxEncoder(encoder, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        videos = write_clips(Path(folder) / "videos", clips)
        turns, num_windows = measure_first_runs(videos, opened, Path(folder), repeats)
        unchanged_s = measure_unchanged(videos, opened.info, Path(folder), entries, repeats)
    text = report(turns, num_windows, clips, entries, unchanged_s, encoder, threads)
    typer.echo(text)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text)


def write_clips(folder: Path, num: int) -> Path:
    """A plain folder of as many different videos; their bytes differ behind the end, their pictures do not."""
    folder.mkdir()
    content = generate_clip("libx264", 640, 480, 2).getvalue()
    for number in range(num):
        (folder / f"SIGN{number:04}.mp4").write_bytes(content + free_box(number))
    return folder


def free_box(number: int) -> bytes:
    """An MP4 box that players pass over, so that a file has another sha256."""
    payload = number.to_bytes(8, "big")
    return (8 + len(payload)).to_bytes(4, "big") + b"free" + payload


def measure_first_runs(videos: Path, encoder: OnnxEncoder, folder: Path, repeats: int) -> tuple[list[Turn], int]:
    """Turns of decoding alone, encoding alone, and a reindex from nothing; and the windows of all clips."""
    embedder = Embedder(encoder)
    paths = [bulk.Clip(path, 0.0, None) for path in sorted(videos.iterdir())]
    windows = windows_of(paths[0], embedder)
    encoder.warm()
    turns = []
    for turn in range(repeats):
        decode = timed(lambda: sum(1 for _ in bulk.embed_clips(paths, Embedder(NoEncoder(encoder.info)))))
        encode = timed(lambda: encode_all(windows, len(paths), embedder))
        data = folder / f"turn-{turn}"
        turns.append(Turn(decode, encode, timed(lambda data=data: run(videos, encoder, data))))  # type: ignore[misc]
    return turns, len(windows) * len(paths)


def windows_of(clip: bulk.Clip, embedder: Embedder) -> list[MovingWindow]:
    """The windows of one clip that are encoded."""
    with open_windows(clip.path, embedder.cutting) as windows:
        return list(windows)


def encode_all(windows: Sequence[MovingWindow], num_clips: int, embedder: Embedder) -> None:
    """Encode the windows of so many clips as filmed and mirrored, in full batches."""
    both = [*windows, *(embedder.mirrored(window) for window in windows)]
    every = (window for _ in range(num_clips) for window in both)
    for batch in batches(every, embedder.encoder.info.num_at_once):
        embedder.encode(batch)


def run(videos: Path, encoder: Encoder, data: Path) -> None:
    """One reindex, to the point where the new snapshot is loaded."""
    with EmbeddingCache(data / "cache.sqlite") as cache:
        rebuild(videos, Embedder(encoder), snapshots=data / "snapshots", cache=cache, progress=Quiet())
    snapshot.load(data / "snapshots")


def measure_unchanged(videos: Path, info: EncoderInfo, folder: Path, num_entries: int, repeats: int) -> float:
    """Seconds of a second run over so many entries; the first one, not measured, is spared the encoder."""
    shutil.rmtree(videos)
    write_clips(videos, num_entries)
    data, encoder = folder / "unchanged", NoEncoder(info)
    run(videos, encoder, data)
    return median(timed(lambda: run(videos, encoder, data)).wall_s for _ in range(repeats))


def timed(work: Callable[[], object]) -> Spent:
    """What work takes."""
    began, cpu_began = time.perf_counter(), cpu_s()
    work()
    return Spent(time.perf_counter() - began, cpu_s() - cpu_began)


def cpu_s() -> float:
    """Processor time of this process and of those that it ended, seconds."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def report(
    turns: Sequence[Turn],
    num_windows: int,
    clips: int,
    entries: int,
    unchanged_s: float,
    encoder: Path,
    threads: int,
) -> str:
    """The tables as Markdown; every cell is a median over the turns."""
    num_cores = len(os.sched_getaffinity(0))
    reached = median(turn.allowed_s(num_cores) / turn.reindex.wall_s for turn in turns)
    of_slower = median(max(turn.decode.wall_s, turn.encode.wall_s) / turn.reindex.wall_s for turn in turns)
    more_work = median(turn.reindex.cpu_s / (turn.decode.cpu_s + turn.encode.cpu_s) for turn in turns)
    lines = [
        row("decoding and cutting alone", [turn.decode for turn in turns], clips),
        row("encoding alone, as filmed and mirrored", [turn.encode for turn in turns], clips),
        row("reindex from nothing", [turn.reindex for turn in turns], clips),
    ]
    return "\n".join(
        [
            "# Reindexing",
            "",
            f"`python -m app.bench reindex`. {cpu_name()}, load average {os.getloadavg()[0]:.1f},"
            f" encoder {encoder.name} on {threads or num_cores} threads.",
            "",
            f"{clips} clips of 2 s, 640 x 480 H.264, {num_windows} windows, each encoded twice;"
            f" medians of {len(turns)} turns.",
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


def row(name: str, spent: Sequence[Spent], num_clips: int) -> str:
    """One line of the table."""
    wall_s, cpu = median(each.wall_s for each in spent), median(each.cpu_s for each in spent)
    return f"| {name} | {wall_s:.2f} | {cpu:.2f} | {60 * num_clips / wall_s:.0f} |"


if __name__ == "__main__":
    commands()
