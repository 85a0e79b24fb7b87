"""Which processes use what, noted in a folder that they share, so that nobody takes away what another one needs.

Each process has one file there with the names of what it uses. A file that was not renewed for a while is that of a
process that has ended without saying so.
"""

import errno
import os
import secrets
import socket
import threading
import time
from pathlib import Path

EXPIRY_S = 900.0
"""After which a file that was not renewed counts for nothing; longer than any single step of what it is noted for."""
UNNOTED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
"""Why nothing can be noted: this process may only read, or the folder around is gone, and with it what was used."""


class InUse:
    """What this process uses, and what others do. Safe to share between threads.

    A process that may not write into the folder is not noticed by others; it learns of a loss when it searches.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when something is noted, the one around it has to be there."""
        self._folder = folder
        self._own = folder / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._names: list[str] = []
        self._lock = (
            threading.RLock()
        )  # `release` may come by way of the garbage collector, in the midst of another call

    def hold(self, name: str) -> None:
        """Note that something is used; as often as it is said, `release` has to be."""
        with self._lock:
            self._names.append(name)
            self._write()

    def release(self, name: str) -> None:
        """Note that something is not used any more."""
        with self._lock:
            self._names.remove(name)
            self._write()

    def renew(self) -> None:
        """Say that this process is still there."""
        with self._lock:
            self._write()

    def everywhere(self) -> set[str]:
        """What any process uses; files of processes that are gone are removed."""
        used = set(self._names)
        for path in self._folder.glob("[!.]*") if self._folder.is_dir() else ():
            try:
                if time.time() - path.stat().st_mtime > EXPIRY_S:
                    path.unlink()
                else:
                    used |= set(path.read_text().split())
            except FileNotFoundError:  # its process has ended just now
                continue
        return used

    def _write(self) -> None:
        try:
            if not self._names:
                self._own.unlink(missing_ok=True)
                return
            self._folder.mkdir(exist_ok=True)
            aside = self._folder / f".{self._own.name}"
            aside.write_text("\n".join(self._names))
            aside.replace(self._own)
        except OSError as error:
            if error.errno not in UNNOTED:
                raise
