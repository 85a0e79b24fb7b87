"""Runs of a session with inputs and outputs in buffers on the device (IO binding), one set for every shape."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.encoder import Floats


class DeviceArray(Protocol):
    """An array on the device: ONNX Runtime's OrtValue, which has no types."""

    def update_inplace(self, array: NDArray[Any], /) -> None:
        """Copy an array of the same shape and type into it."""
        ...

    def numpy(self) -> Floats:
        """A copy in the machine's memory."""
        ...


@dataclass(frozen=True)
class BoundBuffers:
    """Arrays on the device for one shape, and their binding."""

    inputs: Mapping[str, DeviceArray]
    outputs: tuple[DeviceArray, DeviceArray]
    """Embedding and activity."""
    binding: ort.IOBinding


class BoundSession:
    """A session with buffers of its own, so that no run allocates or moves more than it has to.

    The shapes are a fixed few. Safe to share between threads, which take turns: a GPU has one queue anyway.
    """

    def __init__(self, session: ort.InferenceSession, dim: int, device: str) -> None:
        """Bind nothing yet: buffers are made with the first run of a shape.

        Args:
            session: of an encoder file.
            dim: numbers per embedding.
            device: where the buffers lie, as ONNX Runtime calls it: `cuda`, or `cpu` to try this without a GPU.
        """
        self._session = session
        self._dim = dim
        self._device = device
        self._buffers: dict[tuple[tuple[str, tuple[int, ...]], ...], BoundBuffers] = {}
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        """Embedding [N, D] and activity [N, 2] for inputs by name, arrays of N rows each."""
        shape = tuple((name, value.shape) for name, value in inputs.items())
        with self._lock:
            if shape not in self._buffers:
                self._buffers[shape] = self._make(inputs)
            buffers = self._buffers[shape]
            for name, value in inputs.items():
                buffers.inputs[name].update_inplace(np.ascontiguousarray(value))
            self._session.run_with_iobinding(buffers.binding)
            embedding, activity = (output.numpy() for output in buffers.outputs)
        # On the processor these are the buffers themselves, which the next run overwrites.
        return (embedding, activity) if self._device != "cpu" else (embedding.copy(), activity.copy())

    def _make(self, inputs: Mapping[str, NDArray[Any]]) -> BoundBuffers:
        binding = self._session.io_binding()
        bound = {name: self._empty(value.shape, value.dtype.type) for name, value in inputs.items()}
        rows = len(next(iter(inputs.values())))
        outputs = (self._empty((rows, self._dim), np.float32), self._empty((rows, 2), np.float32))
        for name, value in bound.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in zip(("embedding", "activity"), outputs, strict=True):
            binding.bind_ortvalue_output(name, value)
        return BoundBuffers(bound, outputs, binding)

    def _empty(self, shape: tuple[int, ...], kind: type[np.generic]) -> DeviceArray:
        value: DeviceArray = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), kind, self._device, 0)
        return value
