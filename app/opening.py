"""What the settings name, opened: the encoder, the limits of decoding, the server that searches."""

from pathlib import Path
from typing import Protocol

from app.decoding.decoder import DecoderLimits
from app.settings import POSE, Settings
from index import snapshot
from index.errors import IndexDeviceError
from index.in_use import InUse
from index.milvus_connection import Address, Connection
from index.milvus_server import MilvusServer
from model.devices import Device
from model.encoder import Encoder
from model.errors import ProviderError
from model.runtime import half_beside
from model.skeleton.encoders import BoneEncoder, open_file
from model.skeleton.estimator import MEDIAPIPE, require_mediapipe

PATIENCE = 10
"""How many times as long as a query's video one of the dictionary may take to decode: nobody waits for it."""


class WarmableEncoder(Encoder, Protocol):
    """An encoder that can do its first, slow runs before anybody waits for them."""

    def warm(self) -> None:
        """Run every batch size once."""
        ...


def query_decoding(settings: Settings) -> DecoderLimits:
    """Limits of decoding one video that somebody looks up."""
    return DecoderLimits(memory_bytes=settings.decode_mb * 1_000_000, seconds=settings.decode_s)


def bulk_decoding(settings: Settings) -> DecoderLimits:
    """Limits of decoding one video of the dictionary."""
    return DecoderLimits(memory_bytes=settings.decode_mb * 1_000_000, seconds=PATIENCE * settings.decode_s)


def encoder_file(settings: Settings) -> Path:
    """The encoder file that is used: on a GPU its float16 form, where one lies beside it."""
    return settings.encoder if settings.provider == "cpu" else half_beside(settings.encoder)


def open_encoder(settings: Settings) -> WarmableEncoder:
    """The encoder that the settings name, on the device that they name.

    Raises:
        EncoderFileError: it can't be used, or not there, and why; or what finds skeletons for it is not installed.
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


def open_server(settings: Settings) -> MilvusServer | None:
    """The server that searches, where the settings name one. It is not asked anything yet.

    Raises:
        IndexDeviceError: a GPU is asked for as well.
        SnapshotError: the data folder has no id, and none can be made.
    """
    if settings.index is None:
        return None
    if settings.index_device != "cpu":
        raise IndexDeviceError(
            f"SIGNDEX_INDEX asks for a server ({settings.index}), SIGNDEX_INDEX_DEVICE={settings.index_device} for a"
            " search in this process; unset one of them"
        )
    token = "" if settings.index_token is None else settings.index_token.get_secret_value()
    return MilvusServer(
        Connection(Address.parse(settings.index), token),
        snapshot.folder_id(settings.snapshots),
        InUse(settings.snapshots / ".in-use"),
    )
