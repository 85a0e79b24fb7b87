"""From a checkpoint to the encoder file that serves: `python -m model export CHECKPOINT OUT.onnx`.

The file takes pixels as they are (uint8) and does scaling, normalisation and layout inside, so that preprocessing can't
disagree with the weights. Its second input, `visible`, may be left out: then every mask unit is encoded.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
import typer
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from model.config import PRESETS, EncoderConfig
from model.encoder import Encoder, Frames, Ints
from model.errors import ExportError, ModelError
from model.network.checkpoint import Checkpoint, read_checkpoint, untrained
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
from model.network.pixels import normalise
from model.network.signrep import SignRep
from model.runtime.metadata import write_metadata
from model.runtime.onnx_encoder import OnnxEncoder
from model.video import open_frames
from model.windows import slide


@dataclass(frozen=True)
class ExportReport:
    """What was written and how far it is from the network."""

    path: Path
    encoder_id: str
    num_bytes: int
    precision: str
    max_relative_error: dict[str, float]
    """Per kind of window, the largest difference over embedding and activity."""


class EncoderGraph(nn.Module):
    """What the ONNX file computes: pixels and mask units in, embedding and activity out."""

    def __init__(self, network: SignRep, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, windows: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """[N, T, H, W, 3] uint8 and [N, K] int64 -> [N, D] and [N, 2] float32."""
        output = self.network(normalise(windows, self.dtype), visible)
        return output.features.float(), output.activity_logits.float().sigmoid()


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    *,
    precision: str = "fp32",
    provenance: str | None = None,
    licence: str | None = None,
    clips: Sequence[Path] = (),
) -> ExportReport:
    """Convert a checkpoint file, the published one or ours; see `export`."""
    read = read_checkpoint(checkpoint)
    read = replace(read, provenance=provenance or read.provenance, licence=licence or read.licence)
    return export(read, out, precision=precision, clips=clips)


def export(checkpoint: Checkpoint, out: Path, *, precision: str = "fp32", clips: Sequence[Path] = ()) -> ExportReport:
    """Write an encoder file and prove that it computes what the network computes.

    Args:
        checkpoint: the weights.
        out: where the file goes; replaced in one step once it is proven.
        precision: of the weights and the arithmetic inside, `fp32` or `fp16`; `fp16-stored` keeps weights in halves
            and computes in float32, for small files on CPUs.
        clips: videos whose windows are compared too, beside random ones.

    Raises:
        ExportError: the file disagrees with the network; it is deleted.
        CheckpointError: the weights do not fit.
    """
    if precision not in TOLERANCE:
        raise ExportError(f"precision is {precision!r}; allowed are {', '.join(TOLERANCE)}")
    network = checkpoint.network()
    proto = trace(network, precision)
    make_visible_optional(proto, checkpoint.config)
    strip_exporter_metadata(proto)
    if precision == "fp16-stored":
        store_halves(proto)
    helper.set_model_props(
        proto,
        write_metadata(
            checkpoint.config,
            fps=checkpoint.fps,
            stride_frames=checkpoint.stride_frames,
            provenance=checkpoint.provenance,
            licence=checkpoint.licence,
            trained=checkpoint.trained,
            precision=precision,
            kept_share=checkpoint.kept_share,
            num_parts=checkpoint.num_parts,
        ),
    )
    with written_in_one_step(proto, out) as staged:
        encoder = OnnxEncoder(staged)
        meant = checkpoint.network()
        if precision == "fp16-stored":
            halve(meant)
        errors = check_parity(meant, encoder, clips, TOLERANCE[precision])
    return ExportReport(out, encoder.info.encoder_id, out.stat().st_size, precision, errors)


def trace(network: SignRep, precision: str) -> onnx.ModelProto:
    """The network as an ONNX graph with dynamic N and K."""
    config = network.config
    graph = EncoderGraph(network, torch.float16 if precision == "fp16" else torch.float32).eval()
    num_visible = max(2, config.num_units // 2)
    example = (
        torch.zeros((2, *config.window_size, 3), dtype=torch.uint8),
        torch.arange(num_visible).expand(2, -1).contiguous(),
    )
    windows, units = torch.export.Dim("N"), torch.export.Dim("K", max=config.num_units)
    return trace_graph(
        graph, example, ["windows", "visible"], ["embedding", "activity"], ({0: windows}, {0: windows, 1: units})
    )


def make_visible_optional(proto: onnx.ModelProto, config: EncoderConfig) -> None:
    """Give `visible` a default: all units, one row for all windows. Changes the graph in place.

    ONNX lets an input have an initializer of the same name as its default. The default has one row, so the graph first
    repeats what it gets to the number of windows: [N, K] stays, [1, K] is spread.
    """
    graph = proto.graph
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == "visible":
                node.input[i] = "visible_rows"
    spread = [
        helper.make_node("Shape", ["windows"], ["num_windows"], start=0, end=1),
        helper.make_node("Concat", ["num_windows", "one"], ["rows"], axis=0),
        helper.make_node("Expand", ["visible", "rows"], ["visible_rows"]),
    ]
    for position, node in enumerate(spread):
        graph.node.insert(position, node)
    every_unit = np.arange(config.num_units, dtype=np.int64)[None]
    graph.initializer.append(numpy_helper.from_array(every_unit, "visible"))
    graph.initializer.append(numpy_helper.from_array(np.ones(1, np.int64), "one"))
    visible = next(value for value in graph.input if value.name == "visible")
    visible.CopyFrom(helper.make_tensor_value_info("visible", TensorProto.INT64, ["rows", "K"]))


def check_parity(network: SignRep, encoder: Encoder, clips: Sequence[Path], tolerance: float) -> dict[str, float]:
    """Largest relative difference between torch and the file, per kind of window.

    Torch computes in float64: where an encoder looks for hands in random pixels, float32 alone strays by nearly as much
    as is allowed, and in two ways that differ.

    Raises:
        ExportError: one of them is above the tolerance.
    """
    config, rng, network = network.config, np.random.default_rng(0), network.double()
    errors: dict[str, float] = {}
    for kind, windows in parity_windows(config, encoder.info.fps, clips, rng):
        half = np.stack([rng.permutation(config.num_units)[: config.num_units // 2] for _ in windows])
        for suffix, visible in (("", None), (", half of the mask units", half)):
            errors[kind + suffix] = max_difference(network, encoder, windows, visible)
    return require_parity(errors, tolerance)


def parity_windows(
    config: EncoderConfig, fps: float, clips: Sequence[Path], rng: np.random.Generator
) -> Iterator[tuple[str, Frames]]:
    """Windows to compare on, with their name: random pixels, and the beginning of every clip."""
    for num in PARITY_BATCHES:
        yield f"{num} random", rng.integers(0, 256, (num, *config.window_size, 3), dtype=np.uint8)
    for clip in clips:
        with open_frames(clip, fps=fps, size=config.image_size) as frames:
            windows = [window.frames for window in slide(frames, config.num_frames, 2)]
        for num in PARITY_BATCHES:
            yield f"{num} of {clip.name}", np.stack(windows[:num])


@torch.no_grad()
def max_difference(network: SignRep, encoder: Encoder, windows: Frames, visible: Ints | None) -> float:
    """Largest difference of embeddings, relative to the largest value, and of activities, which are shares of 1."""
    pixels = normalise(torch.from_numpy(windows)).double()
    output = network(pixels, None if visible is None else torch.from_numpy(visible))
    encoding = encoder.encode(windows, visible)
    features, activity = output.features.numpy(), output.activity_logits.sigmoid().numpy()
    away = np.abs(features - encoding.embedding).max() / np.abs(features).max()
    return max(float(away), float(np.abs(activity - encoding.activity).max()))


def read_source(source: str, seed: int) -> Checkpoint:
    """A checkpoint file, or random weights where the source is `untrained:PRESET`."""
    kind, _, preset = source.partition(":")
    if kind != "untrained":
        return read_checkpoint(Path(source))
    if preset not in PRESETS:
        raise ExportError(f"preset is {preset!r}; allowed are {', '.join(PRESETS)}")
    return untrained(PRESETS[preset](), preset, seed)


def main(
    source: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="The published checkpoint, one of ours, or untrained:PRESET.")
    ],
    out: Annotated[Path, typer.Argument(help="The encoder file to write.")],
    *,
    seed: Annotated[int, typer.Option(help="Of untrained weights.")] = 0,
    precision: Annotated[str, typer.Option(help="fp32; fp16 for GPUs; fp16-stored for small files.")] = "fp32",
    stride_frames: Annotated[
        int | None, typer.Option(min=1, help="Frames between windows, instead of the checkpoint's.")
    ] = None,
    kept_share: Annotated[
        float | None, typer.Option(help="Share of the mask units to look at, instead of the checkpoint's.")
    ] = None,
    num_parts: Annotated[
        int | None,
        typer.Option("--parts", min=1, max=64, help="Parts in time of a clip's vector, instead of the checkpoint's."),
    ] = None,
    clip: Annotated[list[Path] | None, typer.Option(help="A video to compare on, beside random pixels.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Convert a checkpoint to an encoder file; parity with the network is always checked."""
    try:
        checkpoint = read_source(source, seed)
        checkpoint = replace(
            checkpoint,
            stride_frames=stride_frames or checkpoint.stride_frames,
            kept_share=kept_share or checkpoint.kept_share,
            num_parts=num_parts or checkpoint.num_parts,
        )
        report = export(checkpoint, out, precision=precision, clips=clip or ())
    except ModelError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"path": str(report.path)}))
        return
    typer.echo(f"{report.path}: encoder {report.encoder_id}, {report.num_bytes / 1e6:.1f} MB, {report.precision}")
    for kind, largest in report.max_relative_error.items():
        typer.echo(f"  largest relative difference on {kind}: {largest:.1e}")
