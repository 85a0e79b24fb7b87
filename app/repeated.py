"""Work that is done again and again, beside everything else."""

import logging
import threading
from collections.abc import Callable

from app.errors import EXPECTED_ERRORS

log = logging.getLogger(__name__)


class Repeated:
    """A thread that does some work every so often until it is closed. What goes wrong is logged, and tried again."""

    def __init__(self, name: str, work: Callable[[], None], every_s: float) -> None:
        """Start at once.

        Args:
            name: of the thread, for the log.
            work: short enough that somebody who closes can wait for it.
            every_s: seconds between an end and the next beginning.
        """
        self._work = work
        self._every_s = every_s
        self._closed = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for what is being done."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._work()
            except EXPECTED_ERRORS as error:
                self._say(str(error))
            except Exception as error:  # noqa: BLE001 - it is logged; a thread that ended would be noticed by nobody
                self._say(f"{type(error).__name__}: {error}", error)
            else:
                self._said = ""
            self._closed.wait(self._every_s)

    def _say(self, text: str, error: Exception | None = None) -> None:
        """Log what went wrong, once as long as it is the same."""
        if text != self._said:
            log.warning("%s: %s", self._thread.name, text, exc_info=error)
        self._said = text
