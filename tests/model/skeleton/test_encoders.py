import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from model.config import SkeletonConfig, WindowForm
from model.encoder import EncoderInfo
from model.errors import EncoderContractError
from model.pooling import pool
from model.runtime.devices import Device
from model.runtime.metadata import KEY, read_metadata, write_metadata
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder, load_file
from model.skeleton.encoders import BoneEncoder, SkeletonEncoder, open_file, sigmoid
from model.skeleton.features import sequence_from_landmarks
from model.skeleton.kinematics import Angles, mirror_angles, standing
from model.skeleton.landmarks import Landmarks
from model.skeleton.skeleton_stream import known_hands, mirror_skeleton, pack_keypoints, skeleton_frames
from model.windows import slide
from tests.conftest import ROOT
from tests.posed import keypoints_of, landmarks_of, raised_arm
from training.evaluate.baselines import FEATURES, encode_signing

CPU = Device()


def served(landmarks: Landmarks, *, mirrored: bool = False) -> np.ndarray:
    """The vector that serving gives: windows in which a hand is known, encoded, pooled."""
    encoder = BoneEncoder()
    frames = skeleton_frames(landmarks, WindowForm.SHOULDERS)
    frames = mirror_skeleton(frames) if mirrored else frames
    windows = [w.frames for w in slide(frames, 16, encoder.info.stride_frames) if known_hands(w.frames).any()]
    encoding = encoder.encode(np.stack(windows))
    return pool(encoding.embedding, encoding.activity)


def offline(landmarks: Landmarks, *, mirrored: bool = False) -> np.ndarray:
    encoding = encode_signing(sequence_from_landmarks(landmarks, mirrored=mirrored), FEATURES["bone-directions-wrists"])
    return pool(encoding.embedding, encoding.activity)


def still(num_frames: int) -> Angles:
    rest = standing()
    return Angles(*(np.tile(part, (num_frames, 1)) for part in (rest.body, rest.left, rest.right)))


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_vector_that_serves_is_the_one_of_the_baseline(mirrored: bool) -> None:
    seen = landmarks_of(keypoints_of(raised_arm(45)))
    right = seen.right.copy()
    right[10:14], right[25:42] = np.nan, np.nan  # one gap is bridged, windows lie in the other
    for landmarks in (seen, replace(seen, right=right), replace(seen, left=np.full_like(seen.left, np.nan))):
        assert served(landmarks, mirrored=mirrored) == pytest.approx(offline(landmarks, mirrored=mirrored), abs=1e-5)


def test_it_is_so_for_hands_that_only_rest_and_for_clips_shorter_than_a_window() -> None:
    resting = landmarks_of(keypoints_of(still(20)))
    assert served(resting) == pytest.approx(offline(resting), abs=1e-5)
    assert np.linalg.norm(served(resting)) == pytest.approx(1)
    short = landmarks_of(keypoints_of(raised_arm(7)))
    assert served(short) == pytest.approx(offline(short), abs=1e-5)


def test_a_left_handed_signers_vector_is_that_of_the_mirror() -> None:
    left = landmarks_of(keypoints_of(mirror_angles(raised_arm())))
    right = landmarks_of(keypoints_of(raised_arm()))
    assert served(left, mirrored=True) @ served(right) > 0.9999
    assert served(left) @ served(right) < 0.5


def test_it_says_what_it_is_and_refuses_other_windows() -> None:
    encoder = BoneEncoder()
    assert (encoder.info.config.dim, encoder.info.config.num_frames) == (2016, 16)
    assert encoder.info.encoder_id == BoneEncoder().info.encoder_id
    assert encoder.info.encoder_id != BoneEncoder("another:estimator").info.encoder_id
    with pytest.raises(ValueError, match=r"uint8 \[1, 16, 64, 64, 3\]; this encoder takes float32"):
        encoder.encode(np.zeros((1, 16, 64, 64, 3), np.uint8))
    with pytest.raises(EncoderContractError, match="takes skeletons"):
        _ = encoder.info.pictures


def test_its_version_of_mediapipe_is_the_one_that_is_installed_with_the_group() -> None:
    from model.skeleton.encoders import ESTIMATOR_VERSION

    assert f'"mediapipe=={ESTIMATOR_VERSION}"' in (ROOT / "pyproject.toml").read_text()


# ------------------------------------------------------------------------------------------------------ encoder files


def metadata(config: SkeletonConfig) -> dict[str, str]:
    return write_metadata(
        config,
        fps=12.5,
        stride_frames=3,
        provenance="sums, for tests",
        licence="Apache-2.0",
        trained=True,
        precision="fp32",
    )


