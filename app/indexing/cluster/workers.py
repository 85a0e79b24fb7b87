"""The workers of a cluster: some decode blocks of clips into windows, others encode these windows.

Each first verifies that its node gives the same embeddings as the driver: same code, same libraries, same encoder file,
same folder.
"""

import hashlib
import platform
import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from app.decoding.decoder import CHECKOUT, DecodedWindows, Decoder
from app.decoding.limits import DecoderLimits
from app.decoding.pool import VIDEOS_PER_PROCESS
from app.errors import ClusterError, ServiceError, VideoTooCostlyError, VideoUndecodableError
from app.indexing import bulk
from app.indexing.bulk import ClipResult, ClipToEmbed
from model.clip_stream import WindowingConfig
from model.embed import Embedder
from model.errors import VideoError
from model.runtime import devices
from model.runtime.onnx_encoder import OnnxEncoder
from model.video import VideoLimits
from model.video.time_range import TimeRange

CODE = ("app/indexing/bulk.py", "app/indexing/cluster/*.py", "app/decoding/*.py", "model/**/*.py")
"""Files of the checkout that decide the embeddings, and how work is distributed."""
LIBRARIES = ("av", "numpy", "ray")


class Role(StrEnum):
    """What a worker does."""

    DECODE = "decode"
    ENCODE = "encode"


@dataclass(frozen=True)
class ClipBlock:
    """Clips that are assigned to a worker together."""

    numbers: tuple[int, ...]
    """Of the clips, among all that are embedded."""
    clips: tuple[ClipToEmbed, ...]


@dataclass(frozen=True)
class WorkerConfig:
    """What every worker needs to know, and what its node is compared with."""

    folder: Path
    """Of the dictionary; the same path on all nodes."""
    probe: str
    """Name of a file or folder in it: an empty mount point is a folder too."""
    encoder: Path
    encoder_id: str
    settings: str
    """How clips are embedded, as `Embedder.settings` writes it."""
    provider: str
    threads: int
    """Of one run of the encoder on the processor; the same on all nodes, because they decide the last digits."""
    gpu_memory_bytes: int
    engines: Path
    windowing: WindowingConfig
    video_limits: VideoLimits
    decoder_limits: DecoderLimits
    software: Mapping[str, str]
    """Versions on the driver, by name."""


def software() -> dict[str, str]:
    """Versions of what decides the digits of an embedding beside video and encoder, by name."""
    installed = {name: metadata.version(name) for name in LIBRARIES if any(metadata.distributions(name=name))}
    # ONNX Runtime has two wheels, and a node that only decodes may have the one without CUDA.
    installed["onnxruntime"] = devices.installed_build().version
    return {"python": platform.python_version(), **installed, "code": fingerprint(CHECKOUT)}


