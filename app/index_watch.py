"""Looks after the server that searches, where there is one: whether it answers, and whether it has what is searched."""

import logging
import threading
from collections.abc import Callable

from index.dictionary import Dictionary
from index.errors import IndexAwayError, IndexServerError
from index.milvus_server import MilvusServer

EVERY_S = 2.0

log = logging.getLogger(__name__)


class IndexWatch:
    """What is known of the server, looked at anew every two seconds once it was started."""

    def __init__(
        self, server: MilvusServer, dictionary: Callable[[], Dictionary | None], reload: Callable[[], None]
    ) -> None:
        """Take whom to look after, without doing so yet.

        Args:
            server: the one that searches.
            dictionary: gives what is in use; None where nothing is.
            reload: takes the published snapshot into use, anew, and so brings to the server what it has lost.
        """
        self._trouble: tuple[type[IndexServerError], str] | None = None
        self._is_due = True
        """True where the published snapshot could not be loaded for want of the server, or was not tried yet."""
        self._server = server
        self._dictionary = dictionary
        self._reload = reload
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def error(self) -> IndexServerError | None:
        """Why searches are not answered, to be raised; None where they are."""
        if self._trouble is None:
            return None
        kind, text = self._trouble
        return kind(text)

    def start(self) -> None:
        """Begin, if that was not done yet."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="index-watch")
            self._thread.start()

    def close(self) -> None:
        """End, and the connection with it."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._server.close()

    def look(self) -> None:
        """Look once, and load what is not there.

        Raises:
            IndexServerError: the server can't be used; it is noted as well.
        """
        try:
            self._server.require_usable()
            self._is_due = self._is_due or self._has_lost()
            if self._is_due:
                self._reload()
        except IndexServerError as error:
            self._note(type(error), str(error))
            raise
        if self._trouble is not None:
            log.warning("the server of the index can be asked again")
        self._trouble, self._is_due = None, False

    def _has_lost(self) -> bool:
        """True where the server does not have what is in use; to bring it there may take a while."""
        used = self._dictionary()
        if used is None or self._server.can_search(used.snapshot_id, used.encoder_id):
            return False
        self._note(IndexAwayError, f"the server of the index has lost snapshot {used.snapshot_id}; it is brought back")
        return True

    def _note(self, kind: type[IndexServerError], text: str) -> None:
        if self._trouble is None:
            log.warning("%s", text)
        self._trouble = kind, text

    def _go_on(self) -> None:
        while not self._ending.wait(EVERY_S):
            try:
                self.look()
            except IndexServerError:  # noted by `look`
                continue
            except Exception:
                log.exception("the index could not be looked after; it is tried again")
