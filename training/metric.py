"""Embeddings made for comparing: centred and evened out, by what the encoder makes of unlabelled windows.

    python -m training.metric CHECKPOINT OUT --data shards:DIR     then `python -m model.export OUT encoder.onnx`

Pretraining asks that pose can be read out of an embedding, not that the cosine of two embeddings says how alike their
poses are. There the direction that all windows have in common counts, and a few directions of large variance (where the
signer stands, which hand is up) drown the many small ones (what its fingers do). So with the mean m and the covariance
C of the embeddings z of many windows, each weighted by its hand activity as in pooling,

    z' = A (z - m),   A = (C + r I)^(-p/2),   r a share of the mean variance, p from 0 (centre only) to 1 (white)

Nothing is lost and no label is used: A can be undone. The new network is of the same form: A goes into the projection,
m into the bias of the normalisation before it, and what reads embeddings (activity head, sign decoder) is turned back.

Source: whitening of descriptors for retrieval (Jegou and Chum, ECCV 2012); here learned from windows, applied before
pooling, and in part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from model.checkpoint import load_strictly, load_tensors
from model.config import EncoderConfig
from model.errors import ModelError
from training.data.augment import resize
from training.data.loading import load_batches
from training.data.samples import Source
from training.errors import ConfigError, TrainingError
from training.fit.files import write_whole
from training.pretrain.config import Data
from training.pretrain.network import PretrainNetwork, from_published
from training.pretrain.sources import open_sources

BATCH = 16


@dataclass(frozen=True)
class Metric:
    """Embeddings become `matrix @ (z - mean)`."""

    mean: Tensor
    """[D]."""
    matrix: Tensor
    """[D, D], invertible."""


def fit(features: Tensor, weights: Tensor, power: float, floor: float) -> Metric:
    """Measure how embeddings lie.

    Args:
        features: [N, D] embeddings of windows.
        weights: [N] hand activity.
        power: p, 0 to 1.
        floor: r as a share of the mean variance: directions with less hold noise, and are not blown up.
    """
    features, weights = features.double(), weights.double() / weights.double().sum()
    mean = weights @ features
    away = features - mean
    variances, axes = torch.linalg.eigh(away.T @ (weights[:, None] * away))
    stretch = (variances.clamp(min=0.0) + floor * variances.mean()) ** (-power / 2)
    # As long as before on average, so that losses and heads that read embeddings find them of their usual size.
    stretch *= (variances.mean() / (stretch**2 * variances).mean()).sqrt()
    return Metric(mean, axes @ (stretch[:, None] * axes.T))


@torch.no_grad()
def embeddings(network: PretrainNetwork, source: Source, num_windows: int) -> tuple[Tensor, Tensor]:
    """Embeddings and hand activity of windows of a source, as they are: [N, D] and [N]."""
    size_px = network.encoder.config.image_size
    batches = load_batches(source, BATCH, num_frames=network.encoder.config.num_frames)
    features, weights = [], []
    for _ in range(-(-num_windows // BATCH)):
        output = network.encoder(resize(next(batches).frames, size_px).movedim(-1, 1))
        features.append(output.features)
        weights.append(output.activity_logits.sigmoid().amax(dim=1))
    return torch.cat(features), torch.cat(weights)


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
    power: Annotated[float, typer.Option(min=0.0, max=1.0, help="0 centres only, 1 whitens.")] = 0.0,
    floor: Annotated[float, typer.Option(min=1e-6, help="Least variance, as a share of the mean one.")] = 0.1,
) -> None:
    """Make a checkpoint's embeddings fit for comparing."""
    try:
        content = load_tensors(checkpoint)
        network = read_network(content, checkpoint)
        source = open_sources(Data(sources=tuple(data), body=str(body or "")), seed=0)
        metric = fit(*embeddings(network, source, windows), power, floor)
    except (TrainingError, ModelError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    kept = ("encoder", "fps", "stride_frames", "kept_share", "licence", "trained", "step", "config")
    told = f"{content['provenance']}; embeddings centred and evened out over {windows} windows, power {power:g}"
    write_whole(
        {name: content[name] for name in kept if name in content}
        | {"model": applied(content["model"], metric), "provenance": told},
        out,
    )
    shares = torch.linalg.eigvalsh(metric.matrix)
    typer.echo(
        f"{out}: a mean of length {float(metric.mean.norm()):.2f} taken off,"
        f" directions stretched by {float(shares[0]):.2f} to {float(shares[-1]):.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
