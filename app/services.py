"""What lives as long as the service: the encoder, the dictionary in use, the jobs."""

import logging
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path

from app import bulk
from app.board import Board, Job
from app.bulk import EmbedClips
from app.decoding.pool import DecoderPool
from app.errors import NotReadyError, SourceUnsetError, VideoMissingError
from app.failures import FailureLimit
from app.index_watch import IndexWatch
from app.jobs import Jobs
from app.opening import WarmableEncoder, bulk_decoding, open_encoder, open_server, query_decoding
from app.progress import Progress
from app.published import Published
from app.reindex import Mode, rebuild
from app.repeated import Repeated
from app.settings import Settings
from index import snapshot
from index.cache import EmbeddingCache
from index.dictionary import Dictionary
from index.errors import IndexAwayError, IndexServerError
from index.gpu_index import require_gpu
from index.milvus_server import MilvusServer
from index.snapshot import Manifest
from model.embed import Embedder

WRONG_KEYS, WRONG_KEY_EVERY_S = 10, 6.0
"""Admin keys that one client may guess: so many at once, then one every so many seconds."""
COSTLY_VIDEOS = 5
"""Videos of one client that may take a decoder down at once; then it is one per SIGNDEX_DECODE_S."""
READY = "ready"
FOLLOW_EVERY_S = 0.5
"""How often it is looked whether another snapshot was published."""
BEAT_EVERY_S = 1.0
"""How often other replicas are told that this one lives, and how far its job is."""

log = logging.getLogger(__name__)


class Services:
    """The parts that requests share."""

    def __init__(self, settings: Settings, encoder: WarmableEncoder, server: MilvusServer | None = None) -> None:
        self.settings = settings
        self.encoder = encoder
        self._server = server
        self.published = Published(settings, encoder.info.encoder_id, server)
        self._index_watch = (
            None if server is None else IndexWatch(server, lambda: self.published.in_use, self.published.load)
        )
        self.board = Board(settings.board, f"{socket.gethostname()}:{settings.port}-{secrets.token_hex(3)}")
        self.jobs = Jobs(self.board, lambda job, progress: self.rebuild(progress, Mode(job.mode), run=job.id))
        self.wrong_keys = FailureLimit("wrong admin keys", at_once=WRONG_KEYS, every_s=WRONG_KEY_EVERY_S)
        # One client alone can so keep one decoder busy, and no more, once it has been noticed.
        self.costly_videos = FailureLimit(
            "videos that take a decoder down", at_once=COSTLY_VIDEOS, every_s=settings.decode_s
        )
        self._repeated: list[Repeated] = []
        self._encoder_state = "warming up"
        self._warming: threading.Thread | None = None
        self._decoders: DecoderPool | None = None

    def searchable(self) -> Dictionary:
        """The dictionary in use, for a search; nobody should decode and encode for one that can't be answered.

        Raises:
            DictionaryEmptyError: there is none, and why.
            IndexServerError: the server that searches can't be used.
        """
        if error := self._index_error():
            raise error
        return self.published.dictionary()

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
        self.published.take(manifest.snapshot_id)
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

    def video_folder(self) -> Path:
        """Where the videos of the dictionary in use lie, with links followed: the set folder, or the indexed one.

        Raises:
            DictionaryEmptyError: there is no dictionary.
            VideoMissingError: the snapshot does not say it.
        """
        if self.settings.dictionary is not None:
            return self.settings.dictionary.resolve()
        used = self.published.dictionary()
        if self.published.source is None:
            raise VideoMissingError(
                f"snapshot {used.snapshot_id} does not say where its videos lie; set SIGNDEX_DICTIONARY"
            )
        return Path(self.published.source).resolve()

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
                Repeated("follow", self.published.follow, FOLLOW_EVERY_S), Repeated("beat", self._beat, BEAT_EVERY_S)
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
            self.published.load()
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
            "dictionary": READY if self.published.in_use is not None else self.published.why_none,
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

    def _beat(self) -> None:
        """Tell the other replicas of this one, and hear from them."""
        self.board.beat(self.published.snapshot_id)
        self.jobs.beat()

    def _index_error(self) -> IndexServerError | None:
        """Why the server that searches can't be used; None where it can, or there is none."""
        return None if self._index_watch is None else self._index_watch.error

    def _new_decoders(self) -> DecoderPool:
        return DecoderPool(self.settings.decoders, query_decoding(self.settings), self.encoder.info.estimator)

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
        services.published.follow()
    else:
        with suppress(IndexAwayError):  # `searchable` and `require_ready` tell of it
            services.look_after_index()
    return services
