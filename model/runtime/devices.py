"""Where an encoder runs: ONNX Runtime's providers and their options, and the reason when a GPU can't be had.

ONNX Runtime goes on with the processor when something on the way to the GPU is missing. So that way is walked here
first, wheel, driver, libraries, and the first step that fails is named.
"""

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime as ort

from model.errors import ProviderError

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}
"""What ONNX Runtime is asked for, in order, by the name of the setting."""

LIBRARIES = {
    "CUDAExecutionProvider": "libonnxruntime_providers_cuda.so",
    "TensorrtExecutionProvider": "libonnxruntime_providers_tensorrt.so",
}
MAX_RUNS = 8
"""Cores beyond that share a run: clips don't have so many windows that each could have one to itself."""
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
GPU_GROUP = "`uv sync --no-default-groups --group gpu`, or the gpu image"
OR_CPU = "or set SIGNDEX_PROVIDER=cpu"


@dataclass(frozen=True)
class Device:
    """Where an encoder is to run, and with what."""

    provider: str = "cpu"
    """`cpu`, `cuda` or `tensorrt`."""
    threads: int = 0
    """Cores that the encoder takes; 0 takes all."""
    memory_bytes: int = 0
    """The most that ONNX Runtime takes of the GPU's memory for its arena; 0 sets no limit."""
    engines: Path | None = None
    """Where TensorRT keeps the engines that it builds, which takes minutes; None builds them at every start."""

    @property
    def is_gpu(self) -> bool:
        """Whether it is one."""
        return self.provider != "cpu"

    @property
    def num_cores(self) -> int:
        """Cores that the encoder takes."""
        return self.threads or len(os.sched_getaffinity(0))

    @property
    def num_runs(self) -> int:
        """How many windows are encoded side by side, each by a run of its own."""
        return 1 if self.is_gpu else min(self.num_cores, MAX_RUNS)


@dataclass(frozen=True)
class OnnxRuntimeBuild:
    """The ONNX Runtime that is installed, as it was built."""

    version: str
    providers: tuple[str, ...]
    """What it was built with."""
    cuda: str
    """Version of CUDA that it was built for, as `13.0`; empty where it was built without."""
    distributions: tuple[str, ...]
    """Packages that brought it: two of them overwrite each other's files."""


@dataclass(frozen=True)
class GpuInfo:
    """A GPU as the driver describes it."""

    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class NvidiaDriver:
    """NVIDIA's driver."""

    version: str
    cuda: str
    """The newest version of CUDA that it supports, as `13.0`."""
    gpus: tuple[GpuInfo, ...]


def installed_build() -> OnnxRuntimeBuild:
    """The ONNX Runtime of this environment."""
    installed = [name for name in DISTRIBUTIONS if any(metadata.distributions(name=name))]
    return OnnxRuntimeBuild(
        version=ort.__version__,
        providers=tuple(ort.get_available_providers()),
        cuda=str(getattr(ort, "cuda_version", "") or ""),
        distributions=tuple(installed),
    )


def nvidia_driver() -> NvidiaDriver:
    """NVIDIA's driver and its GPUs, as they are now.

    Raises:
        ProviderError: there is none, or it does not answer.
    """
    try:
        import pynvml
    except ImportError as error:
        raise ProviderError(f"the driver can't be asked: nvidia-ml-py is not installed. Install {GPU_GROUP}") from error
    try:
        pynvml.nvmlInit()
        try:
            version, cuda = pynvml.nvmlSystemGetDriverVersion(), pynvml.nvmlSystemGetCudaDriverVersion()
            gpus = tuple(_gpu(number) for number in range(pynvml.nvmlDeviceGetCount()))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        raise ProviderError(
            f"no NVIDIA driver answers ({error}): install one on the host, and give containers the GPU with NVIDIA's"
            f" container toolkit, {OR_CPU}"
        ) from error
    return NvidiaDriver(_text(version), f"{cuda // 1000}.{cuda % 1000 // 10}", gpus)


