"""What lives as long as the service: the encoder, the dictionary in use, the jobs."""

import gc
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from app.decoding.decoder import DecoderLimits
from app.decoding.pool import DecoderPool
from app.errors import DictionaryEmptyError, NotReadyError, SourceUnsetError
from app.failures import FailureLimit
from app.jobs import Job, Jobs
from app.progress import Progress
from app.reindex import Mode, rebuild
from app.settings import POSE, Settings
from index import snapshot
from index.cache import EmbeddingCache
from index.dictionary import Dictionary
from index.errors import EncoderMismatchError, SnapshotError, SnapshotMissingError
from index.gpu_index import require_gpu
from index.snapshot import Manifest
from model.devices import Device
from model.embed import Embedder
from model.encoder import Encoder
from model.errors import ProviderError
from model.runtime import half_beside
from model.skeleton.encoders import BoneEncoder, open_file
from model.skeleton.estimator import MEDIAPIPE, require_mediapipe

FILL_COMMAND = "python -m app index build DIR"
WRONG_KEYS, WRONG_KEY_EVERY_S = 10, 6.0
"""Admin keys that one client may guess: so many at once, then one every so many seconds."""
COSTLY_VIDEOS = 5
"""Videos of one client that may take a decoder down at once; then it is one per SIGNDEX_DECODE_S."""
READY = "ready"
PATIENCE = 10
"""How many times as long as a query's video one of the dictionary may take to decode: nobody waits for it."""

log = logging.getLogger(__name__)


class WarmableEncoder(Encoder, Protocol):
    """An encoder that can do its first, slow runs before anybody waits for them."""

    def warm(self) -> None:
        """Run every batch size once."""
        ...


