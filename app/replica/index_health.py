"""Health of the index server, if there is one: whether it answers, and whether it has the active snapshot."""

import logging
import threading
from collections.abc import Callable

from index.dictionary import Dictionary
from index.errors import IndexAwayError, IndexServerError
from index.milvus.server import MilvusServer

CHECK_INTERVAL_S = 2.0

log = logging.getLogger(__name__)


class IndexHealthMonitor:
    """The state of the index server, checked every two seconds once the monitor was started."""

    def __init__(
        self, server: MilvusServer, dictionary: Callable[[], Dictionary | None], reload: Callable[[], None]
    ) -> None:
        """Check nothing yet.

        Args:
            server: the index server.
            dictionary: gives the active dictionary; None where there is none.
            reload: loads the published snapshot again, and so restores on the server what it has lost.
        """
        self._server = server
        self._dictionary = dictionary
        self._reload = reload
        self._failure: tuple[type[IndexServerError], str] | None = None
        self._needs_reload = True
        """True where the published snapshot could not be loaded because of the server, or was not tried yet."""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def error(self) -> IndexServerError | None:
        """Why searches are not answered, to be raised; None where they are."""
        if self._failure is None:
            return None
        kind, text = self._failure
        return kind(text)

    def start(self) -> None:
        """Start the thread that checks, unless it runs already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="index-health")
            self._thread.start()

    def close(self) -> None:
        """Stop checking, and close the connection."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._server.close()

    def check(self) -> None:
        """Check once, and reload what is missing.

        Raises:
            IndexServerError: the server can't be used; `error` says so from now on.
        """
        try:
            self._server.require_usable()
            self._needs_reload = self._needs_reload or self._has_lost_snapshot()
            if self._needs_reload:
                self._reload()
        except IndexServerError as error:
            self._record_failure(type(error), str(error))
            raise
        if self._failure is not None:
            log.warning("the server of the index can be asked again")
        self._failure, self._needs_reload = None, False

    def _has_lost_snapshot(self) -> bool:
        """True where the server does not have the active snapshot; restoring it may take a while."""
        active = self._dictionary()
        if active is None or self._server.can_search(active.snapshot_id, active.encoder_id):
            return False
        self._record_failure(
            IndexAwayError, f"the server of the index has lost snapshot {active.snapshot_id}; it is brought back"
        )
        return True

    def _record_failure(self, kind: type[IndexServerError], text: str) -> None:
        if self._failure is None:
            log.warning("%s", text)
        self._failure = kind, text

    def _run(self) -> None:
        while not self._stopping.wait(CHECK_INTERVAL_S):
            try:
                self.check()
            except IndexServerError:  # recorded by `check`
                continue
            except Exception:
                log.exception("the health of the index could not be checked; it is tried again")