def fingerprint(checkout: Path) -> str:
    """12 hex digits that identify the code that embeds."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in CODE for path in checkout.glob(pattern)}):
        digest.update(f"{path.relative_to(checkout)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def verify_node(config: WorkerConfig, node: str) -> None:
    """Make sure that this node gives the same embeddings as the driver.

    Args:
        config: of the driver.
        node: the name of this node in messages.

    Raises:
        ClusterError: it would not; what was found here, and what is needed.
    """
    _require_software(config.software, node)
    if not (config.folder / config.probe).exists():
        seen = "an empty folder, or another one, is" if config.folder.is_dir() else "nothing is"
        raise ClusterError(
            f"{node} does not see the dictionary folder: {seen} at {config.folder}, where {config.probe!r} should be."
            " Mount the same shared folder at the same path on every node"
        )
    _require_encoder(config, node)


def _require_software(expected: Mapping[str, str], node: str) -> None:
    here = software()
    differing = [
        f"{name} {here.get(name, 'missing')} (here {expected.get(name, 'missing')})"
        for name in sorted({*expected, *here})
        if here.get(name) != expected.get(name)
    ]
    if differing:
        raise ClusterError(
            f"{node} runs other software than this machine: {', '.join(differing)}. Bring the same checkout and"
            " `uv sync --locked --group ray` to every node, then start Ray there again"
        )


def _require_encoder(config: WorkerConfig, node: str) -> None:
    try:
        seen = hashlib.sha256(config.encoder.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise ClusterError(
            f"{node} can't read the encoder file: {error}. Copy it to the same path on every node (SIGNDEX_ENCODER)"
        ) from error
    if seen != config.encoder_id:
        raise ClusterError(
            f"{node} has encoder {seen} at {config.encoder}, this machine {config.encoder_id}. Copy the same file to"
            " the same path on every node"
        )


class DecodingWorker:
    """Decodes blocks of clips in decoding processes. Its threads may decode several blocks at the same time."""

    def __init__(self, config: WorkerConfig, node: str) -> None:
        self._config = config
        self._node = node
        self._idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()

    def prepare(self) -> None:
        """Verify the node.

        Raises:
            ClusterError: it would not give the same embeddings as the driver.
        """
        verify_node(self._config, self._node)

    def decode(self, block: ClipBlock) -> tuple[list[Exception | None], list[DecodedWindows | None]]:
        """The error of each clip of a block that can't be used, and the windows of each that can.

        Raises:
            ServiceError: a decoding process does not start.
        """
        decoded = [self._decode(clip) for clip in block.clips]
        errors = [each if isinstance(each, Exception) else None for each in decoded]
        return errors, [None if isinstance(each, Exception) else each for each in decoded]

    def close(self) -> None:
        """Kill the idle decoding processes; they would end with this process too."""
        while not self._idle.empty():
            self._idle.get_nowait().kill()

    def _decode(self, clip: ClipToEmbed) -> DecodedWindows | Exception:
        """The windows of a clip, or why it can't be used."""
        config = self._config
        decoder = self._started_decoder()
        try:
            with clip.path.open("rb") as video:
                require_content(clip)
                time_range = TimeRange(clip.start_s, clip.end_s)
                decoded = decoder.decode_windows(video.fileno(), config.windowing, config.video_limits, time_range)
        except (VideoTooCostlyError, VideoUndecodableError) as error:
            decoder.kill()
            return error
        except (VideoError, OSError) as error:
            self._release(decoder)
            return error
        except BaseException:
            decoder.kill()
            raise
        self._release(decoder)
        return decoded

    def _started_decoder(self) -> Decoder:
        """An idle decoder; a new one if there is none."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            decoder = Decoder(self._config.decoder_limits)
        try:
            decoder.start()
        except (VideoTooCostlyError, VideoUndecodableError) as error:  # there is no video yet that could be the cause
            decoder.kill()
            raise ServiceError(f"a decoding process does not start on {self._node}: {error}") from error
        return decoder

    def _release(self, decoder: Decoder) -> None:
        if decoder.num_done < VIDEOS_PER_PROCESS:
            self._idle.put(decoder)
        else:
            decoder.kill()


class EncodingWorker:
    """Encodes the windows of blocks, one block after the other."""

    def __init__(self, config: WorkerConfig, node: str, *, is_gpu: bool) -> None:
        self._config = config
        self._node = node
        self._is_gpu = is_gpu
        self._embedder: Embedder | None = None

    def prepare(self) -> None:
        """Verify the node and open the encoder.

        Raises:
            ClusterError: the node would not give the same embeddings as the driver.
            ModelError: the encoder can't be used here.
        """
        config = self._config
        verify_node(config, self._node)
        if config.provider == "tensorrt":
            config.engines.mkdir(parents=True, exist_ok=True)
        encoder = OnnxEncoder(
            config.encoder,
            provider=config.provider,
            threads=config.threads,
            gpu_memory_bytes=config.gpu_memory_bytes,
            engines=config.engines,
        )
        if self._is_gpu:
            encoder.warm()
        self._embedder = Embedder(encoder, limits=config.video_limits)
        assert self._embedder.settings == config.settings

    def encode(
        self, block: ClipBlock, errors: Sequence[Exception | None], windows: Sequence[DecodedWindows | None]
    ) -> list[ClipResult]:
        """Embed the clips of a decoded block; the other arguments are what `DecodingWorker.decode` returned for it."""
        assert self._embedder is not None
        decoded = [each if error is None else error for each, error in zip(windows, errors, strict=True)]
        numbered = [(number, each) for number, each in zip(block.numbers, decoded, strict=True) if each is not None]
        return list(bulk.embed_decoded(numbered, self._embedder))


class OtherContentError(OSError):
    """A file has changed since it was hashed."""


def require_content(clip: ClipToEmbed) -> None:
    """Make sure that a file is the one that the driver has hashed.

    Raises:
        OtherContentError: it is another one.
        OSError: it can't be read.
    """
    state = clip.path.stat()
    if clip.sha256 is not None and _sha256(clip.path, state.st_mtime_ns, state.st_size) != clip.sha256:
        raise OtherContentError("the video changed while it was being indexed; index again")


@lru_cache(maxsize=1000)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Of a file, which is read once for all its clips as long as its time and size stay the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def error_of_clip(clip: ClipToEmbed, error: Exception, node: str) -> Exception:
    """The error of a clip that a node could not decode, unless the node is at fault; called on the driver.

    Raises:
        ClusterError: the driver can read the file, and it is the one that was hashed: the node is at fault.
    """
    if not isinstance(error, OSError):
        return error
    try:
        require_content(clip)
    except OSError as here:
        return here
    raise ClusterError(
        f"{node} can't read {clip.path} as this machine does: {error}. Mount the same shared folder at the same path on"
        " every node, then run the command again: what was embedded is kept"
    ) from error
