"""What a look-up costs, and what it still finds: by the stride of windows, the motion gate and the kept mask units.

    python -m training.evaluate.cost --gallery DIR --queries DIR --encoder FILE

Both folders are looked up in each other, as far as they share glosses, so that few clips give as many answers as they
can. Seconds are of one clip from its file to its vector, alone on the machine's cores; the median, and as a ratio to
the settings that serve, which are in the first row.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from model.cut import STILL
from model.devices import Device
from model.embed import ClipEmbedding, Embedder
from model.encoder import Encoder, EncoderInfo, Floats
from model.machine import machine
from model.skeleton.encoders import open_file
from training.commands import refusals
from training.data.manifest import ListedClip
from training.errors import EvaluationError
from training.evaluate.metrics import Metrics, summarise
from training.evaluate.protocol import VectorRanker, evaluate, labelled_clips, unit_vector

STRIDES = (1, 2, 4, 8)
KEPT = (0.75, 0.5)


@dataclass(frozen=True)
class Setting:
    """How much of a clip is encoded; None takes what the encoder file says."""

    stride_frames: int | None = None
    still: float = STILL
    kept_share: float | None = None

    def embedder(self, encoder: Encoder) -> Embedder:
        """What embeds clips so."""
        return Embedder(encoder, stride_frames=self.stride_frames, still=self.still, kept_share=self.kept_share)


@dataclass(frozen=True)
class Cost:
    """What a setting costs and finds."""

    stride_frames: int
    still: float
    kept_share: float
    seconds: float
    """Median of all clips."""
    num_windows: float
    """That were encoded, median."""
    metrics: Metrics
    """Of both folders in each other."""


def settings(info: EncoderInfo) -> list[Setting]:
    """What is tried; windows may not be farther apart than they are long."""
    strides = [stride for stride in STRIDES if stride <= info.config.num_frames and stride != info.stride_frames]
    return [
        Setting(),
        *(Setting(stride_frames=stride) for stride in strides),
        Setting(still=0.0),
        *(Setting(kept_share=share) for share in KEPT),
        *(Setting(stride_frames=stride, kept_share=KEPT[-1]) for stride in strides[-1:]),
    ]


def measure(setting: Setting, encoder: Encoder, folders: tuple[list[ListedClip], list[ListedClip]]) -> Cost:
    """Embed every clip, and look each folder's up in the other, whose clips are indexed mirrored too."""
    embedder = setting.embedder(encoder)
    seconds: list[float] = []
    embedded: dict[tuple[str, bool], ClipEmbedding] = {}

    def to_vector(clip: ListedClip, mirrored: bool) -> Floats:
        if (clip.video_id, mirrored) not in embedded:
            start = time.perf_counter()
            embedded[clip.video_id, False] = embedder.embed(clip.video)
            seconds.append(time.perf_counter() - start)
            embedded[clip.video_id, True] = embedder.embed_both(clip.video)[1]
        return unit_vector(embedded[clip.video_id, mirrored].vector)

    ranks: list[int | None] = []
    for gallery, queries in (folders, folders[::-1]):
        ranker = VectorRanker(to_vector, encoder.info.encoder_id, gallery, lambda *_: None, mirrored=True)
        found = evaluate(ranker, gallery, queries, lambda *_: None)
        ranks += [outcome.rank for outcome in found.outcomes]
    windows = [int(each.encoded.sum()) for (_, mirrored), each in embedded.items() if not mirrored]
    return Cost(
        embedder.cutting.stride_frames,
        embedder.cutting.still,
        embedder.kept_share,
        statistics.median(seconds),
        statistics.median(windows),
        summarise(ranks),
    )


def shared(gallery: Sequence[ListedClip], queries: Sequence[ListedClip]) -> tuple[list[ListedClip], list[ListedClip]]:
    """The clips of glosses that both folders have.

    Raises:
        EvaluationError: there is none.
    """
    both = {clip.gloss for clip in gallery} & {clip.gloss for clip in queries}
    if not both:
        raise EvaluationError(
            "the two folders share no gloss; glosses are file names, or with --stems what precedes __"
        )
    kept = [[clip for clip in clips if clip.gloss in both] for clips in (gallery, queries)]
    return kept[0], kept[1]


def in_table(costs: Sequence[Cost]) -> str:
    """As Markdown."""
    lines = [
        "| stride, frames | motion gate | kept units | windows | seconds | of the first row | Rec@1 | Rec@10 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        gate = f"{cost.still:g}" if cost.still else "off"
        recall = " | ".join(f"{cost.metrics.recall[k]:.1f}" for k in (1, 10))
        lines.append(
            f"| {cost.stride_frames} | {gate} | {cost.kept_share:g} | {cost.num_windows:g} | {cost.seconds:.3f} |"
            f" {cost.seconds / costs[0].seconds:.2f} | {recall} |"
        )
    return "\n".join(lines)


def main(
    *,
    gallery: Annotated[Path, typer.Option(help="Folder of videos named by their gloss.")],
    queries: Annotated[Path, typer.Option(help="Another one.")],
    encoder: Annotated[Path, typer.Option(help="Encoder file.")],
    stems: Annotated[bool, typer.Option("--stems", help="A gloss ends before two underscores: gloss__id.mp4.")] = False,
    write: Annotated[Path | None, typer.Option(help="Write the table to this file as well.")] = None,
) -> None:
    """Say what look-ups cost and find, by how much of a clip is encoded."""
    with refusals():
        folders = shared(labelled_clips(gallery, None, stems=stems), labelled_clips(queries, None, stems=stems))
        opened = open_file(encoder, Device())
        Setting().embedder(opened).embed(folders[0][0].video)  # the first run is slow
        costs, asked = [], settings(opened.info)
        for number, setting in enumerate(asked):
            costs.append(measure(setting, opened, folders))
            typer.echo(f"{number + 1}/{len(asked)} {in_table(costs).splitlines()[-1]}", err=True)
    table = in_table(costs)
    typer.echo(table)
    if write is not None:
        num = sum(map(len, folders))
        about = (
            f"`python -m training.evaluate.cost`: encoder {opened.info.encoder_id}, {num} clips of {gallery.name} and"
            f" {queries.name} looked up in each other, {machine()}.\n"
        )
        write.write_text(f"# What a look-up costs, and what it finds\n\n{about}\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