def _gpu(number: int) -> GpuInfo:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return GpuInfo(_text(pynvml.nvmlDeviceGetName(handle)), int(memory.total), int(memory.free))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def require_providers(provider: str, installed: OnnxRuntimeBuild) -> None:
    """Make sure that this ONNX Runtime was built for what is asked of it.

    Raises:
        ProviderError: it was not, or another one was installed over it.
    """
    if provider not in PROVIDERS:
        raise ProviderError(f"provider is {provider!r}; allowed are {', '.join(PROVIDERS)}")
    if missing := [name for name in PROVIDERS[provider] if name not in installed.providers]:
        clash = " Two packages overwrite each other: remove onnxruntime." if len(installed.distributions) > 1 else ""
        raise ProviderError(
            f"{' and '.join(missing)} was asked for; the wheel that is installed"
            f" ({', '.join(installed.distributions)} {installed.version}) has {', '.join(installed.providers)}.{clash}"
            f" Install {GPU_GROUP}, {OR_CPU}"
        )


def require_driver(installed: OnnxRuntimeBuild, found: NvidiaDriver) -> None:
    """Make sure that the driver is new enough for this ONNX Runtime, and that it has a GPU.

    Raises:
        ProviderError: it is older, or sees none.
    """
    if not found.gpus:
        raise ProviderError(f"NVIDIA's driver {found.version} sees no GPU: give the container one, {OR_CPU}")
    if installed.cuda and _major(found.cuda) < _major(installed.cuda):
        raise ProviderError(
            f"NVIDIA's driver {found.version} speaks CUDA {found.cuda}; {', '.join(installed.distributions)}"
            f" {installed.version} needs CUDA {_major(installed.cuda)}: install a newer driver, {OR_CPU}"
        )


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def require_device(device: Device) -> None:
    """Make sure that a device can be used, before a session is opened on it.

    Raises:
        ProviderError: it can't; which step on the way to it fails.
    """
    installed = installed_build()
    require_providers(device.provider, installed)
    if device.is_gpu:
        require_driver(installed, nvidia_driver())
        # The CUDA libraries come as wheels, where the loader does not look: ONNX Runtime knows where they are. What it
        # prints about them must not get into standard output.
        with contextlib.redirect_stdout(sys.stderr):
            ort.preload_dlls()


def device_error(device: Device, obtained: str) -> ProviderError:
    """The error for a session that runs elsewhere than requested, or not at all."""
    wanted = PROVIDERS[device.provider][0]
    why = broken_library(device) or (
        "all of its libraries can be loaded, so the driver or the GPU refused; ONNX Runtime's lines above say more"
    )
    return ProviderError(f"{wanted} was asked for and {obtained} obtained: {why}. Mend that, {OR_CPU}")


def broken_library(device: Device) -> str | None:
    """Which library of a provider can't be loaded, in the loader's words; None where all can.

    Only to be asked after a session has failed: loaded before ONNX Runtime loads it, a provider never works.
    """
    folder = Path(ort.__file__).parent / "capi"
    for provider in PROVIDERS[device.provider]:
        try:
            ctypes.CDLL(str(folder / LIBRARIES[provider]))
        except OSError as error:
            return f"a library can't be loaded ({error})"
    return None


def session_providers(device: Device, *, half: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """The providers that a session is opened with, in order of preference, and their options.

    Args:
        device: where it is to run.
        half: whether the file is float16 itself; TensorRT would make any file so, and its vectors others.
    """
    options: dict[str, dict[str, Any]] = {
        "CPUExecutionProvider": {},
        "CUDAExecutionProvider": _cuda_options(device),
        "TensorrtExecutionProvider": _tensorrt_options(device, half=half),
    }
    return [(name, options[name]) for name in PROVIDERS[device.provider]]


def _cuda_options(device: Device) -> dict[str, Any]:
    # Doubling its arena at every turn, ONNX Runtime would take up to twice what it needs.
    # Nor may it round float32 to TF32: one encoder_id stands for the same vectors wherever it runs.
    options: dict[str, Any] = {"device_id": 0, "arena_extend_strategy": "kSameAsRequested", "use_tf32": 0}
    return options | ({"gpu_mem_limit": device.memory_bytes} if device.memory_bytes else {})


def _tensorrt_options(device: Device, *, half: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"device_id": 0, "trt_fp16_enable": int(half)}
    if device.engines is None:
        return options
    folder = str(device.engines)
    return options | {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": folder,
    }
