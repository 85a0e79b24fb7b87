"""The recogniser file (ONNX) and recognition with it; needs no torch.

Input `clips` uint8 [B, N, frames, H, W, 3], N windows of each clip; output `probabilities` float32 [B, C]. Metadata:
one JSON object under the key `signdex_recogniser` with the labels and the windows to take of a clip.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from model.encoder import Floats, Frames
from model.errors import EncoderContractError
from model.runtime.devices import Device
from model.runtime.onnx_encoder import input_shapes, open_session, tensor_matches
from model.video import VideoSource, open_frames
from training.finetune.frames import choose_frames

KEY = "signdex_recogniser"
CONTRACT = 1


@dataclass(frozen=True)
class RecogniserInfo:
    """Metadata of a recogniser file."""

    labels: tuple[str, ...]
    fps: float
    """Frames per second at which videos are sampled."""
    image_size: int
    """Rows and columns of a frame, pixels."""
    num_windows: int
    num_frames: int
    """Of every window."""
    provenance: str
    licence: str
    contract: int = CONTRACT

    def to_metadata(self) -> dict[str, str]:
        """As the ONNX file holds it."""
        return {KEY: json.dumps(asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "RecogniserInfo":
        """The inverse of `to_metadata`.

        Raises:
            EncoderContractError: there is no such metadata, or it is of another form.
        """
        if KEY not in metadata:
            raise EncoderContractError("this file is no recogniser; `python -m training.finetune export` writes them")
        try:
            info = TypeAdapter(cls).validate_json(metadata[KEY])
        except ValidationError as error:
            raise EncoderContractError(f"what the file says of itself can't be used: {error.errors()[0]}") from error
        if info.contract != CONTRACT:
            raise EncoderContractError(f"the file follows contract {info.contract}, this version reads {CONTRACT}")
        return info


class OnnxRecogniser:
    """Recognises signs with a recogniser file."""

    def __init__(self, path: Path, *, provider: str = "cpu", threads: int = 0) -> None:
        """Load and check a file; where it runs is explained at `model.runtime.devices.Device`.

        Raises:
            EncoderContractError: the file is no recogniser.
            EncoderFileError: there is no such file, or it is no ONNX.
            ProviderError: the device can't be had, and why.
        """
        content = path.read_bytes() if path.is_file() else b""
        self._session = open_session(content, path, Device(provider, threads))
        try:
            self.info = RecogniserInfo.from_metadata(self._session.get_modelmeta().custom_metadata_map)
        except EncoderContractError as error:
            raise EncoderContractError(f"{path}: {error}") from error
        info = self.info
        wanted = [None, info.num_windows, info.num_frames, info.image_size, info.image_size, 3]
        if not tensor_matches(input_shapes(self._session).get("clips"), "tensor(uint8)", wanted):
            raise EncoderContractError(f"{path}: takes {input_shapes(self._session)}, expected clips {wanted}")

    def probabilities(self, clips: Frames) -> Floats:
        """[B, N, frames, H, W, 3] uint8 -> [B, C], each row sums to 1."""
        (found,) = self._session.run(["probabilities"], {"clips": clips})
        return np.asarray(found, np.float32)

    def name(self, source: VideoSource, *, k: int = 5) -> list[tuple[str, float]]:
        """The likeliest labels of a video, best first, with their probabilities.

        Raises:
            VideoError: the video can't be used, and why.
        """
        info = self.info
        with open_frames(source, fps=info.fps, size=info.image_size) as stream:
            frames = np.stack(list(stream))
        windows = frames[choose_frames(len(frames), info.num_windows, info.num_frames)]
        shares = self.probabilities(windows[None])[0]
        return [(info.labels[place], float(shares[place])) for place in np.argsort(-shares, kind="stable")[:k]]
