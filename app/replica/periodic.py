"""Tasks that a background thread repeats."""

import logging
import threading
from collections.abc import Callable

from app.errors import EXPECTED_ERRORS

log = logging.getLogger(__name__)


class PeriodicTask:
    """A thread that calls a function at intervals until it is closed. What goes wrong is logged, and tried again."""

    def __init__(self, name: str, function: Callable[[], None], interval_s: float) -> None:
        """Start at once.

        Args:
            name: of the thread, for the log.
            function: short enough that `close` can wait for it.
            interval_s: seconds between the end of a call and the next one.
        """
        self._function = function
        self._interval_s = interval_s
        self._closed = threading.Event()
        self._last_failure = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the call under way."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._function()
            except EXPECTED_ERRORS as error:
                self._log_failure(str(error))
            except Exception as error:  # noqa: BLE001 - it is logged; that the thread ended would go unnoticed
                self._log_failure(f"{type(error).__name__}: {error}", error)
            else:
                self._last_failure = ""
            self._closed.wait(self._interval_s)

    def _log_failure(self, text: str, error: Exception | None = None) -> None:
        """Log what went wrong, once as long as it is the same."""
        if text != self._last_failure:
            log.warning("%s: %s", self._thread.name, text, exc_info=error)
        self._last_failure = text
