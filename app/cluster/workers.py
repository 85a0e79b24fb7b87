"""What the machines of a cluster do: cut blocks of clips into windows, and encode blocks of windows.

Each first looks whether it can give what the machine in charge would give: same code, same libraries, same encoder
file, same folder.
"""

import hashlib
import platform
import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from app import bulk
from app.bulk import Clip, EmbeddedClip
from app.decoding.decoder import CHECKOUT, CutClip, Decoder, DecoderLimits
from app.decoding.pool import VIDEOS_PER_PROCESS
from app.errors import ClusterError, ServiceError, VideoTooCostlyError, VideoUndecodableError
from app.lookup import Stretch
from model import devices
from model.cut import Cutting
from model.embed import Embedder
from model.errors import VideoError
from model.runtime import OnnxEncoder
from model.video import VideoLimits

CODE = ("app/bulk.py", "app/cluster/*.py", "app/decoding/*.py", "model/**/*.py")
"""Files of the checkout that decide what is embedded, and how work is handed out."""
LIBRARIES = ("av", "numpy", "ray")


@dataclass(frozen=True)
class Block:
    """Clips that go to one machine together."""

    numbers: tuple[int, ...]
    """Of the clips, in the order of the whole work."""
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Order:
    """What every machine has to know, and what it is compared with."""

    folder: Path
    """Of the dictionary, the same path everywhere."""
    landmark: str
    """Name of something in the folder: an empty mount point is a folder too."""
    encoder: Path
    encoder_id: str
    settings: str
    """How clips are cut, in the words of `Embedder.settings`."""
    provider: str
    threads: int
    """Of one run of the encoder on the processor, the same everywhere: they decide the last digits."""
    gpu_memory_bytes: int
    engines: Path
    cutting: Cutting
    video_limits: VideoLimits
    decoding: DecoderLimits
    software: Mapping[str, str]
    """By name: what the machine in charge runs."""


def software() -> dict[str, str]:
    """What decides the digits of an embedding besides the video and the encoder, by name."""
    installed = {name: metadata.version(name) for name in LIBRARIES if any(metadata.distributions(name=name))}
    # ONNX Runtime has two wheels, and a node that only decodes may have the one without CUDA.
    installed["onnxruntime"] = devices.wheel().version
    return {"python": platform.python_version(), **installed, "code": fingerprint(CHECKOUT)}


