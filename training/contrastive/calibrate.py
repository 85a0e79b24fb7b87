"""Calibration of activity: weights of windows that fall in rest and rise in the stroke.

    python -m training.contrastive.calibrate CHECKPOINT OUT CLIPS.csv
    python -m model export OUT encoder.onnx

Activity is trained on hands many of which are in transition, and far more are busy than at rest. Pooling needs rest and
stroke told apart. So the logit x becomes k x + b, by logistic regression of stroke (1) against rest (0) over real
clips, both weighted the same; rest and stroke are as `training.evaluate.activity` finds them from landmarks. Use clips
that were not trained on: of those an encoder is too sure (docs/decisions/activity-of-a-moment.md).

Only the last layer of the activity head changes. Source: Platt scaling with its softened targets (Platt 1999); here
with other classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from torch import Tensor

from model.embed import Embedder
from model.encoder import Floats
from model.network.checkpoint import load_tensors
from model.network.export import export_checkpoint
from model.runtime.onnx_encoder import OnnxEncoder
from training.commands import refusals
from training.data.listing.manifest import ListedClip, read_manifest
from training.errors import DataError
from training.evaluate.activity import ActivityCurve, activity_curve
from training.fit.files import save_checkpoint
from training.pretrain.state import with_weights

WEIGHT, BIAS = "active_head.2.weight", "active_head.2.bias"
MARGIN = 1e-5
"""Least distance of an activity from 0 and 1."""
ROUNDS = 50
MAX_CLIPS = 60
"""Most clips to calibrate on."""
UNCHANGED = "left as it is: it does not rise in the stroke; train for longer"


@dataclass(frozen=True)
class Scale:
    """Logits become `slope * logit + offset`."""

    slope: float
    offset: float


IDENTITY = Scale(1.0, 0.0)


def fit_scale(rest: Floats, stroke: Floats) -> Scale:
    """The scale that separates rest from stroke best, both weighted the same.

    Args:
        rest: [N] activities in (0, 1).
        stroke: [M] likewise.

    Raises:
        DataError: one of them is empty.
    """
    if not len(rest) or not len(stroke):
        raise DataError(
            f"{len(rest)} windows in rest and {len(stroke)} in the stroke; both are needed: take more clips"
        )
    design = np.stack([np.concatenate([logits(rest), logits(stroke)]), np.ones(len(rest) + len(stroke))], axis=1)
    # Not 0 and 1, as if there were one more window of each kind: the scale of separable windows stays finite.
    labels = np.repeat([1.0 / (len(rest) + 2.0), (len(stroke) + 1.0) / (len(stroke) + 2.0)], [len(rest), len(stroke)])
    weights = np.repeat([0.5 / len(rest), 0.5 / len(stroke)], [len(rest), len(stroke)])

    def loss(scale: np.ndarray) -> float:
        raised = design @ scale
        return float(weights @ (np.logaddexp(0.0, raised) - labels * raised))

    found = np.array([1.0, 0.0])
    for _ in range(ROUNDS):  # Newton's method; a step that goes too far is halved
        probability = 0.5 * (1.0 + np.tanh(0.5 * (design @ found)))
        curvature = design.T @ (design * (weights * probability * (1.0 - probability))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (weights * (probability - labels)))
        while loss(found - step) > loss(found) and np.abs(step).max() > 1e-9:
            step = 0.5 * step
        found = found - step
    return Scale(float(found[0]), float(found[1]))


def rising(scale: Scale) -> Scale:
    """The scale, or the identity where it would invert activity, which then has not been learned yet."""
    return scale if scale.slope > 0 else IDENTITY


def logits(activity: Floats) -> np.ndarray:
    """The inverse of the sigmoid."""
    kept = np.clip(activity.astype(np.float64), MARGIN, 1.0 - MARGIN)
    return np.log(kept / (1.0 - kept))


def applied(state: Mapping[str, Tensor], scale: Scale) -> dict[str, Tensor]:
    """The weights of a network with its activity scaled.

    Args:
        state: under the published names.
        scale: what logits become.
    """
    changed = dict(state)
    changed[WEIGHT] = scale.slope * state[WEIGHT]
    changed[BIAS] = scale.slope * state[BIAS] + scale.offset
    return changed


def curves(checkpoint: Path, clips: Sequence[ListedClip]) -> list[ActivityCurve]:
    """The weights of clips' windows as in serving, beside rest and stroke by the landmarks."""
    with TemporaryDirectory() as folder:
        export_checkpoint(checkpoint, Path(folder) / "encoder.onnx")
        embedder = Embedder(OnnxEncoder(Path(folder) / "encoder.onnx"))
        with typer.progressbar(clips, label="clips") as shown:
            return [activity_curve(clip, embedder) for clip in shown]


def calibrate(checkpoint: Path, out: Path, clips: Sequence[ListedClip], max_clips: int = MAX_CLIPS) -> str:
    """Write a checkpoint with its activity scaled on clips that are spread over a list; returns a line about it.

    Raises:
        DataError: no window of them is in rest, or none in the stroke.
        TrainingError, ModelError: the checkpoint or a clip can't be read.
    """
    rows = np.linspace(0, len(clips) - 1, min(max_clips, len(clips))).round().astype(int)
    content = load_tensors(checkpoint)
    found = curves(checkpoint, [clips[row] for row in rows])
    # The weight of a window that the motion gate leaves out is 0, and says nothing of the encoder.
    rest = np.concatenate([curve.weight[curve.rest & (curve.weight > 0)] for curve in found])
    stroke = np.concatenate([curve.weight[curve.stroke & (curve.weight > 0)] for curve in found])
    scale = rising(fit_scale(rest, stroke))
    how = f"activity scaled by {scale.slope:.2f}, moved by {scale.offset:.2f}"
    if scale == IDENTITY:
        how = f"activity {UNCHANGED}"
    save_checkpoint(with_weights(content, applied(content["model"], scale), how), out)
    return f"{out}: {len(rest)} windows in rest, {len(stroke)} in the stroke; {how}"


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Of a training run.")],
    out: Annotated[Path, typer.Argument(help="The checkpoint to write; it holds weights, no run to resume.")],
    clips: Annotated[Path, typer.Argument(help="List of clips, best not trained on, with landmarks, as for shards.")],
    *,
    count: Annotated[int, typer.Option(min=2, help="Most clips, spread over the list.")] = MAX_CLIPS,
) -> None:
    """Calibrate a checkpoint's activity."""
    with refusals():
        typer.echo(calibrate(checkpoint, out, read_manifest(clips), count))


if __name__ == "__main__":
    typer.run(main)
