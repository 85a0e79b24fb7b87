"""From a fine-tuned checkpoint to a recogniser file, with a parity check."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from model.network.onnx_files import (
    PARITY_BATCHES,
    TOLERANCE,
    require_parity,
    strip_exporter_metadata,
    trace_graph,
    written_in_one_step,
)
from training.finetune.network import Recogniser
from training.finetune.recogniser import OnnxRecogniser, RecogniserInfo
from training.finetune.state import TrainedRecogniser


class RecogniserGraph(nn.Module):
    """What the file computes: pixels in, the probability of every label out."""

    def __init__(self, network: Recogniser) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """[B, N, frames, rows, columns, 3] uint8 -> [B, C] float32."""
        probabilities: Tensor = self.network(clips).softmax(dim=1)
        return probabilities


def export(trained: TrainedRecogniser, out: Path) -> dict[str, float]:
    """Write a recogniser file in one step, once parity is checked.

    Returns:
        The largest difference of a probability between torch and the file, by what was compared.

    Raises:
        ExportError: the file disagrees with the network; it is deleted.
    """
    clip_format = trained.clip_format
    info = RecogniserInfo(
        trained.labels,
        clip_format.fps,
        clip_format.size_px,
        clip_format.num_windows,
        clip_format.num_frames,
        trained.provenance,
        trained.licence,
    )
    proto = trace(trained)
    strip_exporter_metadata(proto)
    helper.set_model_props(proto, info.to_metadata())
    with written_in_one_step(proto, out) as staged:
        return compare(trained, OnnxRecogniser(staged))


def trace(trained: TrainedRecogniser) -> onnx.ModelProto:
    """The network as an ONNX graph with a dynamic number of clips."""
    example = torch.zeros(2, *_shape(trained), dtype=torch.uint8)
    graph = RecogniserGraph(trained.network).eval()
    return trace_graph(graph, (example,), ["clips"], ["probabilities"], ({0: torch.export.Dim("B")},))


@torch.no_grad()
def compare(trained: TrainedRecogniser, file: OnnxRecogniser) -> dict[str, float]:
    """Largest difference of a probability on random pixels.

    Raises:
        ExportError: one of them is above the tolerance.
    """
    rng = np.random.default_rng(0)
    errors = {}
    for num in PARITY_BATCHES:
        clips = rng.integers(0, 256, (num, *_shape(trained)), dtype=np.uint8)
        ours = trained.network(torch.from_numpy(clips)).softmax(dim=1).numpy()
        errors[f"{num} random"] = float(np.abs(ours - file.probabilities(clips)).max())
    return require_parity(errors, TOLERANCE["fp32"])


def _shape(trained: TrainedRecogniser) -> tuple[int, ...]:
    clip_format = trained.clip_format
    return (clip_format.num_windows, clip_format.num_frames, clip_format.size_px, clip_format.size_px, 3)