def fingerprint(checkout: Path) -> str:
    """12 hex digits of the code that embeds."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in CODE for path in checkout.glob(pattern)}):
        digest.update(f"{path.relative_to(checkout)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def require_fit(order: Order, node: str) -> None:
    """Make sure that this machine would give what the one in charge gives.

    Args:
        order: what it is compared with.
        node: what this machine is called in messages.

    Raises:
        ClusterError: it would not; what was seen here, and what is needed.
    """
    _require_software(order.software, node)
    if not (order.folder / order.landmark).exists():
        seen = "an empty folder, or another one, is" if order.folder.is_dir() else "nothing is"
        raise ClusterError(
            f"{node} does not see the dictionary folder: {seen} at {order.folder}, where {order.landmark!r} should be."
            " Mount the same shared folder at the same path on every node"
        )
    _require_encoder(order, node)


def _require_software(wanted: Mapping[str, str], node: str) -> None:
    here = software()
    differing = [
        f"{name} {here.get(name, 'missing')} (here {wanted.get(name, 'missing')})"
        for name in sorted({*wanted, *here})
        if here.get(name) != wanted.get(name)
    ]
    if differing:
        raise ClusterError(
            f"{node} runs other software than this machine: {', '.join(differing)}. Bring the same checkout and"
            " `uv sync --locked --group ray` to every node, then start Ray there again"
        )


def _require_encoder(order: Order, node: str) -> None:
    try:
        seen = hashlib.sha256(order.encoder.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise ClusterError(
            f"{node} can't read the encoder file: {error}. Copy it to the same path on every node (SIGNDEX_ENCODER)"
        ) from error
    if seen != order.encoder_id:
        raise ClusterError(
            f"{node} has encoder {seen} at {order.encoder}, this machine {order.encoder_id}. Copy the same file to the"
            " same path on every node"
        )


class Cutter:
    """Cuts blocks of clips into windows, in decoding processes. Its threads may cut several blocks at the same time."""

    def __init__(self, order: Order, node: str) -> None:
        self._order = order
        self._node = node
        self._free: queue.SimpleQueue[Decoder] = queue.SimpleQueue()

    def prepare(self) -> None:
        """Get ready.

        Raises:
            ClusterError: this machine is not fit for it.
        """
        require_fit(self._order, self._node)

    def cut(self, block: Block) -> tuple[list[Exception | None], list[CutClip | None]]:
        """Why each clip of a block can't be used, and the windows of those that can.

        Raises:
            ServiceError: a decoding process does not start.
        """
        cuts = [self._cut(clip) for clip in block.clips]
        errors = [cut if isinstance(cut, Exception) else None for cut in cuts]
        return errors, [None if isinstance(cut, Exception) else cut for cut in cuts]

    def close(self) -> None:
        """End the decoding processes; they would end by themselves with this one."""
        while not self._free.empty():
            self._free.get_nowait().kill()

    def _cut(self, clip: Clip) -> CutClip | Exception:
        """The windows of a clip, or why it can't be used."""
        order = self._order
        decoder = self._decoder()
        try:
            with clip.path.open("rb") as video:
                require_content(clip)
                stretch = Stretch(clip.start_s, clip.end_s)
                cut = decoder.cut(video.fileno(), order.cutting, order.video_limits, stretch)
        except (VideoTooCostlyError, VideoUndecodableError) as error:
            decoder.kill()
            return error
        except (VideoError, OSError) as error:
            self._give_back(decoder)
            return error
        except BaseException:
            decoder.kill()
            raise
        self._give_back(decoder)
        return cut

    def _decoder(self) -> Decoder:
        """A process that nobody uses, started; a new one where there is none."""
        try:
            return self._free.get_nowait()
        except queue.Empty:
            decoder = Decoder(self._order.decoding)
        try:
            decoder.start()
        except (VideoTooCostlyError, VideoUndecodableError) as error:  # no video was there yet to be blamed
            decoder.kill()
            raise ServiceError(f"a decoding process does not start on {self._node}: {error}") from error
        return decoder

    def _give_back(self, decoder: Decoder) -> None:
        if decoder.num_done < VIDEOS_PER_PROCESS:
            self._free.put(decoder)
        else:
            decoder.kill()


class BlockEncoder:
    """Encodes blocks of windows, one after the other."""

    def __init__(self, order: Order, node: str, *, is_gpu: bool) -> None:
        self._order = order
        self._node = node
        self._is_gpu = is_gpu
        self._embedder: Embedder | None = None

    def prepare(self) -> None:
        """Open the encoder.

        Raises:
            ClusterError: this machine is not fit for it.
            ModelError: the encoder can't be used here.
        """
        order = self._order
        require_fit(order, self._node)
        if order.provider == "tensorrt":
            order.engines.mkdir(parents=True, exist_ok=True)
        encoder = OnnxEncoder(
            order.encoder,
            provider=order.provider,
            threads=order.threads,
            gpu_memory_bytes=order.gpu_memory_bytes,
            engines=order.engines,
        )
        if self._is_gpu:
            encoder.warm()
        self._embedder = Embedder(encoder, limits=order.video_limits)
        assert self._embedder.settings == order.settings

    def encode(
        self, block: Block, errors: Sequence[Exception | None], cuts: Sequence[CutClip | None]
    ) -> list[EmbeddedClip]:
        """Embed the clips of a block that was cut."""
        assert self._embedder is not None
        told = [cut if error is None else error for cut, error in zip(cuts, errors, strict=True)]
        numbered = [(number, each) for number, each in zip(block.numbers, told, strict=True) if each is not None]
        return list(bulk.encode_cuts(numbered, self._embedder))


class OtherContentError(OSError):
    """A file is not the one that was hashed."""


def require_content(clip: Clip) -> None:
    """Make sure that a file is the one that the machine in charge has hashed.

    Raises:
        OtherContentError: it is another one.
        OSError: it can't be read.
    """
    state = clip.path.stat()
    if clip.sha256 is not None and _sha256(clip.path, state.st_mtime_ns, state.st_size) != clip.sha256:
        raise OtherContentError("the video changed while it was being indexed; index again")


@lru_cache(maxsize=1000)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Of a file, read once however many clips it shows; time and size tell one state of it from another."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blamed(clip: Clip, error: Exception, node: str) -> Exception:
    """Whose fault it is that a machine could not read a clip: of the clip, then the error is given back.

    Raises:
        ClusterError: of the machine; this one can read it, and it is the file that was hashed.
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
