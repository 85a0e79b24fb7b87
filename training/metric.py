"""Embeddings made for comparing: centred, evened out, and lengthened along what tells poses apart.

    python -m training.metric CHECKPOINT OUT --data shards:DIR     then `python -m model.export OUT encoder.onnx`

Pretraining asks that pose can be read out of an embedding, not that the cosine of two embeddings says how alike their
poses are. There the direction that all windows have in common counts, and a few directions of large variance (where the
signer stands, which hand is up) drown the many small ones (what its fingers do). So with the mean m and the covariance
C of the embeddings z of many windows, each weighted by its hand activity as in pooling,

    z' = A (z - m),   A = (C + r I)^(-p/2),   r a share of the mean variance, p from 0 (centre only) to 1 (white)

Cosines of the best pose baseline (bones' directions and wrists, docs/training.md) compare better than those of z'. They
can be had in part: with B the linear map that reads the baseline's values off z - m best, the cosine of the two side by
side, [A (z - m), t B (z - m)], both of the same mean length, is that of

    z" = G^(1/2) (z - m),   G = A'A + t² B'B

which has as many numbers as z. Poses are those that pretraining learns from; glosses are never looked at.

Nothing is lost: the map can be undone. The new network is of the same form: the map goes into the projection, m into
the bias of the normalisation before it, and what reads embeddings (activity head, sign decoder) is turned back.

Source: whitening of descriptors for retrieval (Jegou and Chum, ECCV 2012); here learned from windows, applied before
pooling, and in part. The second part is ours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from model.checkpoint import load_strictly, load_tensors
from model.config import EncoderConfig
from model.skeleton.kinematics import LEFT_HAND, NUM_KEYPOINTS, RIGHT_HAND
from training.closeup.crops import FINGER_BONES
from training.closeup.learn import bone_directions
from training.commands import refusals
from training.data.augment import resize
from training.data.loading import load_batches
from training.data.samples import Batch, Source
from training.errors import ConfigError
from training.fit.files import write_whole
from training.pretrain.config import Data
from training.pretrain.network import PretrainNetwork, from_published
from training.pretrain.sources import open_sources
from training.pretrain.state import with_weights
from training.prior_table import ACTIVITY, NUM_FRAMES

BATCH = 16
RIDGE = 0.01
"""Of the map that reads poses, as a share of the mean variance of embeddings."""
WRISTS = 4.0
"""How much a metre of a wrist's place counts beside all bones of a hand, whose directions together have length 1."""
FLAT = (1.0, 1.0, 0.5)
"""Depth counts half, as in the baseline."""
HANDS = (("left_pose", LEFT_HAND.start), ("right_pose", RIGHT_HAND.start))
"""Each with its wrist."""


@dataclass(frozen=True)
class Metric:
    """Embeddings become `matrix @ (z - mean)`."""

    mean: Tensor
    """[D]."""
    matrix: Tensor
    """[D, D], invertible."""


@dataclass(frozen=True)
class Measured:
    """What an encoder makes of windows, and what is true of them."""

    features: Tensor
    """[N, D] embeddings."""
    weights: Tensor
    """[N] hand activity, as the encoder sees it."""
    poses: Tensor
    """[N, 2, 63] left and right hand: bones' directions and the wrist's place, zeros where it rests."""
    known: Tensor
    """[N, 2] whether that is known."""


def fit(measured: Measured, power: float, floor: float, toward_poses: float = 0.0) -> Metric:
    """Measure how embeddings lie.

    Args:
        measured: many windows.
        power: p, 0 to 1.
        floor: r as a share of the mean variance: directions with less hold noise, and are not blown up.
        toward_poses: t, 0 for embeddings that know nothing of poses.

    Raises:
        ConfigError: poses should count and no active hand of any window has a known one.
    """
    weights = measured.weights.double() / measured.weights.double().sum()
    features = measured.features.double()
    mean = weights @ features
    away = features - mean
    spread = away.T @ (weights[:, None] * away)
    variances, axes = torch.linalg.eigh(spread)
    stretch = (variances.clamp(min=0.0) + floor * variances.mean()) ** (-power / 2)
    gram = as_long(axes @ (stretch[:, None] ** 2 * axes.T), spread)
    if toward_poses:
        if not measured.poses[measured.known].any():
            raise ConfigError(
                f"no active hand of {len(features)} windows has a known pose; take other data, or toward_poses 0"
            )
        read = reading(away, measured)
        gram = gram + toward_poses**2 * as_long(read @ read.T, spread)
    lengths, axes = torch.linalg.eigh(as_long(gram, spread))
    return Metric(mean, axes @ (lengths.sqrt()[:, None] * axes.T))


def as_long(gram: Tensor, spread: Tensor) -> Tensor:
    """A metric under which embeddings are as long as before on average: heads that read them find their usual size."""
    return gram * (spread.trace() / (gram * spread).sum())


def reading(away: Tensor, measured: Measured) -> Tensor:
    """The map that reads poses off centred embeddings best: [D, 126], by ridge regression over what is known."""
    maps = []
    for hand in range(2):
        known = measured.known[:, hand]
        x, y = away[known], measured.poses[known, hand].double()
        square = x.T @ x
        ridge = RIDGE * square.trace() / len(square) * torch.eye(len(square), dtype=square.dtype)
        maps.append(torch.linalg.solve(square + ridge, x.T @ (y - y.mean(dim=0))))
    return torch.cat(maps, dim=1)


