"""Activity that says what it means: weights that fall in rest and rise in the stroke.

    python -m training.calibrate CHECKPOINT OUT CLIPS.csv        then `python -m model.export OUT encoder.onnx`

Activity is learned from hands that are partly on their way, far more of them busy than at rest. What pooling needs to
know is what is rest and what is the stroke. So the logit x becomes k x + b, by logistic regression of stroke (1)
against rest (0) over real clips, both counting the same; rest and stroke are what `training.evaluate.activity` calls
so, by the landmarks. Take clips that were not learned from: of the others an encoder is surer than it will be
(docs/decisions/activity-of-a-moment.md).

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

from model.checkpoint import load_tensors
from model.embed import Embedder
from model.encoder import Floats
from model.export import export_checkpoint
from model.runtime import OnnxEncoder
from training.commands import refusals
from training.data.manifest import ListedClip, read_manifest
from training.errors import DataError
from training.evaluate.activity import Curve, follow
from training.fit.files import write_whole
from training.pretrain.state import with_weights

WEIGHT, BIAS = "active_head.2.weight", "active_head.2.bias"
SURE = 1e-5
"""Activities are kept so far from 0 and 1."""
ROUNDS = 50
AS_IT_IS = "left as it is: it does not rise in the stroke; learn for longer"


@dataclass(frozen=True)
class Scale:
    """Logits become `slope * logit + offset`."""

    slope: float
    offset: float


UNSCALED = Scale(1.0, 0.0)


def fit(rest: Floats, stroke: Floats) -> Scale:
    """The scale that tells rest from stroke best, both counting the same.

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
    # Not 0 and 1, as if there were one more window of each kind: what is told apart without a doubt stays finite.
    wanted = np.repeat([1.0 / (len(rest) + 2.0), (len(stroke) + 1.0) / (len(stroke) + 2.0)], [len(rest), len(stroke)])
    weights = np.repeat([0.5 / len(rest), 0.5 / len(stroke)], [len(rest), len(stroke)])

    def loss(scale: np.ndarray) -> float:
        raised = design @ scale
        return float(weights @ (np.logaddexp(0.0, raised) - wanted * raised))

    found = np.array([1.0, 0.0])
    for _ in range(ROUNDS):  # Newton's method; a step that goes too far is halved
        said = 0.5 * (1.0 + np.tanh(0.5 * (design @ found)))
        curvature = design.T @ (design * (weights * said * (1.0 - said))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (weights * (said - wanted)))
        while loss(found - step) > loss(found) and np.abs(step).max() > 1e-9:
            step = 0.5 * step
        found = found - step
    return Scale(float(found[0]), float(found[1]))


def rising(scale: Scale) -> Scale:
    """The scale, or none at all where it would turn activity round: then it has not been learned yet."""
    return scale if scale.slope > 0 else UNSCALED


def logits(activity: Floats) -> np.ndarray:
    """The inverse of the sigmoid."""
    kept = np.clip(activity.astype(np.float64), SURE, 1.0 - SURE)
    return np.log(kept / (1.0 - kept))


def applied(state: Mapping[str, Tensor], scale: Scale) -> dict[str, Tensor]:
    """The weights of a network whose activity is scaled, and which is otherwise the same.

    Args:
        state: under the published names.
        scale: what logits become.
    """
    changed = dict(state)
    changed[WEIGHT] = scale.slope * state[WEIGHT]
    changed[BIAS] = scale.slope * state[BIAS] + scale.offset
    return changed


def curves(checkpoint: Path, clips: Sequence[ListedClip]) -> list[Curve]:
    """The weights of clips' windows as they would be served, beside what the landmarks say."""
    with TemporaryDirectory() as folder:
        export_checkpoint(checkpoint, Path(folder) / "encoder.onnx")
        embedder = Embedder(OnnxEncoder(Path(folder) / "encoder.onnx"))
        with typer.progressbar(clips, label="clips") as shown:
            return [follow(clip, embedder) for clip in shown]


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Of a training run.")],
    out: Annotated[Path, typer.Argument(help="The checkpoint to write; it holds weights, no run to go on with.")],
    clips: Annotated[Path, typer.Argument(help="List of clips, best not learned from, with landmarks, as for shards.")],
    *,
    count: Annotated[int, typer.Option(min=2, help="Clips, spread over the list.")] = 60,
) -> None:
    """Scale a checkpoint's activity."""
    with refusals():
        listed = read_manifest(clips)
        rows = np.linspace(0, len(listed) - 1, min(count, len(listed))).round().astype(int)
        content = load_tensors(checkpoint)
        found = curves(checkpoint, [listed[row] for row in rows])
        # Where the motion gate spares a window its weight is 0, and says nothing of the encoder.
        rest = np.concatenate([curve.weight[curve.rest & (curve.weight > 0)] for curve in found])
        stroke = np.concatenate([curve.weight[curve.stroke & (curve.weight > 0)] for curve in found])
        scale = rising(fit(rest, stroke))
    how = f"activity scaled by {scale.slope:.2f}, moved by {scale.offset:.2f}"
    if scale == UNSCALED:
        how = f"activity {AS_IT_IS}"
    write_whole(with_weights(content, applied(content["model"], scale), how), out)
    typer.echo(f"{out}: {len(rest)} windows in rest, {len(stroke)} in the stroke; {how}", err=scale == UNSCALED)


if __name__ == "__main__":
    typer.run(main)
