"""The service as operators run it, in a process of its own, with what it takes of the machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT

KEY = "fire-test-key-that-must-not-leak"
READY_WITHIN_S = 300.0
ENDS_WITHIN_S = 40.0
"""Requests have 10 s to end, and a run of the encoder or a clip of a reindex can't be interrupted."""


@dataclass(frozen=True)
class Usage:
    """What a service takes at one moment."""

    rss_bytes: int
    """Memory of the server itself."""
    decoders_rss_bytes: int
    """Memory of the processes that it has started."""
    num_files: int
    num_processes: int


@dataclass
class Server:
    """A running service."""

    address: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """Of the server, behind whatever started it."""
        return self.process.pid

    def client(self) -> httpx.Client:
        """A client with the admin key."""
        return httpx.Client(base_url=self.address, timeout=120, headers={"Authorization": f"Bearer {KEY}"})

    def usage(self) -> Usage:
        """What it takes now."""
        started = descendants(self.pid)
        return Usage(
            rss_bytes(self.pid),
            sum(rss_bytes(pid) for pid in started),
            len(list(Path(f"/proc/{self.pid}/fd").iterdir())),
            len(started),
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """End it; gives its status and the seconds it took.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        began = time.monotonic()
        os.kill(self.pid, number)
        return self.process.wait(ENDS_WITHIN_S), time.monotonic() - began

    def log_lines(self, after_bytes: int = 0) -> list[dict[str, Any]]:
        """What it has logged behind so many bytes of its log, as far as it is JSON."""
        lines = self.log.read_bytes()[after_bytes:].decode(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        waiting += (below := children.get(waiting.pop(), []))
        found += below
    return found


def rss_bytes(pid: int) -> int:
    """Memory of a process; 0 where it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return 0


def cpu_s(pid: int) -> float:
    """Seconds of cores that a process has taken so far; 0 where it has ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


@contextmanager
def serving(data: Path, *, prefix: Sequence[str] = (), **settings: object) -> Iterator[Server]:
    """Run `python -m app serve` until the block ends, or it has ended itself.

    Args:
        data: its data folder; what it logs lies beside it.
        prefix: a command that runs it, and becomes it.
        settings: by the names of `Settings`, where they are not the usual ones.

    Raises:
        RuntimeError: it does not get ready.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    temporary = data.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNDEX_")}
    environment |= {f"SIGNDEX_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"SIGNDEX_DATA": str(data), "SIGNDEX_PORT": str(port), "SIGNDEX_ADMIN_KEY": KEY}
    log = data.parent / "server.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "app", "serve"],
            cwd=ROOT, env={**environment, "TMPDIR": str(temporary)}, stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def wait_until_ready(server: Server) -> None:
    """Ask again and again.

    Raises:
        RuntimeError: it ended, or took too long.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    with server.client() as client:
        while True:
            with contextlib.suppress(httpx.TransportError):  # it does not listen yet
                if client.get("/readyz").is_success:
                    return
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service was not ready within {READY_WITHIN_S:g} s; see {server.log}")
            time.sleep(0.1)