@torch.no_grad()
def measure(network: PretrainNetwork, source: Source, num_windows: int) -> Measured:
    """Embeddings of windows of a source as they are, with the poses that their priors tell of."""
    config = network.encoder.config
    batches = load_batches(source, BATCH, num_frames=config.num_frames)
    parts = []
    for _ in range(-(-num_windows // BATCH)):
        batch = next(batches)
        output = network.encoder(resize(batch.frames, config.image_size).movedim(-1, 1))
        weights = output.activity_logits.sigmoid().amax(dim=1)
        parts.append((output.features, weights, *poses(batch, (NUM_FRAMES - config.num_frames) // 2)))
    return Measured(*(torch.cat(part) for part in zip(*parts, strict=True)))


def poses(batch: Batch, frame: int) -> tuple[Tensor, Tensor]:
    """What the best pose baseline compares, at one frame of every window: `Measured.poses` and `Measured.known`."""
    flat = torch.tensor(FLAT)
    both = (batch.targets, batch.masks)
    body, body_known = (values["body_pose"][:, frame].reshape(-1, NUM_KEYPOINTS, 3) for values in both)
    found, known = [], []
    for hand, (name, wrist) in enumerate(HANDS):
        points, points_known = (values[name][:, frame].reshape(-1, 21, 3) for values in both)
        bones = bone_directions(points) * flat / math.sqrt(len(FINGER_BONES))
        values = torch.cat([bones.flatten(1), WRISTS * body[:, wrist] * flat], dim=1)
        active = batch.targets[ACTIVITY][:, hand] > 0
        seen = points_known.flatten(1).all(dim=1) & body_known[:, wrist].all(dim=1)
        found.append(values * active[:, None])
        known.append(torch.where(active, seen, batch.masks[ACTIVITY][:, hand]))
    return torch.stack(found, dim=1), torch.stack(known, dim=1)


def applied(state: Mapping[str, Tensor], metric: Metric) -> dict[str, Tensor]:
    """The weights of a network whose embeddings are as the metric wants them, and whose other outputs stay.

    Args:
        state: of a whole pretraining network, under the published names.
        metric: what embeddings become.
    """
    matrix, mean = metric.matrix.double(), metric.mean.double()
    back = torch.linalg.inv(matrix)
    changed = dict(state)

    def put(name: str, value: Tensor) -> None:
        changed[name] = value.to(state[name].dtype)

    projection = state["fc.1.weight"].double()  # [D, latent]: z = projection (scale * normed + bias)
    put("fc.1.weight", matrix @ projection)
    put("fc.0.bias", state["fc.0.bias"].double() - torch.linalg.pinv(projection) @ mean)
    for weight, bias in READERS:
        reading = state[weight].double().flatten(1)
        put(weight, (reading @ back).reshape(state[weight].shape))
        put(bias, state[bias].double() + reading @ mean)
    return changed


READERS = (
    ("active_head.0.weight", "active_head.0.bias"),
    ("cls_head.latent_proj.0.weight", "cls_head.latent_proj.0.bias"),
)
"""First layers of what reads embeddings."""


def read_network(content: Mapping[str, Any], path: Path) -> PretrainNetwork:
    """The whole network of a checkpoint of ours.

    Raises:
        ConfigError: the file has an encoder only.
    """
    state = content.get("model", {})
    if "encoder" not in content or not all(name in state for reader in READERS for name in reader):
        raise ConfigError(f"{path} is no checkpoint of a pretraining run; take its last.pt or best.pt")
    network = PretrainNetwork(EncoderConfig.from_json(content["encoder"]))
    load_strictly(network, from_published(state))
    return network.eval()


def main(
    checkpoint: Annotated[Path, typer.Argument(help="last.pt or best.pt of a pretraining run.")],
    out: Annotated[Path, typer.Argument(help="The checkpoint to write; it holds weights, no run to go on with.")],
    *,
    data: Annotated[list[str], typer.Option(help="Source of windows, KIND[:WHERE][@WEIGHT], as for pretraining.")],
    body: Annotated[Path | None, typer.Option(help="Standard body, where several sources need one.")] = None,
    windows: Annotated[int, typer.Option(min=100, help="How many to measure.")] = 6000,
    power: Annotated[float, typer.Option(min=0.0, max=1.0, help="0 centres only, 1 whitens.")] = 0.5,
    toward_poses: Annotated[float, typer.Option(min=0.0, help="How much what tells poses apart counts.")] = 1.0,
    floor: Annotated[float, typer.Option(min=1e-6, help="Least variance, as a share of the mean one.")] = 0.1,
) -> None:
    """Make a checkpoint's embeddings fit for comparing."""
    with refusals():
        content = load_tensors(checkpoint)
        network = read_network(content, checkpoint)
        source = open_sources(Data(sources=tuple(data), body=str(body or "")), seed=0)
        metric = fit(measure(network, source, windows), power, floor, toward_poses)
    how = f"embeddings centred and evened out over {windows} windows, power {power:g}, toward poses {toward_poses:g}"
    write_whole(with_weights(content, applied(content["model"], metric), how), out)
    shares = torch.linalg.eigvalsh(metric.matrix)
    typer.echo(
        f"{out}: a mean of length {float(metric.mean.norm()):.2f} taken off,"
        f" directions stretched by {float(shares[0]):.2f} to {float(shares[-1]):.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
