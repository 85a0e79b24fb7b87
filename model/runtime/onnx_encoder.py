"""The encoder file, run by ONNX Runtime."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort

from model.config import EncoderConfig
from model.encoder import EncoderInfo, Encoding, Floats, Frames, Ints
from model.errors import EncoderContractError, EncoderFileError
from model.motion import looked_at
from model.runtime import devices
from model.runtime.devices import Device
from model.runtime.io_binding import BoundSession
from model.runtime.metadata import read_metadata

DEFAULT_ENCODER = Path(__file__).parent.parent / "encoders" / "default.onnx"
"""The encoder that comes with the repository."""

HALF_SUFFIX = ".fp16.onnx"

BATCH_SIZES = (1,)
"""Windows per run on a processor: several runs side by side, a thread each, encode more than all threads in one run,
above all where other work keeps one of them waiting (docs/decisions/a-window-a-run.md)."""
GPU_BATCH_SIZES = (32, 16, 8, 4, 2, 1)
"""The same on a GPU, which few windows leave idle. A fixed set, so that memory is bounded and every shape can be
warmed."""
MIN_AT_ONCE = 8
"""Windows that are best given to a processor together, or twice as many as it has runs."""

OUTPUTS = ("embedding", "activity")


class OnnxEncoder:
    """An `Encoder` on ONNX Runtime. Safe to share between threads."""

    def __init__(
        self,
        path: Path,
        *,
        provider: str = "cpu",
        threads: int = 0,
        gpu_memory_bytes: int = 0,
        engines: Path | None = None,
    ) -> None:
        """Load and check an encoder file; where it runs is explained at `Device`.

        Args:
            path: the ONNX file.
            provider: `cpu`, `cuda` or `tensorrt`. What is asked for is obtained, or refused: never the CPU in silence.
            threads: cores that it takes; 0 takes all.
            gpu_memory_bytes: the most that is taken of the GPU's memory; 0 sets no limit.
            engines: the folder where TensorRT keeps what it builds.

        Raises:
            EncoderContractError: the file is not an encoder; which part differs.
            ProviderError: the device can't be had, and why.
            EncoderFileError: there is no such file, or it is no ONNX.
        """
        device = Device(provider, threads, gpu_memory_bytes, engines)
        self._set_up(load_file(path, device), device)

    @classmethod
    def of(cls, file: "LoadedFile", device: Device) -> Self:
        """The encoder of a file that is loaded already. Raises what loading it by its path raises."""
        encoder = cls.__new__(cls)
        encoder._set_up(file, device)
        return encoder

    def _set_up(self, file: "LoadedFile", device: Device) -> None:
        self._session = file.session
        info = file.info
        try:
            self._config = info.pictures
            check_contract(self._session, self._config)
        except EncoderContractError as error:
            raise EncoderContractError(f"{file.path}: {error}") from error
        self.device = device
        self._batch_sizes = GPU_BATCH_SIZES if device.is_gpu else BATCH_SIZES
        num_at_once = GPU_BATCH_SIZES[0] if device.is_gpu else max(MIN_AT_ONCE, 2 * device.num_runs)
        self.info: EncoderInfo = replace(info, num_at_once=num_at_once)
        self._runs = ThreadPoolExecutor(device.num_runs, "encoder") if device.num_runs > 1 else None
        self._prunes = "visible" in input_shapes(self._session)
        self._bound = BoundSession(self._session, info.config.dim, "cuda") if device.is_gpu else None

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """Encode windows, see `Encoder`.

        Raises:
            ValueError: windows or mask units of another shape than the encoder takes.
        """
        self._check_request(windows, visible)

        def run(rows: slice) -> tuple[Floats, Floats]:
            return self._run(windows[rows], None if visible is None else visible[rows])

        side_by_side = map if self._runs is None else self._runs.map
        parts = list(side_by_side(run, self._batches(len(windows))))
        return Encoding(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))

    def _batches(self, num_windows: int) -> Iterator[slice]:
        """The rows of every run, the largest batches first."""
        start = 0
        while start < num_windows:
            size = next(size for size in self._batch_sizes if size <= num_windows - start)
            yield slice(start, start + size)
            start += size

    def warm(self) -> None:
        """Run every batch size once, as it will be run, so that the first query does not pay for memory and kernels."""
        windows = np.zeros((self.info.num_at_once, *self._config.window_size, 3), np.uint8)
        visible = looked_at(windows, self._config, self.info.kept_share)
        # The ends first: TensorRT builds an engine for the sizes from the smallest to the largest that it has seen.
        for size in (len(windows), *reversed(self._batch_sizes)):
            self.encode(windows[:size], None if visible is None else visible[:size])

    def _run(self, windows: Frames, visible: Ints | None) -> tuple[Floats, Floats]:
        """One run of the session."""
        inputs: dict[str, Any] = {"windows": windows} | ({} if visible is None else {"visible": visible})
        if self._bound is not None:
            return self._bound.run(inputs)
        embedding, activity = self._session.run(list(OUTPUTS), inputs)
        return embedding, activity

    def _check_request(self, windows: Frames, visible: Ints | None) -> None:
        wanted = (*self._config.window_size, 3)
        if windows.ndim != 5 or windows.shape[1:] != wanted or windows.dtype != np.uint8 or not len(windows):
            raise ValueError(
                f"windows are {windows.dtype} {list(windows.shape)}; this encoder takes uint8 [N >= 1, *{wanted}]"
            )
        if visible is None:
            return
        if not self._prunes:
            raise ValueError("this encoder file has no input 'visible'; export it again to encode only some mask units")
        num_units = self._config.num_units
        if visible.ndim != 2 or len(visible) != len(windows) or not 1 <= visible.shape[1] <= num_units:
            raise ValueError(
                f"visible is {list(visible.shape)} for {len(windows)} windows; allowed is [N, 1..{num_units}]"
            )
        if visible.min() < 0 or visible.max() >= num_units:
            raise ValueError(f"mask units run from {visible.min()} to {visible.max()}; there are 0 to {num_units - 1}")


@dataclass(frozen=True)
class LoadedFile:
    """An encoder file, and what it says about itself."""

    path: Path
    session: ort.InferenceSession
    info: EncoderInfo


def load_file(path: Path, device: Device) -> LoadedFile:
    """Load an encoder file, of pictures or of skeletons.

    Raises:
        EncoderContractError: it does not say what encoder it is.
        ProviderError: the device can't be had, and why.
        EncoderFileError: there is no such file, or it is no ONNX.
    """
    if not path.is_file():
        raise EncoderFileError(f"there is no encoder file at {path}; `python -m model export` writes one")
    content = path.read_bytes()
    session = open_session(content, path, device, num_runs=device.num_runs)
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        return LoadedFile(path, session, read_metadata(metadata, hashlib.sha256(content).hexdigest()[:12]))
    except EncoderContractError as error:
        raise EncoderContractError(f"{path}: {error}") from error


def half_precision_beside(path: Path) -> Path:
    """The float16 file `NAME.fp16.onnx` beside `NAME.onnx`, where there is one; else the file itself.

    A GPU encodes several times faster with it; a processor gains nothing.
    """
    half = path.with_name(path.stem + HALF_SUFFIX)
    return half if half.is_file() else path


def open_session(content: bytes, path: Path, device: Device, *, num_runs: int = 1) -> ort.InferenceSession:
    """An ONNX Runtime session on exactly the device asked for, whose cores so many runs side by side share.

    Raises:
        ProviderError: the device can't be had, and why.
        EncoderFileError: the file can't be loaded.
    """
    devices.require_device(device)
    options = ort.SessionOptions()
    # Left to itself, ONNX Runtime pins its threads to cores, which halves its speed beside other work.
    options.intra_op_num_threads = device.num_cores // num_runs
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        # Its fallback would go on with the processor, now or in the middle of the work.
        wanted = devices.session_providers(device, half=path.name.endswith(HALF_SUFFIX))
        session = ort.InferenceSession(content, options, providers=wanted, enable_fallback=0)
    except Exception as error:  # onnxruntime raises a class of its own for each kind, without a public base
        if device.is_gpu and devices.broken_library(device):
            raise devices.device_error(device, "nothing") from error
        raise EncoderFileError(f"{path} can't be loaded by ONNX Runtime: {error}") from error
    obtained = session.get_providers()[0]
    if obtained != devices.PROVIDERS[device.provider][0]:
        raise devices.device_error(device, obtained)
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
        if not tensor_matches(values.get(name), kind, shape)
    ]
    problems += [f"unknown input {name}" for name in inputs if name not in ("windows", "visible")]
    if problems:
        raise EncoderContractError(f"not an encoder of this contract: {'; '.join(problems)}")


def tensor_matches(seen: tuple[str, list[int | str]] | None, kind: str, shape: list[int | None]) -> bool:
    """Whether a tensor has this type and these sizes; None stands for a dynamic size."""
    if seen is None or seen[0] != kind or len(seen[1]) != len(shape):
        return False
    return all(
        isinstance(have, str) if want is None else have == want for have, want in zip(seen[1], shape, strict=True)
    )
