"""The encoder that the settings name."""

from pathlib import Path
from typing import Protocol

from app.settings import POSE, Settings
from model.config import MEDIAPIPE
from model.encoder import Encoder
from model.errors import ProviderError
from model.runtime.devices import Device
from model.runtime.onnx_encoder import half_precision_beside
from model.skeleton.encoders import BoneEncoder, open_file
from model.skeleton.estimator import require_mediapipe


class WarmableEncoder(Encoder, Protocol):
    """An encoder whose slow first runs can be done before anybody waits for them."""

    def warm(self) -> None:
        """Run every batch size once."""
        ...


def encoder_file(settings: Settings) -> Path:
    """The encoder file that is used: on a GPU its float16 form, where one lies beside it."""
    return settings.encoder if settings.provider == "cpu" else half_precision_beside(settings.encoder)


def open_encoder(settings: Settings) -> WarmableEncoder:
    """The encoder that the settings name, on the device that they name.

    Raises:
        EncoderFileError: it is missing or can't be used, and why; or its skeleton estimator is not installed.
    """
    opened = _open_bones(settings) if settings.encoder == POSE else _open_file(settings)
    if opened.info.estimator == MEDIAPIPE:
        require_mediapipe()
    return opened


def _open_bones(settings: Settings) -> BoneEncoder:
    if settings.provider != "cpu":
        raise ProviderError(
            f"SIGNDEX_ENCODER={POSE} works on the processor, SIGNDEX_PROVIDER is {settings.provider}; set it to cpu"
        )
    return BoneEncoder()


def _open_file(settings: Settings) -> WarmableEncoder:
    if settings.provider == "tensorrt":
        settings.engines.mkdir(parents=True, exist_ok=True)
    device = Device(settings.provider, settings.threads, int(settings.gpu_memory_gb * 1_000_000_000), settings.engines)
    return open_file(encoder_file(settings), device)
