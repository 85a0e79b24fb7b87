"""The active snapshot, loaded; where a newly published one can't be loaded, the one before stays active."""

import gc
import logging
import threading

from app.errors import DictionaryEmptyError
from app.settings import Settings
from index import snapshot, snapshot_manifest
from index.dictionary import Dictionary
from index.errors import (
    EncoderMismatchError,
    IndexServerError,
    SnapshotDamagedError,
    SnapshotError,
    SnapshotMissingError,
)
from index.milvus.server import MilvusServer

FILL_COMMAND = "python -m app index build DIR"

log = logging.getLogger(__name__)


class ActiveSnapshot:
    """Loads what any process publishes. A search keeps the dictionary it began with, whatever is loaded meanwhile."""

    def __init__(self, settings: Settings, encoder_id: str, server: MilvusServer | None = None) -> None:
        """Load nothing yet.

        Args:
            settings: where snapshots lie, and on what device they are searched.
            encoder_id: of the encoder that queries are encoded with.
            server: the index server that searches, if it is not this process.
        """
        self._settings = settings
        self._encoder_id = encoder_id
        self._server = server
        self._dictionary: Dictionary | None = None
        self._swap_lock = threading.Lock()
        """Held from reading CURRENT to the swap: the snapshot published last is the active one."""
        self.rejected: str | None = None
        """The snapshot published last, where it can't be used."""
        self.unavailable_reason = "nothing was loaded yet"
        self.source: str | None = None
        """The folder that the active dictionary was indexed from."""

    @property
    def dictionary(self) -> Dictionary | None:
        """The active dictionary, if there is one."""
        return self._dictionary

    @property
    def snapshot_id(self) -> str | None:
        """Of the active dictionary."""
        return self._dictionary.snapshot_id if self._dictionary is not None else None

    def require_dictionary(self) -> Dictionary:
        """The active dictionary.

        Raises:
            DictionaryEmptyError: there is none, and why.
        """
        if self._dictionary is None:
            raise DictionaryEmptyError(self.unavailable_reason)
        return self._dictionary

    def refresh(self) -> None:
        """Load the published snapshot if it is not the active one, whichever process has published it.

        Where it can't be loaded, the active one stays, and the reason is kept for whoever asks.

        Raises:
            IndexDeviceError: the device of the index can't take it.
            IndexServerError: the index server can't be used; the next call tries again.
        """
        with self._swap_lock:
            published = self._published_id()
            if published not in (self.snapshot_id, self.rejected):
                self.rejected = published  # until it turns out to be usable
                try:
                    self._load_published()
                except IndexServerError:
                    self.rejected = None
                    raise

    def reload(self) -> None:
        """Load the published snapshot again, even if it is active; otherwise as `refresh`."""
        with self._swap_lock:
            self._load_published()

    def switch_to(self, snapshot_id: str) -> None:
        """Make a snapshot that was just published the active one, unless it is already.

        Raises:
            SnapshotError: it can't be read; the active one stays.
            IndexServerError: the index server can't be used.
        """
        with self._swap_lock:
            if self.snapshot_id != snapshot_id:
                gc.collect()  # garbage that is still there when `_swap` freezes everything would never be freed
                self._swap(self._load(snapshot_id))

    def activate(self, snapshot_id: str) -> Dictionary:
        """Publish another snapshot on disk, older or newer; searches under way end with the one they started with.

        Raises:
            SnapshotMissingError: there is no snapshot of this id.
            SnapshotDamagedError: it is not what was published.
            EncoderMismatchError: another encoder made it.
            SnapshotWriteError: the disk did not take the change.
            IndexServerError: the index server can't be used.
        """
        with self._swap_lock:
            gc.collect()
            activated = snapshot.activate(
                self._settings.snapshots,
                snapshot_id,
                encoder_id=self._encoder_id,
                device=self._settings.index_device,
                server=self._server,
            )
            self._swap(activated)
        return activated

    def _published_id(self) -> str | None:
        """What CURRENT names, or what is wrong with it; None where nothing was published."""
        try:
            return snapshot_manifest.current_id(self._settings.snapshots)
        except SnapshotMissingError as error:
            self.unavailable_reason = f"the dictionary is empty: {error}; fill it with `{FILL_COMMAND}`"
            return None
        except SnapshotDamagedError as error:
            return str(error)

    def _load_published(self) -> None:
        if self._dictionary is not None:
            gc.collect()  # as in `switch_to`
        try:
            loaded = self._load()
            loaded.require_encoder(self._encoder_id)
            self._swap(loaded)
        except SnapshotMissingError as error:
            self.unavailable_reason = f"the dictionary is empty: {error}; fill it with `{FILL_COMMAND}`"
        except IndexServerError as error:
            self.unavailable_reason = f"the dictionary can't be loaded: {error}"
            raise
        except (SnapshotError, EncoderMismatchError) as error:
            self.unavailable_reason = f"the dictionary was refused: {error}; `{FILL_COMMAND}` does so"
            log.warning("%s", self.unavailable_reason)
        else:
            for note in loaded.notes:
                log.warning("%s", note)

    def _swap(self, loaded: Dictionary) -> None:
        """Make a loaded dictionary the active one."""
        manifest = snapshot_manifest.read_manifest(self._settings.snapshots / loaded.snapshot_id)
        self.source = manifest.report.get("source")
        self._dictionary = loaded
        self.rejected = None
        # It holds no cycles and lives long: no search should wait for the garbage collector to traverse it.
        gc.freeze()

    def _load(self, snapshot_id: str | None = None) -> Dictionary:
        """A snapshot, by default the published one, searched where the settings say."""
        return snapshot.load(
            self._settings.snapshots, snapshot_id, device=self._settings.index_device, server=self._server
        )
