"""Cost and accuracy of lookups, by the stride of windows, the motion gate and the kept mask units.

    python -m training.evaluate.cost --gallery DIR --queries DIR --encoder FILE

The clips of each folder whose glosses both have are looked up in the other, so that few clips make many queries.
Seconds are of one clip from its file to its vector, with nothing else on the cores: the median, and its ratio to the
serving settings, which are in the first row.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from index.metrics import RetrievalMetrics, retrieval_metrics
from model.clip_stream import STILL
from model.embed import ClipEmbedding, Embedder
from model.encoder import Encoder, EncoderInfo, Floats
from model.machine import machine
from model.runtime.devices import Device
from model.skeleton.encoders import open_file
from training.commands import refusals
from training.data.listing.manifest import ListedClip
from training.errors import EvaluationError
from training.evaluate.protocol import VectorRanker, evaluate, labelled_clips, unit_vector
from training.progress import ignore_progress

STRIDES = (1, 2, 4, 8)
KEPT = (0.75, 0.5)


@dataclass(frozen=True)
class CostSetting:
    """How much of a clip is encoded; None: as the encoder file says."""

    stride_frames: int | None = None
    still: float = STILL
    kept_share: float | None = None

    def embedder(self, encoder: Encoder) -> Embedder:
        """The embedder with this setting."""
        return Embedder(encoder, stride_frames=self.stride_frames, still=self.still, kept_share=self.kept_share)


@dataclass(frozen=True)
class LookupCost:
    """Cost and accuracy of a setting."""

    stride_frames: int
    still: float
    kept_share: float
    seconds: float
    """Median of all clips."""
    num_windows: float
    """That were encoded, median."""
    metrics: RetrievalMetrics
    """Of both folders in each other."""


def settings_to_measure(info: EncoderInfo) -> list[CostSetting]:
    """The settings to measure; a stride is at most the length of a window."""
    strides = [stride for stride in STRIDES if stride <= info.config.num_frames and stride != info.stride_frames]
    return [
        CostSetting(),
        *(CostSetting(stride_frames=stride) for stride in strides),
        CostSetting(still=0.0),
        *(CostSetting(kept_share=share) for share in KEPT),
        *(CostSetting(stride_frames=stride, kept_share=KEPT[-1]) for stride in strides[-1:]),
    ]


def measure(setting: CostSetting, encoder: Encoder, folders: tuple[list[ListedClip], list[ListedClip]]) -> LookupCost:
    """Embed every clip, and look up the clips of each folder in the other, indexed mirrored, too."""
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
        ranker = VectorRanker(to_vector, encoder.info.encoder_id, gallery, ignore_progress, mirrored=True)
        ranks += [result.rank for result in evaluate(ranker, gallery, queries, ignore_progress).results]
    windows = [int(each.encoded.sum()) for (_, mirrored), each in embedded.items() if not mirrored]
    return LookupCost(
        embedder.windowing.stride_frames,
        embedder.windowing.still,
        embedder.kept_share,
        statistics.median(seconds),
        statistics.median(windows),
        retrieval_metrics(ranks),
    )


def clips_of_shared_glosses(
    gallery: Sequence[ListedClip], queries: Sequence[ListedClip]
) -> tuple[list[ListedClip], list[ListedClip]]:
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


def as_markdown(costs: Sequence[LookupCost]) -> str:
    """The table in Markdown."""
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
    """Measure cost and accuracy of lookups by how much of a clip is encoded."""
    with refusals():
        folders = clips_of_shared_glosses(
            labelled_clips(gallery, None, stems=stems), labelled_clips(queries, None, stems=stems)
        )
        opened = open_file(encoder, Device())
        CostSetting().embedder(opened).embed(folders[0][0].video)  # the first one is slow
        costs, settings = [], settings_to_measure(opened.info)
        for number, setting in enumerate(settings):
            costs.append(measure(setting, opened, folders))
            typer.echo(f"{number + 1}/{len(settings)} {as_markdown(costs).splitlines()[-1]}", err=True)
    table = as_markdown(costs)
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
