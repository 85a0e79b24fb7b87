"""A Ray cluster of several small nodes on this machine, for benchmarks and tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.decoding.decoder import CHECKOUT
from app.errors import ClusterError

OBJECT_STORE_BYTES = 150_000_000
"""Of one node; Ray's default is a third of the memory."""
START_S = 600.0
MAX_PORTS = 41
"""Enough for ten nodes."""
STARTED = "Ray runtime started"
POLL_S = 0.2
LONG_TIMEOUTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "900000",
    "RAY_enable_worker_prestart": "0",
    "RAY_gcs_rpc_server_connect_timeout_s": "120",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_raylet_start_wait_time_s": "600",
    "RAY_worker_register_timeout_seconds": "900",
}
"""For machines that are slow because others share their cores; and no usage statistics."""


@dataclass(frozen=True)
class Node:
    """One node: `ray start` and its children, which are one process group."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """Kill all its processes at once."""
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class LocalCluster:
    """Nodes of one processor each; `close` kills them all."""

    def __init__(self, folder: Path) -> None:
        """Start no node yet.

        Args:
            folder: for Ray's files and logs. Its path must be short, because it is part of socket addresses.
        """
        self._folder = folder
        self._ports = iter(free_ports(MAX_PORTS))
        self._port = next(self._ports)
        self.nodes: list[Node] = []
        """The first one is the head."""

    @property
    def address(self) -> str:
        """HOST:PORT of the head node."""
        return f"127.0.0.1:{self._port}"

    def add(self) -> Node:
        """Start one more node, and wait until it runs.

        Raises:
            ClusterError: it does not start; the end of its log.
        """
        log = self._folder / f"node-{len(self.nodes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(),
                cwd=CHECKOUT,
                env={**os.environ, **LONG_TIMEOUTS},
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        node = Node(process, log)
        self.nodes.append(node)
        deadline = time.monotonic() + START_S
        while STARTED not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ClusterError(f"a Ray node does not start: {log.read_text()[-1000:]}")
            time.sleep(POLL_S)
        return node

    def close(self) -> None:
        """Kill all nodes, the head node last."""
        for node in reversed(self.nodes):
            node.kill()

    def _command(self) -> list[str]:
        # With random ports, a node waits 15 s for its agents to report theirs, and then ends.
        agent, grpc, metrics, environments = (next(self._ports) for _ in range(4))
        role = [f"--address={self.address}"]
        if not self.nodes:
            role = ["--head", f"--port={self._port}", "--include-dashboard=false", f"--temp-dir={self._folder}/ray"]
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *("--num-cpus=1", f"--object-store-memory={OBJECT_STORE_BYTES}"),
            *(f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={grpc}"),
            *(f"--metrics-export-port={metrics}", f"--runtime-env-agent-port={environments}"),
            *role,
        ]


def free_ports(num: int) -> list[int]:
    """Unused ports outside of the range that Ray gives to its workers, 10002 to 19999."""
    sockets: list[socket.socket] = []
    try:
        for port in range(21000, 60000):
            if len(sockets) == num:
                break
            free = socket.socket()
            try:
                free.bind(("", port))
            except OSError:
                free.close()
            else:
                sockets.append(free)
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def local_cluster(num_nodes: int) -> Iterator[LocalCluster]:
    """A cluster of so many nodes while the block runs."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        cluster = LocalCluster(Path(folder))
        try:
            for _ in range(num_nodes):
                cluster.add()
            yield cluster
        finally:
            cluster.close()
