"""Command: `python -m training.evaluate --gallery DIR --queries DIR [--encoder FILE | --baseline NAME]...`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from index.metrics import RECALL_AT
from model.config import SkeletonConfig
from model.encoder import Encoder
from model.runtime.devices import Device
from model.skeleton.encoders import BoneEncoder, open_file
from training.commands import refusals
from training.data.listing.manifest import ListedClip
from training.errors import EvaluationError
from training.evaluate.baselines import FEATURES, PixelEncoder
from training.evaluate.protocol import (
    Evaluation,
    Ranker,
    SumRanker,
    VectorRanker,
    WarpRanker,
    evaluate,
    labelled_clips,
    landmark_vectors,
    skeleton_vectors,
    video_vectors,
)
from training.evaluate.untrained import UntrainedEncoder
from training.progress import OnProgress, progress_bar

POSE = "pose"
"""Name of the training-free encoder of skeletons."""
BASELINES = (*FEATURES, "dtw", "pixels", "untrained")


def make_baseline_ranker(name: str, gallery: list[ListedClip], on_progress: OnProgress, *, mirrored: bool) -> Ranker:
    """A baseline by name, with the gallery indexed.

    Raises:
        EvaluationError: there is no such baseline, or no clip of the gallery can be used.
    """
    if name in FEATURES:
        return VectorRanker(landmark_vectors(FEATURES[name]), name, gallery, on_progress, mirrored=mirrored)
    if name == "dtw":
        return WarpRanker(gallery, on_progress, mirrored=mirrored)
    if name == "pixels":
        return VectorRanker(video_vectors(PixelEncoder()), name, gallery, on_progress, mirrored=mirrored)
    if name == "untrained":
        return VectorRanker(video_vectors(UntrainedEncoder()), name, gallery, on_progress, mirrored=mirrored)
    raise EvaluationError(f"there is no baseline {name!r}; known are {', '.join(BASELINES)}")


def make_encoder_ranker(name: str, gallery: list[ListedClip], on_progress: OnProgress, *, mirrored: bool) -> Ranker:
    """An encoder file, or `pose`, with the gallery indexed.

    Raises:
        ModelError: the encoder can't be used.
        EvaluationError: no clip of the gallery can be used.
    """
    encoder: Encoder = BoneEncoder() if name == POSE else open_file(Path(name), Device())
    of_skeletons = isinstance(encoder.info.config, SkeletonConfig)
    to_vector = skeleton_vectors(encoder) if of_skeletons else video_vectors(encoder)
    return VectorRanker(to_vector, encoder.info.encoder_id, gallery, on_progress, mirrored=mirrored)


def landmarks_of(folder: Path, poses: Path | None) -> Path | None:
    """The folder of the landmarks of a folder of videos: `poses`/NAME, `poses`/PARENT_NAME, or `poses` itself."""
    if poses is None:
        return None
    folder = folder.resolve()
    places = (poses / folder.name, poses / f"{folder.parent.name}_{folder.name}", poses)
    return next(place for place in places if place.is_dir() or place == poses)


def as_json(name: str, evaluation: Evaluation) -> dict[str, object]:
    """An evaluation as JSON-ready data."""
    return {
        "name": name,
        "num_queries": len(evaluation.results),
        "num_signs": evaluation.num_signs,
        "dcg": round(evaluation.metrics.dcg, 2),
        "mrr": round(evaluation.metrics.mrr, 2),
        "recall": {str(k): round(value, 2) for k, value in evaluation.metrics.recall.items()},
        "failed": [{"name": f.name, "kind": f.kind, "reason": f.reason} for f in evaluation.failed],
        "unknown": list(evaluation.unknown),
        "ranks": {result.query.video_id: result.rank for result in evaluation.results},
    }


def in_words(name: str, evaluation: Evaluation) -> str:
    """An evaluation as a line of figures, and failures below."""
    metrics = evaluation.metrics
    recall = ", ".join(f"Rec@{k} {metrics.recall[k]:.1f}" for k in RECALL_AT)
    lines = [
        f"{name}: {len(evaluation.results)} queries, {evaluation.num_signs} signs: "
        f"DCG {metrics.dcg:.1f}, MRR {metrics.mrr:.1f}, {recall}"
    ]
    if evaluation.failed:
        kinds = [one.kind for one in evaluation.failed]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        lines.append(f"  {len(evaluation.failed)} clips could not be used ({counts}); as queries they count as misses")
        lines += [f"    {one.name}: {one.reason}" for one in evaluation.failed]
    if evaluation.unknown:
        names = ", ".join(evaluation.unknown)
        lines.append(f"  {len(evaluation.unknown)} queries left out, the gallery has no such gloss: {names}")
    return "\n".join(lines)


def main(
    *,
    gallery: Annotated[Path, typer.Option(help="Folder of videos named by their gloss.")],
    queries: Annotated[Path, typer.Option(help="Folder of videos to look up, named likewise.")],
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Encoder file, or {POSE!r}; those of skeletons need --poses. Similarities of several are added."
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(BASELINES)}. Similarities of several are added.")
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(help="Folder with the landmarks of both, in folders named like them (or parent_name)."),
    ] = None,
    gallery_poses: Annotated[Path | None, typer.Option(help="Landmarks of the gallery, if in another folder.")] = None,
    query_poses: Annotated[Path | None, typer.Option(help="Landmarks of the queries, if in another folder.")] = None,
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="Index every video mirrored, too, as the service does.")
    ] = False,
    stems: Annotated[bool, typer.Option("--stems", help="A gloss ends before two underscores: gloss__id.mp4.")] = False,
    as_json_: Annotated[bool, typer.Option("--json", help="Figures and every rank as JSON.")] = False,
    figure: Annotated[Path | None, typer.Option(help="PNG: frames of some queries over their top 3.")] = None,
) -> None:
    """Look queries up in a gallery, by the protocol of the SignRep paper, and print the figures."""
    names = [*(encoder or []), *(baseline or [])]
    if not names:
        typer.echo("error: give --encoder or --baseline; of several, the similarities are added", err=True)
        raise typer.Exit(2)
    name = " + ".join(names)
    with refusals():
        gallery_clips = labelled_clips(gallery, gallery_poses or landmarks_of(gallery, poses), stems=stems)
        query_clips = labelled_clips(queries, query_poses or landmarks_of(queries, poses), stems=stems)
        with progress_bar() as on_progress:
            rankers = [make_encoder_ranker(one, gallery_clips, on_progress, mirrored=mirrored) for one in encoder or []]
            rankers += [
                make_baseline_ranker(one, gallery_clips, on_progress, mirrored=mirrored) for one in baseline or []
            ]
            ranker = rankers[0] if len(rankers) == 1 else SumRanker(rankers)
            evaluation = evaluate(ranker, gallery_clips, query_clips, on_progress)
        if figure is not None:
            from training.evaluate.figures import draw_results, spread_by_rank

            draw_results(spread_by_rank(evaluation.results, 4)).save(figure)
    typer.echo(json.dumps(as_json(name, evaluation)) if as_json_ else in_words(name, evaluation))


if __name__ == "__main__":
    typer.run(main)
