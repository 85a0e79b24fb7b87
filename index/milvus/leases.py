"""Leases on collections, in a folder that processes share, so that none drops what another one searches.

Each process has one file there with the names that it has leased. A file that was not renewed for a while is that of a
process that ended without releasing them.
"""

import errno
import os
import secrets
import socket
import threading
import time
from pathlib import Path

LEASE_EXPIRY_S = 900.0
"""After which a lease that was not renewed has expired; longer than any single step that is done under one."""
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
"""Errors where no lease can be written: this process may only read, or the folder around is gone, with all in it."""


class Leases:
    """The leases of this process, and those of all others. Safe to share between threads.

    Others can't see the leases of a process that may not write into the folder; it learns of a loss when it searches.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made with the first lease, the one around it must exist."""
        self._folder = folder
        self._own = folder / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._names: list[str] = []
        self._lock = (
            threading.RLock()
        )  # `release` may come by way of the garbage collector, in the midst of another call

    def acquire(self, name: str) -> None:
        """Lease a name; to be released as often as it was acquired."""
        with self._lock:
            self._names.append(name)
            self._write()

    def release(self, name: str) -> None:
        """End one lease of a name."""
        with self._lock:
            self._names.remove(name)
            self._write()

    def renew(self) -> None:
        """Renew all leases of this process."""
        with self._lock:
            self._write()

    def held_anywhere(self) -> set[str]:
        """Names leased by any process; files of processes that have ended are removed."""
        used = set(self._names)
        for path in self._folder.glob("[!.]*") if self._folder.is_dir() else ():
            try:
                if time.time() - path.stat().st_mtime > LEASE_EXPIRY_S:
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
            if error.errno not in UNWRITABLE:
                raise
