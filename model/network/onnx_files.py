"""How a network becomes an ONNX file: traced, cleaned, compared with the network and put in place in one step."""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from model.errors import ExportError

OPSET = 20
"""The first with a Gelu of its own."""

TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "fp16-stored": 1e-4}
"""Largest difference allowed between torch and the file; an encoder of pixels is computed in float64."""

LARGE = 1024
"""Weights of more numbers than this are the ones that are stored in halves."""

PARITY_BATCHES = (1, 3)


def trace_graph(
    graph: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[dict[int, Any], ...],
) -> onnx.ModelProto:
    """What a module computes as an ONNX graph.

    Args:
        graph: in evaluation mode.
        example: what it is called with.
        inputs: names of its inputs in the file.
        outputs: names of its outputs.
        dynamic_shapes: per input, the dimensions of any size.

    Raises:
        ExportError: torch can't.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            verbose=False,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
        )
    if program is None:
        raise ExportError("torch wrote no graph")
    return program.model_proto


def strip_exporter_metadata(proto: onnx.ModelProto) -> None:
    """Remove what torch leaves in the graph: source paths of this machine, intermediate shapes. Changes it in place."""
    del proto.graph.value_info[:]
    del proto.graph.metadata_props[:]
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    proto.doc_string = ""


def store_halves(proto: onnx.ModelProto) -> None:
    """Keep large weights in float16, widened by the runtime when it loads the file. Changes the graph in place."""
    graph = proto.graph
    large = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT and _size(tensor) > LARGE]
    for number, tensor in enumerate(large):
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.half")
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        graph.node.insert(number, helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))


@torch.no_grad()
def halve(network: nn.Module) -> None:
    """Round large weights to float16, as a file has them that stores halves. Changes the network in place."""
    for weight in (*network.parameters(), *network.buffers()):
        if weight.is_floating_point() and weight.numel() > LARGE:
            weight.copy_(weight.half())


def _size(tensor: onnx.TensorProto) -> int:
    return int(np.prod(tensor.dims))


@contextmanager
def written_in_one_step(proto: onnx.ModelProto, out: Path) -> Iterator[Path]:
    """Write a file beside its place, to be checked there; it takes its place unless the check raises."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part")
    os.close(handle)
    staged = Path(name)
    try:
        onnx.save_model(proto, staged)
        yield staged
        staged.chmod(0o644)
        staged.replace(out)
    finally:
        staged.unlink(missing_ok=True)


def require_parity(errors: dict[str, float], tolerance: float) -> dict[str, float]:
    """The differences between a network and its file, by what was compared, if they are small.

    Raises:
        ExportError: one of them is above the tolerance, or not a number.
    """
    if bad := {kind: error for kind, error in errors.items() if not error <= tolerance}:
        raise ExportError(f"the file differs from the network by {bad}; allowed is {tolerance}. It was deleted")
    return errors
