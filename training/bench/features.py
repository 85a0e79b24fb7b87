"""Speed of feature extraction beside that of the encoder alone: `python -m training.bench.features`.

The encoder alone encodes windows in memory, in batches of its best size. Features are made from files to files by one
process, which decodes in a thread, forms windows, encodes and writes. Both take turns, so that a slow minute of the
machine affects both.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from model.encoder import Frames
from model.machine import machine
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder
from model.video import open_frames
from model.windows import slide
from training.atomic import write_atomically
from training.commands import refusals
from training.data.listing.manifest import find_videos
from training.data.listing.sentences import Sentence
from training.features import BATCH, FeaturePlan, embed_sentence, open_sentence

GOAL = 0.85
BATCHES = (1, 8, BATCH)
"""Batch sizes to try for the encoder alone."""
DEMO = Path("app/demo/queries")


@dataclass(frozen=True)
class Layout:
    """How a data set stores frames: pictures of a size, one per frame."""

    name: str
    suffix: str
    width: int
    height: int


LAYOUTS = (Layout("as PHOENIX14T", ".png", 210, 260), Layout("as CSL-Daily", ".jpg", 512, 512))


@dataclass(frozen=True)
class Speed:
    """The speed with one kind of source."""

    source: str
    num_windows: int
    encoder_per_s: float
    """Windows per second, ready in memory."""
    features_per_s: float
    """Windows per second, from files to files."""
    cpu_share: float
    """Processor time of the encoder alone as a share of that of features: the share where all cores are busy."""

    @property
    def share(self) -> float:
        """Of the rate of the encoder alone."""
        return self.features_per_s / self.encoder_per_s


def measure(name: str, sentences: Sequence[Sentence], plan: FeaturePlan, repeats: int) -> Speed:
    """Both rates on some sentences.

    Raises:
        TrainingError, ModelError: see `embed_sentence`.
    """
    encoder = OnnxEncoder(plan.encoder, threads=plan.threads)
    windows = [np.stack(list(windows_of(sentence, encoder, plan.stride_frames))) for sentence in sentences]
    num_windows = sum(map(len, windows))
    with tempfile.TemporaryDirectory() as folder:
        tasks: list[Callable[[], object]] = [partial(encode_all, encoder, windows, size) for size in BATCHES]
        tasks.append(lambda: [embed_sentence(sentence, plan, Path(folder)) for sentence in sentences])
        *own, features = interleaved_times(tasks, repeats)
    best = min(own)
    return Speed(
        name, num_windows, num_windows / best.wall_s, num_windows / features.wall_s, best.cpu_s / features.cpu_s
    )


@dataclass(frozen=True, order=True)
class TaskTime:
    """Of a task, the median of its turns."""

    wall_s: float
    """By the clock."""
    cpu_s: float
    """Of the processor."""


def interleaved_times(tasks: Sequence[Callable[[], object]], repeats: int) -> list[TaskTime]:
    """The time of each task; all run once beforehand."""
    turns: list[list[TaskTime]] = [[] for _ in tasks]
    for number in range(repeats + 1):
        for task, times in zip(tasks, turns, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            task()
            if number:
                times.append(TaskTime(time.perf_counter() - wall, time.process_time() - cpu))
    return [TaskTime(median(one.wall_s for one in times), median(one.cpu_s for one in times)) for times in turns]


def windows_of(sentence: Sentence, encoder: OnnxEncoder, stride_frames: int) -> Iterator[Frames]:
    """The windows of a sentence, as in `embed_sentence`."""
    config = encoder.info.pictures
    with open_sentence(sentence.source, encoder.info.fps, config.image_size) as frames:
        for window in slide(frames, config.num_frames, stride_frames):
            yield window.frames


def encode_all(encoder: OnnxEncoder, windows: Sequence[Frames], size: int) -> None:
    """Encode windows in batches of a size, across sentences."""
    ready = np.concatenate(windows)
    for first in range(0, len(ready), size):
        encoder.encode(ready[first : first + size])


def write_pictures(videos: Sequence[Path], layout: Layout, out: Path) -> list[Sentence]:
    """Write the frames of some videos as a data set would store them."""
    sentences = []
    for video in videos:
        folder = out / video.stem
        folder.mkdir(parents=True)
        with open_frames(video, fps=25.0, size=layout.height) as frames:
            for number, frame in enumerate(frames):
                left = (frame.shape[1] - layout.width) // 2
                picture = Image.fromarray(frame[:, left : left + layout.width])
                picture.save(folder / f"images{number:04d}{layout.suffix}", quality=90)
        sentences.append(Sentence(video.stem, folder))
    return sentences


def run_bench(encoder: Path, videos: Sequence[Path], repeats: int) -> list[Speed]:
    """All kinds of sources: the videos, and their frames as pictures in the layouts of two data sets."""
    plan = FeaturePlan(encoder, OnnxEncoder(encoder, threads=1).info.stride_frames)
    speeds = [measure("videos", [Sentence(video.stem, video) for video in videos], plan, repeats)]
    with tempfile.TemporaryDirectory() as folder:
        for layout in LAYOUTS:
            sentences = write_pictures(videos, layout, Path(folder) / layout.suffix)
            name = f"{layout.suffix[1:]} pictures of {layout.width} x {layout.height}, {layout.name}"
            speeds.append(measure(name, sentences, plan, repeats))
    return speeds


def as_markdown(speeds: Sequence[Speed], encoder_id: str, command: str, began_on: str) -> str:
    """The table."""
    rows = [
        f"| {one.source} | {one.num_windows} | {one.encoder_per_s:.1f} | {one.features_per_s:.1f} | {one.share:.2f} |"
        f" {one.cpu_share:.2f} |"
        for one in speeds
    ]
    return "\n".join(
        [
            "# Features for translation: how fast",
            "",
            f"`{command}`: encoder {encoder_id}, one process with one thread for the encoder. {began_on} when it"
            f" began. The goal is a share of {GOAL}.",
            "",
            "| source | windows | the encoder's own rate, windows / s | features, windows / s | share | processor |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "The share is by the clock, where a second core is free for decoding. `processor` is the encoder's part of"
            " all processor time: the share that remains where every core has a process of its own.",
            "",
        ]
    )


def main(
    *,
    encoder: Annotated[Path, typer.Option(help="Encoder file.")] = DEFAULT_ENCODER,
    videos: Annotated[Path, typer.Option(help="Folder of videos.")] = DEMO,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each measurement.")] = 5,
    write: Annotated[Path | None, typer.Option(help="Write the table to this Markdown file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures instead of the table.")] = False,
) -> None:
    """Measure the speed of feature extraction, and print a table."""
    began_on = machine()
    with refusals():
        speeds = run_bench(encoder, find_videos(videos), repeats)
        encoder_id = OnnxEncoder(encoder, threads=1).info.encoder_id
    command = f"python -m training.bench.features --videos {videos} --repeats {repeats}"
    text = as_markdown(speeds, encoder_id, command, began_on)
    if write is not None:
        write_atomically(write, text)
    typer.echo(json.dumps([asdict(one) | {"share": one.share} for one in speeds]) if as_json else text)


if __name__ == "__main__":
    typer.run(main)
