"""Buffers that are bound once give what plain runs give."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from model.config import EncoderConfig
from model.runtime.io_binding import BoundSession
from model.runtime.onnx_encoder import GPU_BATCH_SIZES, OnnxEncoder
from tests.model.micro import micro


@pytest.fixture(scope="session")
def session(encoder_file: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(encoder_file, options, providers=["CPUExecutionProvider"])


def windows(num: int, config: EncoderConfig = micro()) -> np.ndarray:  # noqa: B008
    return np.random.default_rng(num).integers(0, 256, (num, *config.window_size, 3), dtype=np.uint8)


def test_bound_runs_give_what_plain_runs_give(session: ort.InferenceSession, encoder: OnnxEncoder) -> None:
    bound = BoundSession(session, micro().dim, "cpu")
    for num in (3, 1, 3):
        embedding, activity = bound.run({"windows": windows(num)})
        expected = encoder.encode(windows(num))
        np.testing.assert_allclose(embedding, expected.embedding, atol=1e-5)
        np.testing.assert_allclose(activity, expected.activity, atol=1e-5)


def test_mask_units_are_bound_as_well(session: ort.InferenceSession, encoder: OnnxEncoder) -> None:
    bound = BoundSession(session, micro().dim, "cpu")
    visible = np.array([[0, 3, 5, 9], [1, 2, 3, 4]])
    embedding, _ = bound.run({"windows": windows(2), "visible": visible})
    np.testing.assert_allclose(embedding, encoder.encode(windows(2), visible).embedding, atol=1e-5)
    every, _ = bound.run({"windows": windows(2)})
    np.testing.assert_allclose(every, encoder.encode(windows(2)).embedding, atol=1e-5)


def test_a_result_is_not_overwritten_by_the_next_run(session: ort.InferenceSession) -> None:
    bound = BoundSession(session, micro().dim, "cpu")
    first, _ = bound.run({"windows": windows(2)})
    kept = first.copy()
    bound.run({"windows": windows(2)[::-1]})
    np.testing.assert_array_equal(first, kept)


def test_threads_take_turns_at_the_buffers(session: ort.InferenceSession) -> None:
    bound = BoundSession(session, micro().dim, "cpu")
    every = [windows(2)[[i % 2, i % 2]] for i in range(16)]
    alone = [bound.run({"windows": each})[0] for each in every[:2]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: bound.run({"windows": each})[0], every))
    for number, got in enumerate(together):
        np.testing.assert_allclose(got, alone[number % 2], atol=1e-6)


@pytest.mark.parametrize("num", [1, 33, 70])
def test_an_encoder_with_the_batches_and_buffers_of_a_gpu_gives_the_same(
    encoder_file: Path, session: ort.InferenceSession, encoder: OnnxEncoder, num: int
) -> None:
    as_on_gpu = OnnxEncoder(encoder_file, threads=1)
    as_on_gpu._batch_sizes = GPU_BATCH_SIZES
    as_on_gpu._bound = BoundSession(session, micro().dim, "cpu")
    as_on_gpu.warm()
    np.testing.assert_allclose(
        as_on_gpu.encode(windows(num)).embedding, encoder.encode(windows(num)).embedding, atol=1e-5
    )
