"""Command: `python -m training.evaluate --gallery DIR --queries DIR [--encoder FILE | --baseline NAME]...`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from model.config import SkeletonConfig
from model.devices import Device
from model.encoder import Encoder
from model.skeleton.encoders import BoneEncoder, open_file
from training.batch import errors
from training.commands import refusals
from training.data.manifest import ListedClip
from training.errors import EvaluationError
from training.evaluate.baselines import FEATURES, PixelEncoder
from training.evaluate.metrics import RECALL_AT
from training.evaluate.protocol import (
    Evaluation,
    Ranker,
    SumRanker,
    Tell,
    VectorRanker,
    WarpRanker,
    evaluate,
    labelled_clips,
    landmark_vectors,
    skeleton_vectors,
    video_vectors,
)
from training.evaluate.untrained import UntrainedEncoder

POSE = "pose"
"""The encoder of skeletons that needs no training."""
BASELINES = (*FEATURES, "dtw", "pixels", "untrained")


def make_ranker(name: str, gallery: list[ListedClip], tell: Tell, *, mirrored: bool) -> Ranker:
    """The baseline of a name, with the gallery indexed.

    Raises:
        EvaluationError: no such baseline, or no clip of the gallery can be used.
    """
    if name in FEATURES:
        return VectorRanker(landmark_vectors(FEATURES[name]), name, gallery, tell, mirrored=mirrored)
    if name == "dtw":
        return WarpRanker(gallery, tell, mirrored=mirrored)
    if name == "pixels":
        return VectorRanker(video_vectors(PixelEncoder()), name, gallery, tell, mirrored=mirrored)
    if name == "untrained":
        return VectorRanker(video_vectors(UntrainedEncoder()), name, gallery, tell, mirrored=mirrored)
    raise EvaluationError(f"there is no baseline {name!r}; known are {', '.join(BASELINES)}")


def encoder_ranker(name: str, gallery: list[ListedClip], tell: Tell, *, mirrored: bool) -> Ranker:
    """An encoder's file, or `pose`, with the gallery indexed.

    Raises:
        ModelError: the encoder can't be used.
        EvaluationError: no clip of the gallery can be used.
    """
    encoder: Encoder = BoneEncoder() if name == POSE else open_file(Path(name), Device())
    sees_skeletons = isinstance(encoder.info.config, SkeletonConfig)
    to_vector = skeleton_vectors(encoder) if sees_skeletons else video_vectors(encoder)
    return VectorRanker(to_vector, encoder.info.encoder_id, gallery, tell, mirrored=mirrored)


def landmarks_of(folder: Path, poses: Path | None) -> Path | None:
    """Where the landmarks of a folder's videos lie below `poses`: under its name, with its parent's, or right there."""
    if poses is None:
        return None
    folder = folder.resolve()
    places = (poses / folder.name, poses / f"{folder.parent.name}_{folder.name}", poses)
    return next(place for place in places if place.is_dir() or place == poses)


def as_json(name: str, result: Evaluation) -> dict[str, object]:
    """An evaluation as JSON-ready data."""
    return {
        "name": name,
        "num_queries": len(result.outcomes),
        "num_signs": result.num_signs,
        "dcg": round(result.metrics.dcg, 2),
        "mrr": round(result.metrics.mrr, 2),
        "recall": {str(k): round(value, 2) for k, value in result.metrics.recall.items()},
        "failed": [{"name": f.name, "kind": f.kind, "reason": f.reason} for f in result.failed],
        "unknown": list(result.unknown),
        "ranks": {outcome.query.video_id: outcome.rank for outcome in result.outcomes},
    }


def in_words(name: str, result: Evaluation) -> str:
    """An evaluation as a line of figures, and what went wrong below."""
    metrics = result.metrics
    recall = ", ".join(f"Rec@{k} {metrics.recall[k]:.1f}" for k in RECALL_AT)
    lines = [
        f"{name}: {len(result.outcomes)} queries, {result.num_signs} signs: "
        f"DCG {metrics.dcg:.1f}, MRR {metrics.mrr:.1f}, {recall}"
    ]
    if result.failed:
        kinds = [one.kind for one in result.failed]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        lines.append(f"  {len(result.failed)} clips could not be used ({counts}); as queries they count as misses")
        lines += [f"    {one.name}: {one.reason}" for one in result.failed]
    if result.unknown:
        lines.append(
            f"  {len(result.unknown)} queries left out, the gallery has no such gloss: {', '.join(result.unknown)}"
        )
    return "\n".join(lines)


def main(
    *,
    gallery: Annotated[Path, typer.Option(help="Folder of videos named by their gloss.")],
    queries: Annotated[Path, typer.Option(help="Folder of videos to look up, named likewise.")],
    encoder: Annotated[
        list[str] | None,
        typer.Option(help=f"Encoder file, or {POSE!r}; those of skeletons need --poses. Several are added up."),
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(BASELINES)}. Several are added up.")
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(help="Folder with the landmarks of both, in folders named like them (or parent_name)."),
    ] = None,
    gallery_poses: Annotated[Path | None, typer.Option(help="Landmarks of the gallery, where they lie apart.")] = None,
    query_poses: Annotated[Path | None, typer.Option(help="Landmarks of the queries, where they lie apart.")] = None,
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
        typer.echo("error: give --encoder or --baseline; of several, the similarities are added up", err=True)
        raise typer.Exit(2)
    name = " + ".join(names)
    with refusals():
        known = labelled_clips(gallery, gallery_poses or landmarks_of(gallery, poses), stems=stems)
        asked = labelled_clips(queries, query_poses or landmarks_of(queries, poses), stems=stems)
        with Progress(console=errors) as bars:
            task = bars.add_task("gallery")

            def tell(phase: str, done: int, total: int) -> None:
                bars.update(task, description=phase, completed=done + 1, total=total)

            rankers = [encoder_ranker(one, known, tell, mirrored=mirrored) for one in encoder or []]
            rankers += [make_ranker(one, known, tell, mirrored=mirrored) for one in baseline or []]
            ranker = rankers[0] if len(rankers) == 1 else SumRanker(rankers)
            result = evaluate(ranker, known, asked, tell)
        if figure is not None:
            from training.evaluate.figures import draw_outcomes, telling

            draw_outcomes(telling(result.outcomes, 4)).save(figure)
    typer.echo(json.dumps(as_json(name, result)) if as_json_ else in_words(name, result))


if __name__ == "__main__":
    typer.run(main)
