"""Which step on the way to a GPU fails is said, whatever machine these tests run on."""

import dataclasses
import sys
from types import SimpleNamespace

import pytest

from model.errors import ProviderError
from model.runtime import devices
from model.runtime.devices import Device, GpuInfo, NvidiaDriver, OnnxRuntimeBuild

CPU_WHEEL = OnnxRuntimeBuild("1.31.1", ("AzureExecutionProvider", "CPUExecutionProvider"), "", ("onnxruntime",))
GPU_WHEEL = OnnxRuntimeBuild(
    "1.31.1",
    ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
    "13.0",
    ("onnxruntime-gpu",),
)
DRIVER = NvidiaDriver("580.65.06", "13.0", (GpuInfo("NVIDIA L4", 24_000_000_000, 23_000_000_000),))


class NVMLError(Exception):
    """What NVIDIA's library raises."""


def nvml(**changes):
    """NVIDIA's management library, with one GPU, as nvidia-ml-py wraps it."""
    return SimpleNamespace(
        **{
            "NVMLError": NVMLError,
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlSystemGetDriverVersion": lambda: "580.65.06",
            "nvmlSystemGetCudaDriverVersion": lambda: 13010,
            "nvmlDeviceGetCount": lambda: 1,
            "nvmlDeviceGetHandleByIndex": lambda number: number,
            "nvmlDeviceGetName": lambda handle: b"NVIDIA L4",
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=24_000, free=23_000),
            **changes,
        }
    )


def test_a_wheel_without_cuda_is_named():
    with pytest.raises(ProviderError, match=r"\(onnxruntime 1\.31\.1\) has Azure.*CPUExecutionProvider.*--group gpu"):
        devices.require_providers("cuda", CPU_WHEEL)


def test_two_wheels_that_overwrite_each_other_are_noticed():
    both = dataclasses.replace(CPU_WHEEL, distributions=("onnxruntime", "onnxruntime-gpu"))
    with pytest.raises(ProviderError, match="overwrite each other: remove onnxruntime"):
        devices.require_providers("cuda", both)


@pytest.mark.parametrize(("provider", "wheel"), [("cpu", CPU_WHEEL), ("cuda", GPU_WHEEL), ("tensorrt", GPU_WHEEL)])
def test_a_wheel_that_has_what_is_asked_for_will_do(provider, wheel):
    devices.require_providers(provider, wheel)


def test_tensorrt_needs_a_wheel_with_both_of_its_providers():
    without = dataclasses.replace(GPU_WHEEL, providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    with pytest.raises(ProviderError, match="TensorrtExecutionProvider was asked for"):
        devices.require_providers("tensorrt", without)


@pytest.mark.parametrize(("cuda", "is_enough"), [("12.8", False), ("13.0", True), ("13.2", True), ("14.0", True)])
def test_a_driver_must_speak_the_major_version_of_cuda_that_the_wheel_needs(cuda, is_enough):
    found = dataclasses.replace(DRIVER, cuda=cuda)
    if is_enough:
        devices.require_driver(GPU_WHEEL, found)
    else:
        with pytest.raises(ProviderError, match=r"speaks CUDA 12\.8; onnxruntime-gpu 1\.31\.1 needs CUDA 13"):
            devices.require_driver(GPU_WHEEL, found)


def test_a_driver_that_sees_no_gpu_is_refused():
    with pytest.raises(ProviderError, match="sees no GPU"):
        devices.require_driver(GPU_WHEEL, dataclasses.replace(DRIVER, gpus=()))


def test_the_driver_is_asked_for_versions_and_memory(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    assert devices.nvidia_driver() == NvidiaDriver("580.65.06", "13.1", (GpuInfo("NVIDIA L4", 24_000, 23_000),))


def test_no_driver_at_all_is_said_in_the_words_of_nvidia(monkeypatch):
    def init():
        raise NVMLError("NVML Shared Library Not Found")

    monkeypatch.setitem(sys.modules, "pynvml", nvml(nvmlInit=init))
    with pytest.raises(ProviderError, match=r"no NVIDIA driver answers .*Not Found.*SIGNDEX_PROVIDER=cpu"):
        devices.nvidia_driver()


def test_an_environment_that_can_not_ask_the_driver_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(ProviderError, match="nvidia-ml-py is not installed"):
        devices.nvidia_driver()


def test_a_session_that_ended_up_elsewhere_names_the_library_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.ort, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"no library")
    told = str(devices.device_error(Device("cuda"), "CPUExecutionProvider"))
    assert "CUDAExecutionProvider was asked for and CPUExecutionProvider obtained" in told
    assert "libonnxruntime_providers_cuda.so: " in told


def test_the_gpu_is_asked_for_first_and_tensorrt_before_cuda():
    assert [name for name, _ in devices.session_providers(Device("cpu"))] == ["CPUExecutionProvider"]
    assert [name for name, _ in devices.session_providers(Device("cuda"))] == ["CUDAExecutionProvider"]
    assert [name for name, _ in devices.session_providers(Device("tensorrt"))] == [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
    ]


def test_the_limit_of_memory_and_the_cache_of_engines_reach_the_providers(tmp_path):
    assert "gpu_mem_limit" not in dict(devices.session_providers(Device("cuda")))["CUDAExecutionProvider"]
    given = dict(devices.session_providers(Device("tensorrt", memory_bytes=8_000_000_000, engines=tmp_path)))
    assert given["CUDAExecutionProvider"]["gpu_mem_limit"] == 8_000_000_000
    assert given["TensorrtExecutionProvider"]["trt_engine_cache_path"] == str(tmp_path)


def test_tensorrt_computes_in_float16_only_what_is_float16_in_the_file():
    for half in (False, True):
        options = dict(devices.session_providers(Device("tensorrt"), half=half))["TensorrtExecutionProvider"]
        assert options["trt_fp16_enable"] == int(half)


def test_float32_stays_float32_on_a_gpu():
    assert dict(devices.session_providers(Device("cuda")))["CUDAExecutionProvider"]["use_tf32"] == 0
