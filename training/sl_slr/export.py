"""From a run to the file that serves: `python -m training.sl_slr.export CHECKPOINT OUT.onnx`.

The file takes keypoints as `model.skeleton.landmarks.observe` gives them, hands bridged over gaps up to half a second:

    keypoints  float32 [N, T, 61, 3]  metres, x to the signer's left, y up, z to the camera; from anywhere
    known      bool    [N, T, 61]     confidence of at least 0.5, or bridged; `keypoints` are ignored elsewhere
    embedding  float32 [N, D]         not normalised
    activity   float32 [N, 2]         logits of the left and the right hand

Bringing bodies to one size and place happens inside. The metadata, one JSON object under `signdex` as in every
encoder file, says `kind: skeleton`, the geometry, frames per second, stride, provenance and licence; `encoder_id` is
the hash of the file, as for every encoder.
"""

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import torch
import typer
from onnx import helper
from torch import Tensor, nn

from model.encoder import Flags, Floats
from model.errors import ExportError
from model.network.onnx_files import (
    PARITY_BATCHES,
    TOLERANCE,
    halve,
    require_parity,
    store_halves,
    strip_exporter_metadata,
    trace_graph,
    written_in_one_step,
)
from model.runtime.metadata import CONTRACT, KEY
from model.skeleton.kinematics import NUM_KEYPOINTS
from training.commands import refusals
from training.errors import ConfigError
from training.sl_slr.encode import encoder_rows
from training.sl_slr.network import SkeletonEncoder
from training.sl_slr.sequences import Sequence61, landmark_files, read_sequence
from training.sl_slr.state import TrainedSkeletonEncoder, read_trained

KIND = "skeleton"
FORM = "metres"
PRECISIONS = ("fp32", "fp16-stored")


@dataclass(frozen=True)
class ExportReport:
    """The written file and its difference from the network."""

    path: Path
    encoder_id: str
    num_bytes: int
    max_relative_error: dict[str, float]
    """By kind of sequence, the largest difference over embedding and activity."""


