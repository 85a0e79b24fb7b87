"""Encoder, active dictionary and jobs of one replica, and what requests and commands do with them."""

import logging
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from app.decoding.limits import bulk_decoder_limits
from app.encoder import WarmableEncoder, open_encoder
from app.errors import NotReadyError, SourceUnsetError, VideoMissingError
from app.indexing import bulk
from app.indexing.bulk import EmbedClips
from app.indexing.reindex import ReindexMode, reindex
from app.progress import ProgressCallback
from app.replica.active_snapshot import ActiveSnapshot
from app.replica.coordination import CoordinationStore, Job
from app.replica.index_health import IndexHealthMonitor
from app.replica.index_server import make_index_server
from app.replica.jobs import JobRunner
from app.settings import Settings
from index import snapshot
from index.cache import EmbeddingCache
from index.dictionary import Dictionary
from index.errors import IndexAwayError, IndexServerError
from index.gpu_index import require_gpu
from index.milvus.server import MilvusServer
from index.snapshot_manifest import Manifest
from model.embed import Embedder

READY = "ready"

log = logging.getLogger(__name__)


class Services:
    """The parts that requests and commands share. No thread runs here: `app.http.lifecycle` starts them."""

    def __init__(self, settings: Settings, encoder: WarmableEncoder, server: MilvusServer | None = None) -> None:
        self.settings = settings
        self.encoder = encoder
        self._server = server
        self.active_snapshot = ActiveSnapshot(settings, encoder.info.encoder_id, server)
        self.index_monitor = (
            None
            if server is None
            else IndexHealthMonitor(server, lambda: self.active_snapshot.dictionary, self.active_snapshot.reload)
        )
        name = f"{socket.gethostname()}:{settings.port}-{secrets.token_hex(3)}"
        self.coordination = CoordinationStore(settings.coordination, name)
        self.jobs = JobRunner(
            self.coordination, lambda job, progress: self.reindex(progress, ReindexMode(job.mode), run=job.id)
        )
        self.encoder_state = "warming up"
        """`READY` once the encoder has done its first runs; or why it has not."""

    def searchable_dictionary(self) -> Dictionary:
        """The active dictionary, if it can be searched: no video should be decoded for a search that can't be answered.

        Raises:
            DictionaryEmptyError: there is none, and why.
            IndexServerError: the index server can't be used.
        """
        if error := self._index_error():
            raise error
        return self.active_snapshot.require_dictionary()

    def reindex(
        self,
        progress: ProgressCallback,
        mode: ReindexMode = ReindexMode.MISSING,
        *,
        run: str | None = None,
        embed_clips: EmbedClips = bulk.embed_clips,
    ) -> Manifest:
        """Index the dictionary folder, publish what has changed, and make the new snapshot the active one.

        Args:
            progress: callback; may raise to stop the work.
            mode: embed what is new or changed, or everything.
            run: name of this run; one that was interrupted is resumed under the same name.
            embed_clips: embeds on this machine, or on several.

        Raises:
            SourceUnsetError: no folder is set.
            SourceError: see `app.indexing.reindex.reindex`.
            SnapshotError: it could not be written, or not be read back; the active snapshot stays.
            IndexServerError: the index server does not take it; the active snapshot stays.
        """
        folder = self._folder()
        if self._server is not None:
            self._server.require_usable()  # before hours of embedding, not after
        with EmbeddingCache(self.settings.cache, run) as cache:
            manifest = reindex(
                folder,
                self.embedder(),
                snapshots=self.settings.snapshots,
                cache=cache,
                progress=progress,
                mode=mode,
                decoder_limits=bulk_decoder_limits(self.settings),
                embed_clips=embed_clips,
                server=self._server,
            )
            cache.prune(self.settings.max_cache_bytes)
        self.active_snapshot.switch_to(manifest.snapshot_id)
        return manifest

    def embedder(self) -> Embedder:
        """The embedder of dictionary clips."""
        return Embedder(self.encoder, limits=self.settings.video_limits)

    def reindex_as_job(self, progress: ProgressCallback) -> Manifest:
        """Index the dictionary folder as a job that other replicas see, in this thread.

        Args:
            progress: callback.

        Raises:
            JobRunningError: another replica does so already.
            CoordinationError: the job can't be stored.
            Exception: as `reindex`.
        """
        self._folder()
        return self.jobs.run("reindex", ReindexMode.MISSING, progress)

    def video_folder(self) -> Path:
        """The folder of the videos of the active dictionary, links resolved: the one that is set, or that was indexed.

        Raises:
            DictionaryEmptyError: there is no dictionary.
            VideoMissingError: the snapshot does not say it.
        """
        if self.settings.dictionary is not None:
            return self.settings.dictionary.resolve()
        active = self.active_snapshot.require_dictionary()
        if self.active_snapshot.source is None:
            raise VideoMissingError(
                f"snapshot {active.snapshot_id} does not say where its videos lie; set SIGNDEX_DICTIONARY"
            )
        return Path(self.active_snapshot.source).resolve()

    def start_reindex(self, mode: ReindexMode = ReindexMode.MISSING) -> Job:
        """Reindex in the background.

        Raises:
            SourceUnsetError: no folder is set.
            JobRunningError: a job is running already, here or on another replica.
            CoordinationError: the job can't be stored.
        """
        self._folder()
        return self.jobs.start("reindex", mode)

    def load(self) -> None:
        """Tidy up after a killed writer, then load the published snapshot, where there is one.

        Raises:
            IndexDeviceError: the index does not fit on the GPU.
            IndexRefusedError: the index server has something else than expected. One that is away is waited for.
        """
        for leftover in snapshot.remove_leftovers(self.settings.snapshots):
            log.warning("removed %s, which a writer that was killed left in %s", leftover, self.settings.snapshots)
        if self.index_monitor is None:
            self.active_snapshot.refresh()
        else:
            with suppress(IndexAwayError):  # `searchable_dictionary` and `require_ready` report it
                self.index_monitor.check()

    def require_ready(self, **others: str) -> None:
        """Make sure that a search would be answered, at its usual speed.

        Args:
            others: states of parts that are not known here, by name; `READY` is what they should be.

        Raises:
            NotReadyError: it would not; `members` say per part why.
        """
        checks = {
            "encoder": self.encoder_state,
            "dictionary": READY
            if self.active_snapshot.dictionary is not None
            else self.active_snapshot.unavailable_reason,
            **({} if self.index_monitor is None else {"index": str(self._index_error() or READY)}),
            **others,
        }
        if missing := [f"{part}: {state}" for part, state in checks.items() if state != READY]:
            raise NotReadyError("; ".join(missing), checks=checks)

    def _index_error(self) -> IndexServerError | None:
        """Why the index server can't be used; None where it can, or there is none."""
        return None if self.index_monitor is None else self.index_monitor.error

    def _folder(self) -> Path:
        if self.settings.dictionary is None:
            raise SourceUnsetError("no dictionary folder is set; set SIGNDEX_DICTIONARY and start the service again")
        return self.settings.dictionary


def make_services(settings: Settings, encoder: WarmableEncoder | None = None) -> Services:
    """The encoder and the index server that the settings name; no snapshot is loaded yet.

    Args:
        settings: of the service.
        encoder: instead of the one that the settings name.

    Raises:
        EncoderFileError: the encoder can't be used; the service can't do anything without.
        IndexDeviceError: the index was asked to live on a GPU and can't.
    """
    server = make_index_server(settings)
    if settings.index_device == "cuda":
        require_gpu()
    return Services(settings, encoder or open_encoder(settings), server)


def open_services(settings: Settings, encoder: WarmableEncoder | None = None) -> Services:
    """The services of a command, with the published snapshot loaded where there is one.

    Raises what `make_services` and `Services.load` raise.
    """
    services = make_services(settings, encoder)
    services.load()
    return services
