"""Milvus Lite as a server of its own: another process, which tests start, stop and start again."""

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_S = 120


def is_installed() -> bool:
    return importlib.util.find_spec("milvus_lite") is not None


@dataclass
class Lite:
    """One server and its data; its port stays the same over restarts."""

    folder: Path
    port: int
    _process: subprocess.Popen | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """As SIGNDEX_INDEX takes it."""
        return f"milvus://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self.folder)]
        with (self.folder.parent / f"{self.folder.name}.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, "Milvus Lite ended while it started"
            assert time.monotonic() < deadline, f"Milvus Lite did not start within {START_S} s"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as a machine that loses power would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def running_lite(folder: Path) -> Iterator[Lite]:
    """A server with an empty folder; one visible skip where Milvus Lite is not installed."""
    if not is_installed():
        pytest.skip("Milvus Lite is not installed: `uv sync --group milvus-lite` runs the tests with a Milvus server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lite = Lite(folder, port)
    lite.start()
    try:
        yield lite
    finally:
        lite.stop()