class Services:
    """The parts that requests share. A search works on the dictionary it started with, whatever is loaded meanwhile."""

    def __init__(self, settings: Settings, encoder: WarmableEncoder) -> None:
        self.settings = settings
        self.encoder = encoder
        self.jobs = Jobs()
        self.wrong_keys = FailureLimit("wrong admin keys", at_once=WRONG_KEYS, every_s=WRONG_KEY_EVERY_S)
        # One client alone can so keep one decoder busy, and no more, once it has been noticed.
        self.costly_videos = FailureLimit(
            "videos that take a decoder down", at_once=COSTLY_VIDEOS, every_s=settings.decode_s
        )
        self._decoding = DecoderLimits(memory_bytes=settings.decode_mb * 1_000_000, seconds=settings.decode_s)
        self._dictionary: Dictionary | None = None
        self._why_none = "nothing was loaded yet"
        self._encoder_state = "warming up"
        self._warming: threading.Thread | None = None
        self._decoders: DecoderPool | None = None

    def load(self) -> None:
        """Take the published snapshot into use; where that can't be done, keep the reason for whoever asks."""
        try:
            loaded = snapshot.load(self.settings.snapshots, device=self.settings.index_device)
            loaded.require_encoder(self.encoder.info.encoder_id)
        except SnapshotMissingError as error:
            self._why_none = f"the dictionary is empty: {error}; fill it with `{FILL_COMMAND}`"
        except (SnapshotError, EncoderMismatchError) as error:
            self._why_none = f"the dictionary was refused: {error}; `{FILL_COMMAND}` does so"
            log.warning("%s", self._why_none)
        else:
            for note in loaded.notes:
                log.warning("%s", note)
            self._use(loaded)

    def dictionary(self) -> Dictionary:
        """The dictionary in use.

        Raises:
            DictionaryEmptyError: there is none, and why.
        """
        if self._dictionary is None:
            raise DictionaryEmptyError(self._why_none)
        return self._dictionary

    def rebuild(self, progress: Progress, mode: Mode = Mode.MISSING) -> Manifest:
        """Index the dictionary folder, publish what has changed, and take the new snapshot into use.

        Args:
            progress: is told how far it is; may raise to stop the work.
            mode: embed what is new or changed, or everything.

        Raises:
            SourceUnsetError: no folder is set.
            SourceError: see `reindex.rebuild`.
            SnapshotError: it could not be written, or not be read back; what was in use stays.
        """
        folder = self._folder()
        embedder = Embedder(self.encoder, limits=self.settings.video_limits)
        with EmbeddingCache(self.settings.cache) as cache:
            manifest = rebuild(
                folder,
                embedder,
                snapshots=self.settings.snapshots,
                cache=cache,
                progress=progress,
                mode=mode,
                decoding=replace(self._decoding, seconds=PATIENCE * self._decoding.seconds),
            )
            cache.prune(self.settings.max_cache_bytes)
        if self._dictionary is None or self._dictionary.snapshot_id != manifest.snapshot_id:
            gc.collect()  # of what lies about when `_use` freezes everything, nothing would ever be found again
            self._use(snapshot.load(self.settings.snapshots, manifest.snapshot_id, device=self.settings.index_device))
        return manifest

    def activate(self, snapshot_id: str) -> Dictionary:
        """Go back, or forth, to another snapshot on disk; searches that run end with the one they started with.

        Raises:
            SnapshotMissingError: there is no snapshot of this id.
            SnapshotDamagedError: it is not what was published.
            EncoderMismatchError: another encoder made it.
            SnapshotWriteError: the disk did not take the change.
        """
        gc.collect()
        activated = snapshot.activate(
            self.settings.snapshots,
            snapshot_id,
            encoder_id=self.encoder.info.encoder_id,
            device=self.settings.index_device,
        )
        self._use(activated)
        return activated

    def video_folder(self) -> Path:
        """Where the videos of the dictionary in use lie, with links followed: the set folder, or the indexed one.

        Raises:
            DictionaryEmptyError: there is no dictionary.
        """
        if self.settings.dictionary is not None:
            return self.settings.dictionary.resolve()
        used = self.dictionary()
        return Path(snapshot.read_manifest(self.settings.snapshots / used.snapshot_id).report["source"]).resolve()

    def start_reindex(self, mode: Mode = Mode.MISSING) -> Job:
        """Rebuild in the background.

        Raises:
            SourceUnsetError: no folder is set.
            JobRunningError: a job is running already.
        """
        self._folder()
        return self.jobs.start("reindex", lambda progress: self.rebuild(progress, mode).snapshot_id)

    def start_warming(self) -> None:
        """Warm the encoder in the background, if that has not begun yet."""
        if self._warming is None:
            self._warming = threading.Thread(target=self._warm, name="warm-up")
            self._warming.start()

    def start_decoders(self) -> None:
        """Start the processes that decode query videos; they get ready beside whatever else there is to do."""
        self._decoders = self._new_decoders()

    def take_decoders(self) -> DecoderPool:
        """The decoders, which are the caller's from now on; those that were started already, where there are any."""
        taken, self._decoders = self._decoders or self._new_decoders(), None
        return taken

    def require_ready(self, **others: str) -> None:
        """Make sure that a search would be answered, at its usual speed.

        Args:
            others: states of parts that are not known here, by name; `READY` is what they should be.

        Raises:
            NotReadyError: it would not; `members` say per part why.
        """
        checks = {
            "encoder": self._encoder_state,
            "dictionary": READY if self._dictionary is not None else self._why_none,
            **others,
        }
        if missing := [f"{part}: {state}" for part, state in checks.items() if state != READY]:
            raise NotReadyError("; ".join(missing), checks=checks)

    def close(self) -> None:
        """Stop the background work and wait for it."""
        self.jobs.close()
        if self._decoders is not None:
            self._decoders.close()
        if self._warming is not None:
            self._warming.join()

    def _use(self, loaded: Dictionary) -> None:
        """Take a dictionary into use."""
        self._dictionary = loaded
        # It holds no cycles and stays for long: no search should wait until it was looked through for garbage.
        gc.freeze()

    def _new_decoders(self) -> DecoderPool:
        return DecoderPool(self.settings.decoders, self._decoding, self.encoder.info.estimator)

    def _folder(self) -> Path:
        if self.settings.dictionary is None:
            raise SourceUnsetError("no dictionary folder is set; set SIGNDEX_DICTIONARY and start the service again")
        return self.settings.dictionary

    def _warm(self) -> None:
        try:
            self.encoder.warm()
        except Exception as error:
            log.exception("the encoder could not be warmed up")
            self._encoder_state = f"failed at its first run: {error}"
        else:
            self._encoder_state = READY


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


def open_services(settings: Settings, encoder: WarmableEncoder | None = None, *, warm: bool = False) -> Services:
    """Open the encoder, tidy up after a killed writer and load the published snapshot, where there is one.

    Args:
        settings: of the service.
        encoder: instead of the one that the settings name.
        warm: begin to warm the encoder and start the decoders, beside the loading.

    Raises:
        EncoderFileError: the encoder can't be used; the service can't do anything without.
        IndexDeviceError: the index was asked to live on a GPU and can't.
    """
    if settings.index_device == "cuda":
        require_gpu()
    opened = encoder or open_encoder(settings)
    services = Services(settings, opened)
    if warm:
        services.start_decoders()
        services.start_warming()
    for leftover in snapshot.clean(settings.snapshots):
        log.warning("removed %s, which a writer that was killed left in %s", leftover, settings.snapshots)
    services.load()
    return services