class EncoderGraph(nn.Module):
    """The computation of the ONNX file."""

    def __init__(self, network: SkeletonEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, keypoints: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """[N, T, 61, 3] and [N, T, 61] -> [N, D] and [N, 2]."""
        encoded = self.network(keypoints, known)
        return encoded.embedding, encoded.activity_logits


def export(
    trained: TrainedSkeletonEncoder, out: Path, *, precision: str = "fp16-stored", clips: Sequence[Sequence61] = ()
) -> ExportReport:
    """Write an encoder file after checking that it computes what the network computes.

    Args:
        trained: the network; it was trained on windows.
        out: the file; replaced in one step once parity is checked.
        precision: `fp32`, or `fp16-stored` for weights in halves and arithmetic in float32.
        clips: whose windows are compared, beside random ones.

    Raises:
        ExportError: the file disagrees with the network; it is deleted.
        ConfigError: the network was trained on whole clips, but a service takes windows.
    """
    if precision not in PRECISIONS:
        raise ExportError(f"precision is {precision!r}; allowed are {', '.join(PRECISIONS)}")
    if trained.config.data.cut != "window":
        raise ConfigError(
            f"the run was trained with data.cut={trained.config.data.cut}; a service takes windows: train with"
            " data.cut=window (the preset serving does)"
        )
    network = trained.network.encoder
    proto = trace(network)
    if precision == "fp16-stored":
        store_halves(proto)
    helper.set_model_props(proto, {KEY: json.dumps(metadata(trained, precision))})
    with written_in_one_step(proto, out) as staged:
        expected = replace(trained, network=copy.deepcopy(trained.network))
        if precision == "fp16-stored":
            halve(expected.network)
        errors = compare(expected, staged, clips, TOLERANCE[precision])
    content = out.read_bytes()
    return ExportReport(out, hashlib.sha256(content).hexdigest()[:12], len(content), errors)


def with_kept_share(trained: TrainedSkeletonEncoder, kept_share: float) -> TrainedSkeletonEncoder:
    """The same network with another share of the kept values in its embedding.

    Raises:
        ConfigError: it keeps none, or the share is none.
    """
    config = trained.config.network
    if not config.kept:
        raise ConfigError(
            "the run has no kept values beside the learned part (network.kept=0), so there is no share to set"
        )
    trained.network.encoder.config = changed = replace(config, kept_share=kept_share)
    note = f"{trained.provenance}; share of the kept values {kept_share} instead of {config.kept_share}"
    return replace(trained, config=replace(trained.config, network=changed), provenance=note)


def metadata(trained: TrainedSkeletonEncoder, precision: str) -> dict[str, Any]:
    """The metadata of the file."""
    data, encoder = trained.config.data, trained.network.encoder
    return {
        "contract": CONTRACT,
        "kind": KIND,
        "config": {"num_frames": data.num_frames, "dim": encoder.dim, "form": FORM},
        "fps": data.fps,
        "stride_frames": data.stride_frames,
        "provenance": trained.provenance,
        "licence": trained.licence,
        "trained": True,
        "precision": precision,
        "kept_share": 1.0,
    }


def trace(network: SkeletonEncoder) -> onnx.ModelProto:
    """The network as an ONNX graph, N dynamic."""
    keypoints = torch.zeros((2, network.num_frames, NUM_KEYPOINTS, 3))
    known = torch.ones(keypoints.shape[:3], dtype=torch.bool)
    count = torch.export.Dim("N")
    proto = trace_graph(
        EncoderGraph(network).eval(),
        (keypoints, known),
        ["keypoints", "known"],
        ["embedding", "activity"],
        ({0: count}, {0: count}),
    )
    strip_exporter_metadata(proto)
    return proto


def compare(
    trained: TrainedSkeletonEncoder, path: Path, clips: Sequence[Sequence61], tolerance: float
) -> dict[str, float]:
    """Largest relative difference between torch and the file, per kind of sequence.

    Raises:
        ExportError: one of them is above the tolerance.
    """
    session = open_file(path)
    network, rng = trained.network.encoder, np.random.default_rng(0)
    shape = (network.num_frames, NUM_KEYPOINTS)
    inputs = {f"{num} random": (_random(rng, num, shape), rng.random((num, *shape)) < 0.9) for num in PARITY_BATCHES}
    for clip in clips:
        rows = encoder_rows(clip, trained.config.data)
        inputs[clip.name] = (clip.keypoints[rows], clip.known[rows])
    errors = {name: difference(network, session, *arrays) for name, arrays in inputs.items()}
    return require_parity(errors, tolerance)


def _random(rng: np.random.Generator, num: int, shape: tuple[int, int]) -> Floats:
    return rng.normal(0.0, 0.3, (num, *shape, 3)).astype(np.float32)


@torch.no_grad()
def difference(
    network: SkeletonEncoder, session: onnxruntime.InferenceSession, keypoints: Floats, known: Flags
) -> float:
    """Largest absolute difference over embedding and activity, relative to the largest value of each."""
    encoded = network(torch.from_numpy(keypoints), torch.from_numpy(known))
    found = session.run(["embedding", "activity"], {"keypoints": keypoints, "known": known})
    ours = (encoded.embedding.numpy(), encoded.activity_logits.numpy())
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(ours, found, strict=True))


def open_file(path: Path) -> onnxruntime.InferenceSession:
    """The file on the processor, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def main(
    source: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="last.pt of a run of training.sl_slr.")],
    out: Annotated[Path, typer.Argument(help="The encoder file to write.")],
    *,
    precision: Annotated[str, typer.Option(help="fp32, or fp16-stored for a file of half the size.")] = "fp16-stored",
    kept_share: Annotated[
        float | None, typer.Option(help="Share of the kept values in the embedding, instead of the run's.")
    ] = None,
    poses: Annotated[
        Path | None, typer.Option(help="Folder of landmarks to compare on, beside random keypoints.")
    ] = None,
) -> None:
    """Convert a run to an encoder file; parity with the network is always checked."""
    with refusals():
        files = landmark_files(poses)[:3] if poses is not None else []
        clips = [read_sequence(file, "") for file in files]
        trained = read_trained(source)
        trained = trained if kept_share is None else with_kept_share(trained, kept_share)
        report = export(trained, out, precision=precision, clips=clips)
    typer.echo(f"{report.path}: encoder {report.encoder_id}, {report.num_bytes / 1e6:.2f} MB, {precision}")
    for kind, largest in report.max_relative_error.items():
        typer.echo(f"  largest relative difference on {kind}: {largest:.1e}")


if __name__ == "__main__":
    typer.run(main)