def write_encoder(path: Path, *, known: int = TensorProto.BOOL, fields: dict[str, str] | None = None) -> Path:
    """A file of the contract: the embedding is the mean of the known keypoints, the activity 4 x, 4 y of it."""
    half = helper.make_tensor("half", TensorProto.INT64, [1], [2])
    nodes = [
        helper.make_node("Cast", ["known"], ["counted"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["counted", "last"], ["mask"]),
        helper.make_node("Mul", ["keypoints", "mask"], ["masked"]),
        helper.make_node("ReduceMean", ["masked", "axes"], ["embedding"], keepdims=0),
        helper.make_node("Slice", ["embedding", "zero", "half", "one"], ["two"]),
        helper.make_node("Mul", ["two", "four"], ["activity"]),
    ]
    weights = [
        helper.make_tensor("last", TensorProto.INT64, [1], [3]),
        helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        half,
        helper.make_tensor("four", TensorProto.FLOAT, [1], [4.0]),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [
            helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, ["N", 8, 61, 3]),
            helper.make_tensor_value_info("known", known, ["N", 8, 61]),
        ],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("activity", TensorProto.FLOAT, ["N", 2]),
        ],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(made, metadata(SkeletonConfig(8, 3)) if fields is None else fields)
    onnx.save(made, path)
    return path


def test_a_trained_file_is_run_on_keypoints_and_what_is_known(tmp_path: Path) -> None:
    encoder = SkeletonEncoder(load_file(write_encoder(tmp_path / "sums.onnx"), CPU), CPU)
    rng = np.random.default_rng(0)
    keypoints, known = rng.normal(size=(40, 8, 61, 3)), rng.random((40, 8, 61)) < 0.5
    encoder.warm()
    encoding = encoder.encode(pack_keypoints(keypoints, known))
    expected = np.where(known[..., None], keypoints, 0).mean(axis=(1, 2))
    assert encoding.embedding == pytest.approx(expected, abs=1e-5)
    assert encoding.activity == pytest.approx(1 / (1 + np.exp(-4 * expected[:, :2])), abs=1e-5)
    assert (encoder.info.fps, encoder.info.stride_frames, encoder.info.trained) == (12.5, 3, True)
    with pytest.raises(ValueError, match="this encoder takes float32"):
        encoder.encode(np.zeros((1, 16, 61, 4), np.float32))


def test_probabilities_of_logits_of_any_size() -> None:
    assert sigmoid(np.array([-1e4, 0, 2, 1e4], np.float32)).tolist() == pytest.approx([0, 0.5, 0.880797, 1])


def test_a_file_of_pictures_is_no_encoder_of_skeletons_nor_the_other_way_round(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "sums.onnx")
    with pytest.raises(EncoderContractError, match=r"sums\.onnx: .* takes skeletons"):
        OnnxEncoder(path)
    shipped = load_file(ROOT / "model/encoders/default.onnx", CPU)
    with pytest.raises(EncoderContractError, match="takes pictures; expected one of kind `skeleton`"):
        SkeletonEncoder(shipped, CPU)
    assert OnnxEncoder.of(shipped, CPU).info == OnnxEncoder(shipped.path).info


def test_a_file_that_differs_from_the_contract_is_refused_by_name(tmp_path: Path) -> None:
    wrong = metadata(SkeletonConfig(16, 5))
    path = write_encoder(tmp_path / "wrong.onnx", fields=wrong)
    with pytest.raises(EncoderContractError, match=r"wrong\.onnx: .*keypoints is .*expected .*16, 61, 3.*embedding is"):
        SkeletonEncoder(load_file(path, CPU), CPU)


def test_what_a_file_says_of_itself_comes_back(tmp_path: Path) -> None:
    config = SkeletonConfig(8, 3)
    info = read_metadata(metadata(config), "0" * 12)
    assert isinstance(info, EncoderInfo)
    assert (info.config, info.estimator) == (config, "model.skeleton.estimator:open_mediapipe")
    fields = json.loads(metadata(config)[KEY])
    assert fields["kind"] == "skeleton"
    for change, words in (({"kind": "sound"}, "kind 'sound'"), ({"config": {"dim": 3}}, "num_frames")):
        with pytest.raises(EncoderContractError, match=words):
            read_metadata({KEY: json.dumps(fields | change)}, "0" * 12)


def test_the_encoder_of_skeletons_that_ships_can_be_used() -> None:
    shipped = open_file(DEFAULT_ENCODER.with_name("skeleton.onnx"), CPU)
    assert shipped.info.trained
    assert shipped.info.licence == "Apache-2.0"
    windows = np.random.default_rng(0).normal(size=(3, *shipped.info.config.window_shape)).astype(np.float32)
    found = shipped.encode(windows)
    assert found.embedding.shape == (3, shipped.info.config.dim)
    assert np.isfinite(found.embedding).all()
