"""From a fine-tuned checkpoint to a recogniser file, proven to compute the same."""

import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from model.errors import ExportError
from model.export import OPSET, PARITY_BATCHES, TOLERANCE, strip_traces_of_the_exporter
from training.finetune.network import Recogniser
from training.finetune.recogniser import OnnxRecogniser, RecogniserInfo
from training.finetune.state import Trained


class RecogniserGraph(nn.Module):
    """What the file computes: pixels in, the probability of every label out."""

    def __init__(self, network: Recogniser) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """[B, N, frames, rows, columns, 3] uint8 -> [B, C] float32."""
        probabilities: Tensor = self.network(clips).softmax(dim=1)
        return probabilities


def export(trained: Trained, out: Path) -> dict[str, float]:
    """Write a recogniser file, whole or not at all.

    Returns:
        The largest difference of a probability between torch and the file, by what was compared.

    Raises:
        ExportError: the file disagrees with the network; it is deleted.
    """
    view = trained.view
    info = RecogniserInfo(
        trained.labels,
        view.fps,
        view.size_px,
        view.num_windows,
        view.num_frames,
        trained.provenance,
        trained.licence,
    )
    proto = trace(trained)
    strip_traces_of_the_exporter(proto)
    helper.set_model_props(proto, info.to_metadata())
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part")
    os.close(handle)
    staged = Path(name)
    try:
        onnx.save_model(proto, staged)
        errors = compare(trained, OnnxRecogniser(staged))
        staged.chmod(0o644)
        staged.replace(out)
    finally:
        staged.unlink(missing_ok=True)
    return errors


def trace(trained: Trained) -> onnx.ModelProto:
    """The network as an ONNX graph with a dynamic number of clips."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's talk about its own internals
        program = torch.onnx.export(
            RecogniserGraph(trained.network).eval(),
            (torch.zeros(2, *_shape(trained), dtype=torch.uint8),),
            dynamo=True,
            verbose=False,
            input_names=["clips"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("B")},),
            opset_version=OPSET,
        )
    if program is None:
        raise ExportError("torch wrote no graph")
    return program.model_proto


@torch.no_grad()
def compare(trained: Trained, file: OnnxRecogniser) -> dict[str, float]:
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
    if bad := {kind: error for kind, error in errors.items() if not error <= TOLERANCE["fp32"]}:
        raise ExportError(f"the file differs from the network by {bad}; allowed is {TOLERANCE['fp32']}. It was deleted")
    return errors


def _shape(trained: Trained) -> tuple[int, ...]:
    view = trained.view
    return (view.num_windows, view.num_frames, view.size_px, view.size_px, 3)
