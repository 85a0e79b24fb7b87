"""What goes wrong around a service, done to a running one. Each function says what it saw.

They raise AssertionError where the service does not do what it should.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from app.demo import DICTIONARY
from tests.fire.server import Server, descendants, serving
from tests.fire.truth import Query, Truth, ask, ask_all

ENDS_SOON_S = 30.0
"""From SIGTERM to the end: ten seconds for requests, then what can't be interrupted."""
JOB_ENDS_S = 600.0
SOME = 5
"""Queries that are asked after each fault; all of them are at the end."""


def killed_decoders(server: Server, queries: Sequence[Query], truths: Sequence[Truth], num: int) -> str:
    """SIGKILL for all decoding processes in the middle of a search: it is refused at most, the next is right."""
    statuses = []
    with server.client() as client, ThreadPoolExecutor(1) as pool:
        for which in range(num):
            decoders = descendants(server.pid)
            for decoder in decoders:
                os.kill(decoder, signal.SIGSTOP)  # so that none is through with the search before it is killed
            search = pool.submit(client.post, "/v1/search", content=queries[0].body, headers=queries[0].headers)
            time.sleep(0.3)
            for decoder in decoders:
                os.kill(decoder, signal.SIGKILL)
            statuses.append(search.result().status_code)
            until_gone(decoders)
            assert ask(client, queries[which]) == truths[which]
    assert set(statuses) <= {200, 422}, f"answers {statuses}"
    return f"{statuses.count(422)} searches refused, the next always right"


def until_gone(pids: Sequence[int]) -> None:
    """Wait for killed processes: where the processor is busy, dying takes a while."""
    deadline = time.monotonic() + JOB_ENDS_S
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "killed processes live on"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process is more than an entry that nobody has looked at yet."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def terminated_in_a_search(data: Path, query: Query) -> str:
    """SIGTERM during a search: it is answered, or told that the service stops."""
    return terminated(data, lambda client: client.post("/v1/search", content=query.body, headers=query.headers))


def terminated_in_a_reindex(data: Path, queries: Sequence[Query], truths: Sequence[Truth]) -> str:
    """SIGTERM during a reindex of everything: the next start has the old dictionary."""
    said = terminated(data, lambda client: client.post("/v1/reindex?mode=full"))
    with serving(data) as server, server.client() as client:
        assert ask_all(client, queries[:SOME]) == list(truths[:SOME])
    return f"{said}; the next start has the old dictionary"


def terminated(data: Path, request: Callable[[httpx.Client], httpx.Response]) -> str:
    """SIGTERM half a second after a request: ended in time, with no process left."""
    with serving(data) as server, server.client() as client, ThreadPoolExecutor(1) as pool:
        started = descendants(server.pid)
        work = pool.submit(request, client)
        time.sleep(0.5)
        status, seconds = server.stop()
        answered = "cut off"
        with contextlib.suppress(httpx.TransportError):
            answered = str(work.result().status_code)
    assert status in (0, -signal.SIGTERM), f"it ended with status {status}"
    assert seconds < ENDS_SOON_S, f"it took {seconds:.1f} s to end"
    assert answered in ("200", "202", "503"), f"the request was {answered}"
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()], "processes are left"
    return f"ended after {seconds:.1f} s, the request got {answered}, no process left"


def can_mount() -> bool:
    """Whether a command may have a view of the disks of its own."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def read_only_disk(data: Path, queries: Sequence[Query], truths: Sequence[Truth]) -> str:
    """The data folder may only be read."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
    return unwritable(data, mount, queries, truths)


def full_disk(data: Path, queries: Sequence[Query], truths: Sequence[Truth]) -> str:
    """The data folder lies on a disk that is full."""
    copy = data.parent / "copy"
    shutil.copytree(data, copy)
    num_kb = sum(path.stat().st_size // 1024 + 4 for path in copy.rglob("*")) + 256
    mount = (
        f'mount -t tmpfs -o size={num_kb}k tmpfs "$0" && cp -r "{copy}/." "$0/"'
        f' && {{ head -c {num_kb}k /dev/zero > "$0/filler" 2> /dev/null || true; }}'
    )
    try:
        return unwritable(data, mount, queries, truths)
    finally:
        shutil.rmtree(copy)


def unwritable(data: Path, mount: str, queries: Sequence[Query], truths: Sequence[Truth]) -> str:
    """A service whose data folder takes nothing: it starts, searches, and a reindex fails and says why."""
    prefix = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', str(data)]
    with serving(data, prefix=prefix, dictionary=other_dictionary(data.parent)) as server, server.client() as client:
        assert ask_all(client, queries[:SOME]) == list(truths[:SOME])
        job = finished(client, client.post("/v1/reindex").json())
        assert job["state"] == "failed", f"the reindex is {job['state']}"
        assert ask_all(client, queries[:SOME]) == list(truths[:SOME])
    return f"started and searched; a reindex failed: {job['error']}"


def other_dictionary(folder: Path) -> Path:
    """Three videos of the demo, so that a reindex has something to publish."""
    other = folder / "other"
    other.mkdir(exist_ok=True)
    for video in sorted(DICTIONARY.glob("*.mp4"))[:3]:
        shutil.copy(video, other)
    return other


def finished(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """A job when it is over."""
    deadline = time.monotonic() + JOB_ENDS_S
    while not job["finished_at"]:
        assert time.monotonic() < deadline, f"the job does not end: {job}"
        time.sleep(0.2)
        job = client.get(f"/v1/jobs/{job['id']}").json()
    return job
