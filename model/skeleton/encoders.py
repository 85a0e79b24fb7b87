"""Encoders of skeletons: one that needs no training, and the ONNX file of one that was trained.

    SIGNDEX_ENCODER=pose              `BoneEncoder`
    SIGNDEX_ENCODER=FILE.onnx         `SkeletonEncoder`, where the file's metadata says that its kind is `skeleton`

The contract of such a file: inputs `keypoints` float32 [N, T, 61, 3] and `known` bool [N, T, 61], as
`WindowForm.METRES` says; outputs `embedding` float32 [N, D] and `activity` float32 [N, 2], logits of the left and the
right hand. Only N is dynamic. Metadata: `model.runtime.metadata.write_metadata` of
`SkeletonConfig(num_frames=T, dim=D)`.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.config import MEDIAPIPE, SkeletonConfig, WindowForm
from model.encoder import EncoderInfo, Encoding, Floats, Ints, Windows
from model.errors import EncoderContractError
from model.runtime.devices import Device
from model.runtime.onnx_encoder import LoadedFile, OnnxEncoder, input_shapes, load_file, tensor_matches
from model.skeleton.features import FPS, STRIDE, bone_directions_wrists, hands_to_compare, sequence_from_normalised
from model.skeleton.kinematics import NUM_KEYPOINTS
from model.skeleton.normalisation import NUM_FRAMES
from model.skeleton.skeleton_stream import SKELETON_VERSION, unpack_keypoints

ESTIMATOR_VERSION = "0.10.21"
"""Of MediaPipe: another finds other landmarks, and its vectors do not mix with these."""
BONE_VERSION = 1
"""Raise it when the same skeleton gives another vector than before."""
# `encoder_id` is made from this text too: vectors in dictionaries depend on every letter of it.
PROVENANCE = (
    "unit vectors along the bones of both hands and the places of the wrists, no training;"
    f" skeletons by MediaPipe Holistic {ESTIMATOR_VERSION}"
)
VALUES_PER_FRAME = 2 * 63
NUM_AT_ONCE = 32


class BoneEncoder:
    """The training-free `Encoder`: a window's embedding is the features of its hands, frame after frame.

    On equal skeletons it gives the vectors of the baseline `bone-directions-wrists`.
    """

    def __init__(self, estimator: str = MEDIAPIPE) -> None:
        """Make the encoder.

        Args:
            estimator: name of what finds the skeletons, see `model.skeleton.estimator`.
        """
        identity = f"{PROVENANCE} {BONE_VERSION} {SKELETON_VERSION} {estimator}"
        self.info = EncoderInfo(
            encoder_id=hashlib.sha256(identity.encode()).hexdigest()[:12],
            config=SkeletonConfig(NUM_FRAMES, NUM_FRAMES * VALUES_PER_FRAME, WindowForm.SHOULDERS),
            fps=FPS,
            stride_frames=STRIDE,
            provenance=PROVENANCE,
            licence="Apache-2.0",
            trained=True,
            precision="fp32",
            estimator=estimator,
            num_at_once=NUM_AT_ONCE,
        )

    def encode(self, windows: Windows, visible: Ints | None = None) -> Encoding:
        """See `Encoder.encode`.

        Raises:
            ValueError: windows of another shape.
        """
        _check_windows(windows, self.info)
        keypoints, known = unpack_keypoints(windows.reshape(-1, *windows.shape[2:]))
        sequence = sequence_from_normalised(np.where(known[..., None], keypoints, np.nan).astype(np.float64))
        values = bone_directions_wrists(sequence)
        rows = np.arange(len(keypoints)).reshape(len(windows), -1)
        activity = np.stack([sequence.activity(each) for each in rows])
        embedding = np.stack(
            [values.window_vector(each, hands_to_compare(active)) for each, active in zip(rows, activity, strict=True)]
        )
        return Encoding(embedding, activity)

    def warm(self) -> None:
        """Does nothing: the first run is as fast as any."""


class SkeletonEncoder:
    """An `Encoder` of skeletons on ONNX Runtime. Safe to share between threads."""

    def __init__(self, file: LoadedFile, device: Device) -> None:
        """Check a file.

        Raises:
            EncoderContractError: it is no encoder of skeletons; which part differs.
        """
        if not isinstance(file.info.config, SkeletonConfig):
            raise EncoderContractError(f"{file.path}: the file takes pictures; expected one of kind `skeleton`")
        self._session = file.session
        self.device = device
        self.info: EncoderInfo = replace(file.info, num_at_once=NUM_AT_ONCE)
        try:
            _check_contract(file, file.info.config)
        except EncoderContractError as error:
            raise EncoderContractError(f"{file.path}: {error}") from error

    def encode(self, windows: Windows, visible: Ints | None = None) -> Encoding:
        """See `Encoder.encode`.

        Raises:
            ValueError: windows of another shape.
        """
        _check_windows(windows, self.info)
        parts = [self._run(windows[row : row + NUM_AT_ONCE]) for row in range(0, len(windows), NUM_AT_ONCE)]
        return Encoding(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))

    def warm(self) -> None:
        """Run once, so that the first query does not pay for memory and kernels."""
        self.encode(np.zeros((NUM_AT_ONCE, *self.info.config.window_shape), np.float32))

    def _run(self, windows: Floats) -> tuple[Floats, Floats]:
        keypoints, known = unpack_keypoints(windows)
        embedding, logits = self._session.run(["embedding", "activity"], {"keypoints": keypoints, "known": known})
        return embedding, sigmoid(logits)


def open_file(path: Path, device: Device) -> OnnxEncoder | SkeletonEncoder:
    """The encoder of a file, of whatever kind it says that it is.

    Raises:
        EncoderFileError: it can't be used, or not there, and why.
    """
    file = load_file(path, device)
    takes_skeletons = isinstance(file.info.config, SkeletonConfig)
    return SkeletonEncoder(file, device) if takes_skeletons else OnnxEncoder.of(file, device)


def sigmoid(logits: Floats) -> Floats:
    """Probabilities of logits of any size."""
    probabilities: Floats = (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
    return probabilities


def _check_windows(windows: Windows, info: EncoderInfo) -> None:
    wanted = info.config.window_shape
    if windows.shape[1:] != wanted or windows.dtype != np.float32 or not len(windows):
        raise ValueError(
            f"windows are {windows.dtype} {list(windows.shape)}; this encoder takes float32 [N >= 1, *{list(wanted)}]"
        )


def _check_contract(file: LoadedFile, config: SkeletonConfig) -> None:
    """Compare inputs and outputs with what an encoder of skeletons has.

    Raises:
        EncoderContractError: names every part that differs.
    """
    inputs = input_shapes(file.session)
    outputs = {value.name: (value.type, value.shape) for value in file.session.get_outputs()}
    expected = [
        (inputs, "keypoints", "tensor(float)", [None, config.num_frames, NUM_KEYPOINTS, 3]),
        (inputs, "known", "tensor(bool)", [None, config.num_frames, NUM_KEYPOINTS]),
        (outputs, "embedding", "tensor(float)", [None, config.dim]),
        (outputs, "activity", "tensor(float)", [None, 2]),
    ]
    problems = [
        f"{name} is {values.get(name, 'missing')}, expected {kind} of {[size or 'any' for size in shape]}"
        for values, name, kind, shape in expected
        if not tensor_matches(values.get(name), kind, shape)
    ]
    problems += [f"unknown input {name}" for name in inputs if name not in ("keypoints", "known")]
    if config.form != WindowForm.METRES:
        problems.append(f"form is {config.form}, expected {WindowForm.METRES}")
    if problems:
        raise EncoderContractError(f"not a skeleton encoder of this contract: {'; '.join(problems)}")
