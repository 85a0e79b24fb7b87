"""The service's settings, read from the environment. Each is explained in docs/operations.md."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.video import VideoLimits

POSE = Path("pose")
"""In place of an encoder file: the encoder of skeletons that needs no training."""
MAX_K = 50
"""The most signs that one search gives."""


class Settings(BaseSettings):
    """Everything that can be set. A variable that is empty counts as not set."""

    model_config = SettingsConfigDict(env_prefix="SIGNDEX_", env_ignore_empty=True, frozen=True)

    data: Path = Path("data")
    dictionary: Path | None = None
    encoder: Path = Path("model/encoders/default.onnx")
    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    gpu_memory_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    threads: Annotated[int, Field(ge=0)] = 0
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    admin_key: Annotated[SecretStr, Field(min_length=8)] | None = None
    max_video_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    max_upload_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 100.0
    upload_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300.0
    max_searches: Annotated[int, Field(ge=1)] = 16
    decoders: Annotated[int, Field(ge=1)] = 2
    decode_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    decode_mb: Annotated[int, Field(ge=64)] = 1024
    query_cache_mb: Annotated[int, Field(ge=0)] = 64
    cache_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 20.0
    index_device: Literal["cpu", "cuda"] = "cpu"

    @property
    def snapshots(self) -> Path:
        """The folder of the snapshots."""
        return self.data / "snapshots"

    @property
    def cache(self) -> Path:
        """The file of the window embeddings."""
        return self.data / "cache.sqlite"

    @property
    def engines(self) -> Path:
        """The folder where TensorRT keeps what it builds."""
        return self.data / "engines"

    @property
    def max_cache_bytes(self) -> int:
        """Bytes of embeddings that are kept."""
        return int(self.cache_gb * 1_000_000_000)

    @property
    def max_upload_bytes(self) -> int:
        """Bytes of the largest video that is taken."""
        return int(self.max_upload_mb * 1_000_000)

    @property
    def video_limits(self) -> VideoLimits:
        """What the decoder refuses."""
        return VideoLimits(max_duration_s=self.max_video_s, max_bytes=self.max_upload_bytes)
