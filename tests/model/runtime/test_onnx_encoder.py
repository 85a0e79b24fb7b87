from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from model.errors import EncoderContractError, EncoderFileError, ProviderError
from model.runtime.devices import Device
from model.runtime.metadata import KEY, write_metadata
from model.runtime.onnx_encoder import OnnxEncoder, half_precision_beside
from tests.model.micro import micro


def metadata() -> dict[str, str]:
    return write_metadata(
        micro(), fps=25, stride_frames=2, provenance="test", licence="none", trained=False, precision="fp32"
    )


def save(path: Path, change: Callable[[onnx.ModelProto], None], props: dict[str, str] | None = None) -> Path:
    """An ONNX file that follows the contract without being a network, changed by the test."""
    config = micro()
    nodes = [
        helper.make_node("Shape", ["windows"], ["n"], start=0, end=1),
        helper.make_node("Concat", ["n", "d"], ["shape_d"], axis=0),
        helper.make_node("Concat", ["n", "two"], ["shape_2"], axis=0),
        helper.make_node("ConstantOfShape", ["shape_d"], ["embedding"]),
        helper.make_node("ConstantOfShape", ["shape_2"], ["activity"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("windows", TensorProto.UINT8, ["N", *config.window_size, 3])],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", config.dim]),
            helper.make_tensor_value_info("activity", TensorProto.FLOAT, ["N", 2]),
        ],
        [
            helper.make_tensor("d", TensorProto.INT64, [1], [config.dim]),
            helper.make_tensor("two", TensorProto.INT64, [1], [2]),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    change(proto)
    helper.set_model_props(proto, metadata() if props is None else props)
    onnx.save_model(proto, path)
    return path


def set_size(which: str, name: str, axis: int, size: int) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        value = next(v for v in getattr(proto.graph, which) if v.name == name)
        value.type.tensor_type.shape.dim[axis].dim_value = size

    return change


def rename_output(proto: onnx.ModelProto) -> None:
    proto.graph.node[3].output[0] = "features"
    proto.graph.output[0].name = "features"


def test_any_file_of_the_contract_is_an_encoder(tmp_path: Path) -> None:
    encoder = OnnxEncoder(save(tmp_path / "e.onnx", lambda proto: None))
    windows = np.zeros((3, *micro().window_size, 3), np.uint8)
    assert encoder.encode(windows).embedding.shape == (3, 64)
    with pytest.raises(ValueError, match="no input 'visible'"):
        encoder.encode(windows, np.zeros((3, 4), np.int64))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_size("input", "windows", 1, 8), r"windows is .*8.*expected tensor\(uint8\) \['any', 16, 64, 64, 3\]"),
        (set_size("input", "windows", 0, 4), r"windows is .*\[4, 16.*expected .*'any', 16"),
        (rename_output, "embedding is missing"),
    ],
)
def test_another_contract_is_refused_and_the_part_named(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], words: str
) -> None:
    with pytest.raises(EncoderContractError, match=words):
        OnnxEncoder(save(tmp_path / "e.onnx", change))


@pytest.mark.parametrize(
    ("props", "words"),
    [
        ({}, f"no '{KEY}' metadata"),
        ({KEY: metadata()[KEY].replace('"contract": 1', '"contract": 7')}, "contract 7, this version reads 1"),
        ({KEY: metadata()[KEY].replace('"trained": false', '"trained": "no"')}, r"another type: \['trained'\]"),
        ({KEY: metadata()[KEY].replace('"num_parts": 1', '"num_parts": 0')}, "num_parts is 0; allowed are 1 and more"),
        ({KEY: metadata()[KEY].replace('"embed_dim"', '"embed_dims"')}, "embed_dims"),
        ({KEY: "not JSON"}, "is no JSON object"),
        ({KEY: "[1]"}, "is no JSON object"),
    ],
)
def test_metadata_that_says_too_little_is_refused(tmp_path: Path, props: dict[str, str], words: str) -> None:
    with pytest.raises(EncoderContractError, match=words):
        OnnxEncoder(save(tmp_path / "e.onnx", lambda proto: None, props))


def test_no_file_and_no_onnx_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderFileError, match="there is no encoder file at"):
        OnnxEncoder(tmp_path / "nowhere.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(EncoderFileError, match=r"junk\.onnx can't be loaded"):
        OnnxEncoder(tmp_path / "junk.onnx")


def test_a_device_that_is_not_there_is_refused_not_replaced(encoder_file: Path) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderError, match="CUDAExecutionProvider was asked for; the wheel that is installed"):
        OnnxEncoder(encoder_file, provider="cuda")
    with pytest.raises(ProviderError, match="allowed are cpu, cuda, tensorrt"):
        OnnxEncoder(encoder_file, provider="tpu")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_window_has_the_same_embedding_whoever_it_is_encoded_with_and_however_many_cores_there_are(
    encoder_file: Path, threads: int
) -> None:
    encoder = OnnxEncoder(encoder_file, threads=threads)
    windows = np.random.default_rng(0).integers(0, 256, (7, *micro().window_size, 3), dtype=np.uint8)
    alone = OnnxEncoder(encoder_file, threads=1)
    together = encoder.encode(windows)
    for row, window in enumerate(windows):
        assert (alone.encode(window[None]).embedding[0] == together.embedding[row]).all()
        assert (alone.encode(window[None]).activity[0] == together.activity[row]).all()


