"""The service's settings, read from the environment. docs/operations.md lists them by these descriptions."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from index.milvus.connection import Address
from model.video import VideoLimits

POSE = Path("pose")
"""In place of an encoder file: the encoder of skeletons that needs no training."""


class Settings(BaseSettings):
    """Everything that can be set. An empty variable counts as not set."""

    model_config = SettingsConfigDict(env_prefix="SIGNDEX_", env_ignore_empty=True, frozen=True)

    data: Path = Field(
        default=Path("data"),
        description=(
            "The data folder: snapshots lie in `snapshots/` below it, what was embedded in `cache.sqlite`. Written "
            "by reindexing, and `replicas.sqlite` by every service."
        ),
    )
    dictionary: Path | None = Field(
        default=None,
        description=(
            "The folder of dictionary videos, see [The dictionary folder](#the-dictionary-folder). `serve` indexes "
            "it at start when no snapshot of this encoder is there; `POST /reindex` indexes it again."
        ),
    )
    encoder: Path = Field(
        default=Path("model/encoders/default.onnx"),
        description=(
            "The encoder file, of pictures or of skeletons; or `pose`, which looks signs up by the skeleton without "
            "training and needs MediaPipe ([skeleton](skeleton.md)). Another encoder needs the dictionary indexed "
            "again."
        ),
    )
    provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        default="cpu",
        description=(
            "Where the encoder runs: `cpu`, `cuda` or `tensorrt`. What is asked for is obtained, or the service "
            "refuses to start, and says why. On a GPU the file `NAME.fp16.onnx` beside the encoder `NAME.onnx` is "
            "used, where there is one."
        ),
    )
    gpu_memory_gb: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="The most gigabytes of the GPU's memory that the encoder takes; 0 sets no limit.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description=(
            "Cores that the encoder takes on the CPU, a window each; 0 takes all ([why "
            "so](decisions/a-window-a-run.md))."
        ),
    )
    host: str = Field(
        default="127.0.0.1",
        description="The address to listen on. Anything else opens the service to the network.",
    )
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        description="The port to listen on.",
    )
    admin_key: Annotated[SecretStr, Field(min_length=8)] | None = Field(
        default=None,
        description=(
            "Opens the admin routes to requests with `Authorization: Bearer KEY`; at least 8 characters. While it "
            "is not set they are closed."
        ),
    )
    max_video_s: float = Field(
        default=60.0,
        gt=0,
        allow_inf_nan=False,
        description="The longest video that is taken, in seconds, for queries and for the dictionary.",
    )
    max_upload_mb: float = Field(
        default=100.0,
        gt=0,
        allow_inf_nan=False,
        description="The largest video file that is taken, in megabytes (1,000,000 bytes).",
    )
    upload_s: float = Field(
        default=300.0,
        gt=0,
        allow_inf_nan=False,
        description="The longest that a request may take to arrive, in seconds.",
    )
    max_searches: int = Field(
        default=16,
        ge=1,
        description=(
            "Searches by video in progress at the same time, waiting ones included. Further ones are answered at "
            "once with 429 and `Retry-After`, before their video is read."
        ),
    )
    decoders: int = Field(
        default=2,
        ge=1,
        description="Processes that decode query videos and make thumbnails; each decodes one video at a time.",
    )
    decode_s: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description=(
            "The longest that decoding one query video may take, in seconds. With an encoder of skeletons finding "
            "them counts in: about 0.06 s for every frame at 25 per second."
        ),
    )
    decode_mb: int = Field(
        default=1024,
        ge=64,
        description=(
            "The most memory that decoding one query video may take, in megabytes beyond what the process has when "
            "it starts; at least 64."
        ),
    )
    query_cache_mb: int = Field(
        default=64,
        ge=0,
        description=(
            "Memory for the window embeddings of the latest queries, in megabytes, so that `POST /v1/search/vector` "
            "can look them up again; 0 keeps none."
        ),
    )
    cache_gb: float = Field(
        default=20.0,
        ge=0,
        allow_inf_nan=False,
        description=(
            "Gigabytes of window embeddings that are kept in `cache.sqlite` of the data folder, so that a reindex "
            "embeds only what is new or changed. What was not used for longest goes first. A clip of 3 s takes "
            "about 0.2 MB."
        ),
    )
    index_device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description=(
            "Where vectors are searched: `cpu` or `cuda`. What is asked for is obtained, or the service refuses to "
            "start."
        ),
    )
    index: str | None = Field(
        default=None,
        description=(
            "A Milvus server that searches the vectors instead of this process: `milvus://HOST:PORT/DATABASE`, "
            "`milvus+https://...` where it speaks TLS; without a port 19530, without a database the usual one. See "
            "[Milvus](milvus.md)."
        ),
    )
    index_token: SecretStr | None = Field(
        default=None,
        description="What lets one into Milvus: `USER:PASSWORD`, or an API key. Never in the address, never in a log.",
    )

    @field_validator("index")
    @classmethod
    def _names_a_server(cls, value: str | None) -> str | None:
        if value is not None:
            Address.parse(value)
        return value

    @property
    def snapshots(self) -> Path:
        """The folder of the snapshots."""
        return self.data / "snapshots"

    @property
    def cache(self) -> Path:
        """The file of the window embeddings."""
        return self.data / "cache.sqlite"

    @property
    def coordination(self) -> Path:
        """The file of the coordination store."""
        return self.data / "replicas.sqlite"

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
