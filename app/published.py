"""The dictionary in use: what is published, loaded; what was in use stays wherever that can't be done."""

import gc
import logging
import threading

from app.errors import DictionaryEmptyError
from app.settings import Settings
from index import snapshot
from index.dictionary import Dictionary
from index.errors import (
    EncoderMismatchError,
    IndexServerError,
    SnapshotDamagedError,
    SnapshotError,
    SnapshotMissingError,
)
from index.milvus_server import MilvusServer

FILL_COMMAND = "python -m app index build DIR"

log = logging.getLogger(__name__)


class Published:
    """Loads what any process publishes. A search works on the dictionary it took, whatever is loaded meanwhile."""

    def __init__(self, settings: Settings, encoder_id: str, server: MilvusServer | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            settings: where snapshots lie, and on what device they are searched.
            encoder_id: of the encoder that queries are encoded with.
            server: that searches, if it is not this process.
        """
        self._settings = settings
        self._encoder_id = encoder_id
        self._server = server
        self._dictionary: Dictionary | None = None
        self._swapping = threading.Lock()
        """Held from reading what is published to taking it into use: the last one published is the one in use."""
        self.refused: str | None = None
        """What was published last and can't be used."""
        self.why_none = "nothing was loaded yet"
        self.source: str | None = None
        """The folder that the dictionary in use was made of."""

    @property
    def in_use(self) -> Dictionary | None:
        """The dictionary in use, where there is one."""
        return self._dictionary

    @property
    def snapshot_id(self) -> str | None:
        """Of the dictionary in use."""
        return self._dictionary.snapshot_id if self._dictionary is not None else None

    def dictionary(self) -> Dictionary:
        """The dictionary in use.

        Raises:
            DictionaryEmptyError: there is none, and why.
        """
        if self._dictionary is None:
            raise DictionaryEmptyError(self.why_none)
        return self._dictionary

    def follow(self) -> None:
        """Take the published snapshot into use where it is not in use yet, whichever process has published it.

        Where that can't be done, what is in use stays, and the reason is kept for whoever asks.

        Raises:
            IndexDeviceError: the device of the index can't take it.
            IndexServerError: the server that searches can't be used; it is tried again when it is asked next.
        """
        with self._swapping:
            named = self._named()
            if named not in (self.snapshot_id, self.refused):
                self.refused = named  # until it turns out to be usable
                try:
                    self._load()
                except IndexServerError:
                    self.refused = None
                    raise

    def load(self) -> None:
        """Take the published snapshot into use anew, even if it is in use; as `follow` otherwise."""
        with self._swapping:
            self._load()

    def take(self, snapshot_id: str) -> None:
        """Take a snapshot that was just published into use, unless it is.

        Raises:
            SnapshotError: it can't be read; what was in use stays.
            IndexServerError: the server that searches can't be used.
        """
        with self._swapping:
            if self.snapshot_id != snapshot_id:
                gc.collect()  # of what lies about when `_use` freezes everything, nothing would ever be found again
                self._use(self._loaded(snapshot_id))

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
                self._settings.snapshots,
                snapshot_id,
                encoder_id=self._encoder_id,
                device=self._settings.index_device,
                server=self._server,
            )
            self._use(activated)
        return activated

    def _named(self) -> str | None:
        """What CURRENT names, or what is wrong with it; None where nothing was published."""
        try:
            return snapshot.current_id(self._settings.snapshots)
        except SnapshotMissingError as error:
            self.why_none = f"the dictionary is empty: {error}; fill it with `{FILL_COMMAND}`"
            return None
        except SnapshotDamagedError as error:
            return str(error)

    def _load(self) -> None:
        if self._dictionary is not None:
            gc.collect()  # as in `take`
        try:
            loaded = self._loaded()
            loaded.require_encoder(self._encoder_id)
            self._use(loaded)
        except SnapshotMissingError as error:
            self.why_none = f"the dictionary is empty: {error}; fill it with `{FILL_COMMAND}`"
        except IndexServerError as error:
            self.why_none = f"the dictionary can't be loaded: {error}"
            raise
        except (SnapshotError, EncoderMismatchError) as error:
            self.why_none = f"the dictionary was refused: {error}; `{FILL_COMMAND}` does so"
            log.warning("%s", self.why_none)
        else:
            for note in loaded.notes:
                log.warning("%s", note)

    def _use(self, loaded: Dictionary) -> None:
        """Take a dictionary into use."""
        manifest = snapshot.read_manifest(self._settings.snapshots / loaded.snapshot_id)
        self.source = manifest.report.get("source")
        self._dictionary = loaded
        self.refused = None
        # It holds no cycles and stays for long: no search should wait until it was looked through for garbage.
        gc.freeze()

    def _loaded(self, snapshot_id: str | None = None) -> Dictionary:
        """A snapshot, the current one unless told otherwise, searched where the settings say."""
        return snapshot.load(
            self._settings.snapshots, snapshot_id, device=self._settings.index_device, server=self._server
        )
