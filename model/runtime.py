"""The encoder file, run by ONNX Runtime."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from model.config import EncoderConfig
from model.encoder import EncoderInfo, Encoding, Frames, Ints
from model.errors import EncoderContractError, EncoderFileError, ProviderError
from model.metadata import read_metadata

DEFAULT_ENCODER = Path(__file__).parent / "encoders" / "default.onnx"
"""The encoder that comes with the repository."""

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

BATCH_SIZES = (8, 4, 2, 1)
"""Windows per run. A fixed set, so that memory is bounded and every shape can be warmed."""


class OnnxEncoder:
    """An `Encoder` on ONNX Runtime. Safe to share between threads."""

    def __init__(self, path: Path, *, provider: str = "cpu", threads: int = 0) -> None:
        """Load and check an encoder file.

        Args:
            path: the ONNX file.
            provider: `cpu` or `cuda`. What is asked for is obtained, or refused: never the CPU in silence.
            threads: of one run on the CPU; 0 takes all cores.

        Raises:
            EncoderContractError: the file is not an encoder; which part differs.
            ProviderError: the provider can't be had.
            EncoderFileError: there is no such file, or it is no ONNX.
        """
        if not path.is_file():
            raise EncoderFileError(f"there is no encoder file at {path}; `python -m model.export` writes one")
        content = path.read_bytes()
        self._session = open_session(content, path, provider, threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        try:
            self.info: EncoderInfo = read_metadata(metadata, hashlib.sha256(content).hexdigest()[:12])
            check_contract(self._session, self.info.config)
        except EncoderContractError as error:
            raise EncoderContractError(f"{path}: {error}") from error
        self._prunes = "visible" in input_shapes(self._session)

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """Encode windows, see `Encoder`.

        Raises:
            ValueError: windows or mask units of another shape than the encoder takes.
        """
        self._check_request(windows, visible)
        parts, start = [], 0
        while start < len(windows):
            size = next(size for size in BATCH_SIZES if size <= len(windows) - start)
            rows = slice(start, start + size)
            inputs: dict[str, Any] = {"windows": windows[rows]}
            if visible is not None:
                inputs["visible"] = visible[rows]
            parts.append(self._session.run(["embedding", "activity"], inputs))
            start += size
        return Encoding(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))

    def warm(self) -> None:
        """Run every batch size once, so that the first query does not pay for memory and kernels."""
        for size in BATCH_SIZES:
            self.encode(np.zeros((size, *self.info.config.window_size, 3), np.uint8))

    def _check_request(self, windows: Frames, visible: Ints | None) -> None:
        wanted = (*self.info.config.window_size, 3)
        if windows.ndim != 5 or windows.shape[1:] != wanted or windows.dtype != np.uint8 or not len(windows):
            raise ValueError(
                f"windows are {windows.dtype} {list(windows.shape)}; this encoder takes uint8 [N >= 1, *{wanted}]"
            )
        if visible is None:
            return
        if not self._prunes:
            raise ValueError("this encoder file has no input 'visible'; export it again to encode only some mask units")
        num_units = self.info.config.num_units
        if visible.ndim != 2 or len(visible) != len(windows) or not 1 <= visible.shape[1] <= num_units:
            raise ValueError(
                f"visible is {list(visible.shape)} for {len(windows)} windows; allowed is [N, 1..{num_units}]"
            )
        if visible.min() < 0 or visible.max() >= num_units:
            raise ValueError(f"mask units run from {visible.min()} to {visible.max()}; there are 0 to {num_units - 1}")


def open_session(content: bytes, path: Path, provider: str, threads: int) -> ort.InferenceSession:
    """An ONNX Runtime session on exactly the provider asked for."""
    if provider not in PROVIDERS:
        raise ProviderError(f"provider is {provider!r}; allowed are {', '.join(PROVIDERS)}")
    name = PROVIDERS[provider]
    if name not in ort.get_available_providers():
        raise ProviderError(
            f"{name} was asked for; this onnxruntime has {', '.join(ort.get_available_providers())}."
            " Install the gpu group (`uv sync --no-default-groups --group gpu`) or ask for cpu"
        )
    options = ort.SessionOptions()
    # Left to itself, ONNX Runtime pins its threads to cores, which halves its speed beside other work.
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(content, options, providers=[name])
    except Exception as error:  # onnxruntime raises a class of its own for each kind, without a public base
        raise EncoderFileError(f"{path} can't be loaded by ONNX Runtime: {error}") from error
    if session.get_providers()[0] != name:
        raise ProviderError(
            f"{name} was asked for and {session.get_providers()[0]} obtained: the driver or a CUDA library is missing"
            " or too old. Mend that, or ask for cpu"
        )
    return session


def input_shapes(session: ort.InferenceSession) -> dict[str, tuple[str, list[int | str]]]:
    """Type and shape of every input, the optional ones included."""
    inputs = (*session.get_inputs(), *session.get_overridable_initializers())
    return {value.name: (value.type, value.shape) for value in inputs}


def check_contract(session: ort.InferenceSession, config: EncoderConfig) -> None:
    """Compare inputs and outputs with what an encoder of this geometry has.

    Raises:
        EncoderContractError: names every part that differs.
    """
    inputs = input_shapes(session)
    outputs = {value.name: (value.type, value.shape) for value in session.get_outputs()}
    expected = [
        (inputs, "windows", "tensor(uint8)", [None, *config.window_size, 3]),
        (outputs, "embedding", "tensor(float)", [None, config.dim]),
        (outputs, "activity", "tensor(float)", [None, 2]),
    ]
    if "visible" in inputs:
        expected.append((inputs, "visible", "tensor(int64)", [None, None]))
    problems = [
        f"{name} is {seen[0]} {seen[1]}, expected {kind} {['any' if size is None else size for size in shape]}"
        if (seen := values.get(name))
        else f"{name} is missing"
        for values, name, kind, shape in expected
        if not matches(values.get(name), kind, shape)
    ]
    problems += [f"unknown input {name}" for name in inputs if name not in ("windows", "visible")]
    if problems:
        raise EncoderContractError(f"not an encoder of this contract: {'; '.join(problems)}")


def matches(seen: tuple[str, list[int | str]] | None, kind: str, shape: list[int | None]) -> bool:
    """Whether a tensor has this type and these sizes; None stands for a dynamic size."""
    if seen is None or seen[0] != kind or len(seen[1]) != len(shape):
        return False
    return all(
        isinstance(have, str) if want is None else have == want for have, want in zip(seen[1], shape, strict=True)
    )