@pytest.mark.parametrize(("threads", "runs", "at_once"), [(1, 1, 8), (2, 2, 8), (6, 6, 12), (8, 8, 16), (32, 8, 16)])
def test_every_core_has_a_run_up_to_eight(encoder_file: Path, threads: int, runs: int, at_once: int) -> None:
    assert Device(threads=threads).num_runs == runs
    assert Device("cuda", threads=threads).num_runs == 1
    assert OnnxEncoder(encoder_file, threads=threads).info.num_at_once == at_once


class SilentFallback(ort.InferenceSession):
    """What onnxruntime does when a CUDA library is missing: it carries on with the CPU."""

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_silent_fallback_to_the_cpu_is_refused(encoder_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.runtime.devices.require_device", lambda device: None)
    monkeypatch.setattr(
        ort, "InferenceSession", lambda content, options, providers, enable_fallback: SilentFallback(content, options)
    )
    with pytest.raises(ProviderError, match="CPUExecutionProvider obtained: a library can't be loaded"):
        OnnxEncoder(encoder_file, provider="cuda")


def test_a_session_that_a_missing_library_keeps_from_opening_is_no_fault_of_the_file(
    encoder_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("Please install TensorRT libraries")

    monkeypatch.setattr("model.runtime.devices.require_device", lambda device: None)
    monkeypatch.setattr(ort, "InferenceSession", fail)
    with pytest.raises(ProviderError, match=r"nothing obtained: a library can't be loaded .*tensorrt"):
        OnnxEncoder(encoder_file, provider="tensorrt")
    with pytest.raises(EncoderFileError, match="can't be loaded by ONNX Runtime"):
        OnnxEncoder(encoder_file)


def test_a_driver_that_can_not_be_had_is_refused_before_the_file_is_loaded(
    encoder_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])

    def none() -> None:
        raise ProviderError("no NVIDIA driver answers")

    monkeypatch.setattr("model.runtime.devices.nvidia_driver", none)
    with pytest.raises(ProviderError, match="no NVIDIA driver"):
        OnnxEncoder(encoder_file, provider="cuda")


@pytest.mark.gpu
def test_on_a_gpu_the_same_embeddings_come_out(encoder_file: Path, encoder: OnnxEncoder) -> None:
    try:
        on_gpu = OnnxEncoder(encoder_file, provider="cuda")
    except ProviderError as error:
        pytest.skip(str(error))
    on_gpu.warm()
    windows = np.random.default_rng(3).integers(0, 256, (45, *micro().window_size, 3), dtype=np.uint8)
    expected = encoder.encode(windows).embedding
    got = on_gpu.encode(windows).embedding
    cosines = (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.9999


def test_the_float16_file_beside_is_found(tmp_path: Path) -> None:
    file, half = tmp_path / "signrep.onnx", tmp_path / "signrep.fp16.onnx"
    assert half_precision_beside(file) == file
    half.touch()
    assert half_precision_beside(file) == half


def test_batches_do_not_change_the_result(encoder: OnnxEncoder) -> None:
    windows = np.random.default_rng(0).integers(0, 256, (11, *micro().window_size, 3), dtype=np.uint8)
    one_by_one = np.concatenate([encoder.encode(window[None]).embedding for window in windows])
    np.testing.assert_allclose(encoder.encode(windows).embedding, one_by_one, atol=1e-5)


@pytest.mark.parametrize(
    ("windows", "visible", "words"),
    [
        (np.zeros((1, 16, 224, 224, 3), np.uint8), None, r"windows are uint8 \[1, 16, 224, 224, 3\]"),
        (np.zeros((1, 16, 64, 64, 3), np.float32), None, "windows are float32"),
        (np.zeros((0, 16, 64, 64, 3), np.uint8), None, "N >= 1"),
        (np.zeros((2, 16, 64, 64, 3), np.uint8), np.zeros((1, 4), np.int64), r"visible is \[1, 4\] for 2 windows"),
        (np.zeros((1, 16, 64, 64, 3), np.uint8), np.array([[0, 32]]), "mask units run from 0 to 32"),
        (np.zeros((1, 16, 64, 64, 3), np.uint8), np.array([[-1, 3]]), "mask units run from -1"),
    ],
)
def test_wrong_shapes_are_refused(
    encoder: OnnxEncoder, windows: np.ndarray, visible: np.ndarray | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        encoder.encode(windows, visible)
