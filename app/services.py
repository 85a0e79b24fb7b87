"""What lives as long as the service: the encoder, the dictionary in use, the jobs."""

import gc
import logging
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from app import bulk
from app.board import Board, Job
from app.bulk import EmbedClips
from app.decoding.decoder import DecoderLimits
from app.decoding.pool import DecoderPool
from app.errors import DictionaryEmptyError, NotReadyError, SourceUnsetError, VideoMissingError
from app.failures import FailureLimit
from app.index_watch import IndexWatch
from app.jobs import Jobs
from app.progress import Progress
from app.reindex import Mode, rebuild
from app.repeated import Repeated
from app.settings import POSE, Settings
from index import snapshot
from index.cache import EmbeddingCache
from index.dictionary import Dictionary
from index.errors import (
    EncoderMismatchError,
    IndexAwayError,
    IndexDeviceError,
    IndexServerError,
    SnapshotDamagedError,
    SnapshotError,
    SnapshotMissingError,
)
from index.gpu_index import require_gpu
from index.in_use import InUse
from index.milvus_connection import Address, Connection
from index.milvus_server import MilvusServer
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
FOLLOW_EVERY_S = 0.5
"""How often it is looked whether another snapshot was published."""
BEAT_EVERY_S = 1.0
"""How often other replicas are told that this one lives, and how far its job is."""
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

    def __init__(self, settings: Settings, encoder: WarmableEncoder, server: MilvusServer | None = None) -> None:
        self.settings = settings
        self.encoder = encoder
        self._server = server
        self._index_watch = None if server is None else IndexWatch(server, lambda: self._dictionary, self.load)
        self.board = Board(settings.board, f"{socket.gethostname()}:{settings.port}-{secrets.token_hex(3)}")
        self.jobs = Jobs(self.board, lambda job, progress: self.rebuild(progress, Mode(job.mode), run=job.id))
        self.wrong_keys = FailureLimit("wrong admin keys", at_once=WRONG_KEYS, every_s=WRONG_KEY_EVERY_S)
        # One client alone can so keep one decoder busy, and no more, once it has been noticed.
        self.costly_videos = FailureLimit(
            "videos that take a decoder down", at_once=COSTLY_VIDEOS, every_s=settings.decode_s
        )
        self._decoding = DecoderLimits(memory_bytes=settings.decode_mb * 1_000_000, seconds=settings.decode_s)
        self._dictionary: Dictionary | None = None
        self._source: str | None = None
        """The folder that the dictionary in use was made of."""
        self._swapping = threading.Lock()
        """Held from reading what is published to taking it into use: the last one published is the one in use."""
        self._refused: str | None = None
        """What was published last and can't be used."""
        self._repeated: list[Repeated] = []
        self._why_none = "nothing was loaded yet"
        self._encoder_state = "warming up"
        self._warming: threading.Thread | None = None
        self._decoders: DecoderPool | None = None

    def follow(self) -> None:
        """Take the published snapshot into use where it is not in use yet, whichever process has published it.

        Where that can't be done, what is in use stays, and the reason is kept for whoever asks.

        Raises:
            IndexDeviceError: the device of the index can't take it.
            IndexServerError: the server that searches can't be used; it is tried again when it is asked next.
        """
        with self._swapping:
            published = self._published()
            if published not in (self.snapshot_id, self._refused):
                self._refused = published  # until it turns out to be usable
                try:
                    self._load()
                except IndexServerError:
                    self._refused = None
                    raise

    @property
    def snapshot_id(self) -> str | None:
        """Of the dictionary in use."""
        return self._dictionary.snapshot_id if self._dictionary is not None else None

    def load(self) -> None:
        """Take the published snapshot into use anew, even if it is in use; as `follow` otherwise."""
        with self._swapping:
            self._load()

    def dictionary(self) -> Dictionary:
        """The dictionary in use.

        Raises:
            DictionaryEmptyError: there is none, and why.
        """
        if self._dictionary is None:
            raise DictionaryEmptyError(self._why_none)
        return self._dictionary

    def searchable(self) -> Dictionary:
        """The dictionary in use, for a search; nobody should decode and encode for one that can't be answered.

        Raises:
            DictionaryEmptyError: there is none, and why.
            IndexServerError: the server that searches can't be used.
        """
        if error := self._index_error():
            raise error
        return self.dictionary()

    def rebuild(
        self,
        progress: Progress,
        mode: Mode = Mode.MISSING,
        *,
        run: str | None = None,
        embed_clips: EmbedClips = bulk.embed_clips,
    ) -> Manifest:
        """Index the dictionary folder, publish what has changed, and take the new snapshot into use.

        Args:
            progress: is told how far it is; may raise to stop the work.
            mode: embed what is new or changed, or everything.
            run: what this work is called; where it was begun under the same name, it goes on from there.
            embed_clips: who embeds: this machine, or several.

        Raises:
            SourceUnsetError: no folder is set.
            SourceError: see `reindex.rebuild`.
            SnapshotError: it could not be written, or not be read back; what was in use stays.
            IndexServerError: the server that searches does not take it; what was in use stays.
        """
        folder = self._folder()
        if self._server is not None:
            self._server.require_usable()  # before hours of embedding, not after
        with EmbeddingCache(self.settings.cache, run) as cache:
            manifest = rebuild(
                folder,
                self.embedder(),
                snapshots=self.settings.snapshots,
                cache=cache,
                progress=progress,
                mode=mode,
                decoding=bulk_decoding(self.settings),
                embed_clips=embed_clips,
                server=self._server,
            )
            cache.prune(self.settings.max_cache_bytes)
        with self._swapping:
            if self.snapshot_id != manifest.snapshot_id:
                gc.collect()  # of what lies about when `_use` freezes everything, nothing would ever be found again
                self._use(self._loaded(manifest.snapshot_id))
        return manifest

    def embedder(self) -> Embedder:
        """What embeds the clips of the dictionary."""
        return Embedder(self.encoder, limits=self.settings.video_limits)

    def fill(self, shown: Progress) -> Manifest:
        """Index the dictionary folder as a job that other replicas see, in this thread.

        Args:
            shown: is told how far it is.

        Raises:
            JobRunningError: another replica is at it.
            BoardError: the job can't be written down.
            Exception: as `rebuild`.
        """
        self._folder()
        return self.jobs.do("reindex", Mode.MISSING, shown)

    def activate(self, snapshot_id: str) -> Dictionary:
        """Go back, or forth, to another snapshot on disk; searches that run end with the one they started with.

        Raises:
            SnapshotMissingError: there is no snapshot of this id.
            SnapshotDamagedError: it is not what was published.
            EncoderMismatchError: another encoder made it.
            SnapshotWriteError: the disk did not take the change.
            IndexServerError: the server that searches can't be used.
        """
        with self._swapping:
            gc.collect()
            activated = snapshot.activate(
                self.settings.snapshots,
                snapshot_id,
                encoder_id=self.encoder.info.encoder_id,
                device=self.settings.index_device,
                server=self._server,
            )
            self._use(activated)
        return activated

    def video_folder(self) -> Path:
        """Where the videos of the dictionary in use lie, with links followed: the set folder, or the indexed one.

        Raises:
            DictionaryEmptyError: there is no dictionary.
            VideoMissingError: the snapshot does not say it.
        """
        if self.settings.dictionary is not None:
            return self.settings.dictionary.resolve()
        used = self.dictionary()
        if self._source is None:
            raise VideoMissingError(
                f"snapshot {used.snapshot_id} does not say where its videos lie; set SIGNDEX_DICTIONARY"
            )
        return Path(self._source).resolve()

    def start_reindex(self, mode: Mode = Mode.MISSING) -> Job:
        """Rebuild in the background.

        Raises:
            SourceUnsetError: no folder is set.
            JobRunningError: a job is running already, here or on another replica.
            BoardError: the job can't be written down.
        """
        self._folder()
        return self.jobs.start("reindex", mode)

    def start_following(self) -> None:
        """From now on use what any process publishes, and take part in the jobs of all replicas."""
        if not self._repeated:
            self._repeated = [
                Repeated("follow", self.follow, FOLLOW_EVERY_S), Repeated("beat", self._beat, BEAT_EVERY_S)
            ]  # fmt: skip

    def start_warming(self) -> None:
        """Warm the encoder in the background, if that has not begun yet."""
        if self._warming is None:
            self._warming = threading.Thread(target=self._warm, name="warm-up")
            self._warming.start()

    def look_after_index(self) -> None:
        """Look whether the server that searches can be used, load what was published, and note how it went.

        Raises:
            IndexServerError: it can't be used.
        """
        if self._index_watch is None:
            self.load()
        else:
            self._index_watch.look()

    def start_watching(self) -> None:
        """Look after the server that searches in the background, where there is one."""
        if self._index_watch is not None:
            self._index_watch.start()

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
            **({} if self._index_watch is None else {"index": str(self._index_error() or READY)}),
            **others,
        }
        if missing := [f"{part}: {state}" for part, state in checks.items() if state != READY]:
            raise NotReadyError("; ".join(missing), checks=checks)

    def close(self) -> None:
        """Stop the background work and wait for it."""
        self.jobs.close()  # the last steps of a job may take long: until then this replica lives
        for repeated in self._repeated:
            repeated.close()
        self.board.leave()
        if self._index_watch is not None:
            self._index_watch.close()
        if self._decoders is not None:
            self._decoders.close()
        if self._warming is not None:
            self._warming.join()

    def _published(self) -> str | None:
        """What CURRENT names, or what is wrong with it; None where nothing was published."""
        try:
            return snapshot.current_id(self.settings.snapshots)
        except SnapshotMissingError as error:
            self._why_none = f"the dictionary is empty: {error}; fill it with `{FILL_COMMAND}`"
            return None
        except SnapshotDamagedError as error:
            return str(error)

    def _load(self) -> None:
        if self._dictionary is not None:
            gc.collect()  # as in `rebuild`
        try:
            loaded = self._loaded()
            loaded.require_encoder(self.encoder.info.encoder_id)
            self._use(loaded)
        except SnapshotMissingError as error:
            self._why_none = f"the dictionary is empty: {error}; fill it with `{FILL_COMMAND}`"
        except IndexServerError as error:
            self._why_none = f"the dictionary can't be loaded: {error}"
            raise
        except (SnapshotError, EncoderMismatchError) as error:
            self._why_none = f"the dictionary was refused: {error}; `{FILL_COMMAND}` does so"
            log.warning("%s", self._why_none)
        else:
            for note in loaded.notes:
                log.warning("%s", note)

    def _beat(self) -> None:
        """Tell the other replicas of this one, and hear from them."""
        self.board.beat(self.snapshot_id)
        self.jobs.beat()

    def _use(self, loaded: Dictionary) -> None:
        """Take a dictionary into use."""
        manifest = snapshot.read_manifest(self.settings.snapshots / loaded.snapshot_id)
        self._source = manifest.report.get("source")
        self._dictionary = loaded
        self._refused = None
        # It holds no cycles and stays for long: no search should wait until it was looked through for garbage.
        gc.freeze()

    def _loaded(self, snapshot_id: str | None = None) -> Dictionary:
        """A snapshot, the current one unless told otherwise, searched where the settings say."""
        return snapshot.load(
            self.settings.snapshots, snapshot_id, device=self.settings.index_device, server=self._server
        )

    def _index_error(self) -> IndexServerError | None:
        """Why the server that searches can't be used; None where it can, or there is none."""
        return None if self._index_watch is None else self._index_watch.error

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


def open_services(settings: Settings, encoder: WarmableEncoder | None = None, *, warm: bool = False) -> Services:
    """Open the encoder, tidy up after a killed writer and load the published snapshot, where there is one.

    Args:
        settings: of the service.
        encoder: instead of the one that the settings name.
        warm: begin to warm the encoder and start the decoders, beside the loading.

    Raises:
        EncoderFileError: the encoder can't be used; the service can't do anything without.
        IndexDeviceError: the index was asked to live on a GPU and can't.
        IndexRefusedError: the server that searches has something else than expected. One that is away is waited for.
    """
    server = open_server(settings)
    if settings.index_device == "cuda":
        require_gpu()
    opened = encoder or open_encoder(settings)
    services = Services(settings, opened, server)
    if warm:
        services.start_decoders()
        services.start_warming()
    for leftover in snapshot.clean(settings.snapshots):
        log.warning("removed %s, which a writer that was killed left in %s", leftover, settings.snapshots)
    if server is None:
        services.follow()
    else:
        with suppress(IndexAwayError):  # `searchable` and `require_ready` tell of it
            services.look_after_index()
    return services
