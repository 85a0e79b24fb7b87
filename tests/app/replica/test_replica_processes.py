"""Two real processes on one data folder, behind a real proxy where there is one."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import KEY
from tests.conftest import ROOT
from tests.docker.stack import free_port
from tests.tiny_videos import write_clip, write_dictionary

PATIENCE_S = 240.0
"""Machines are busy: what is promised in seconds is measured and told, not required."""
ENCODE_S = 0.05
GLOSSES = ["APPLE", "BREAD", "CHAIR"]


@dataclass
class Replica:
    """A process, and what it has encoded."""

    process: subprocess.Popen
    client: httpx.Client
    notes: Path

    @property
    def windows(self):
        """Every window that it has encoded, with how often."""
        return Counter(self.notes.read_text().split() if self.notes.exists() else [])

    @property
    def used(self):
        dictionary = self.client.get("/v1/info").json()["dictionary"]
        return dictionary and dictionary["snapshot_id"]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(60)


@dataclass
class Pair:
    """Two replicas, their folders and the address where callers ask."""

    replicas: list
    address: str
    data: Path
    videos: Path

    def caller(self, address="127.0.0.1", **headers):
        """A client that asks from an address of its own."""
        transport = httpx.HTTPTransport(local_address=address)
        return httpx.Client(base_url=self.address, transport=transport, timeout=120, headers=headers)

    def admin(self):
        return self.caller(Authorization=f"Bearer {KEY}")


def eventually(what):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if found := what():
                return found
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def begin(folder, name, port):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNDEX_")}
    environment |= {
        "SIGNDEX_DATA": str(folder / "data"), "SIGNDEX_DICTIONARY": str(folder / "videos"), "SIGNDEX_PORT": str(port),
        "SIGNDEX_ADMIN_KEY": KEY, "SIGNDEX_DECODERS": "1", "FORWARDED_ALLOW_IPS": "127.0.0.1",
    }  # fmt: skip
    notes = folder / f"{name}.notes"
    with (folder / f"{name}.log").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.app.noting_service", str(notes), str(ENCODE_S)],
            cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
    return Replica(process, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120), notes)


@pytest.fixture
def pair(tmp_path):
    """Two replicas that were started at the same moment on an empty data folder."""
    write_dictionary(tmp_path / "videos", GLOSSES)
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        replicas = []
        for name, port in zip("ab", ports, strict=True):
            replicas.append(begin(tmp_path, name, port))
            stack.callback(replicas[-1].client.close)
            stack.callback(replicas[-1].process.wait, 60)
            stack.callback(replicas[-1].process.kill)
        address = stack.enter_context(proxy(tmp_path, ports)) if shutil.which("caddy") else None
        for replica in replicas:
            eventually(lambda replica=replica: replica.client.get("/readyz").is_success)
        yield Pair(replicas, address, tmp_path / "data", tmp_path / "videos")


@contextlib.contextmanager
def proxy(folder, ports):
    """Caddy with the very file that compose gives it."""
    port = free_port()
    environment = {
        **os.environ, "HOME": str(folder), "SITE": f":{port}",
        "REPLICAS": " ".join(f"127.0.0.1:{each}" for each in ports),
    }  # fmt: skip
    command = ["caddy", "run", "--config", str(ROOT / "docker/Caddyfile"), "--adapter", "caddyfile"]
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def through_a_proxy(pair):
    if pair.address is None:
        pytest.skip("there is no caddy here (Debian's package caddy): what goes through the proxy was not tried")
    return pair


def test_replicas_behind_a_proxy(pair, capsys):
    """One life of two replicas: a start is slow, so everything happens to the same two."""
    through_a_proxy(pair)
    one, other = pair.replicas
    with pair.caller() as caller:
        eventually(lambda: caller.get("/readyz").is_success)
    a_first_start_indexes_once(one, other)
    seen_s = a_publish_is_seen_by_all_and_no_answer_mixes(pair)
    the_proxy_tells_who_asks_and_lets_nobody_lie(pair)
    over_s, card = a_killed_replica_is_survived_by_its_job(pair)
    with capsys.disabled():
        sys.stdout.write(
            f"\nseen by both {seen_s:.2f} s after the job; job over {over_s:.1f} s after the kill; {card}\n"
        )


def a_first_start_indexes_once(one, other):
    """Both found the folder empty at the same moment; one of them has filled it."""
    assert one.used == other.used is not None
    assert set((one.windows + other.windows).values()) == {1}


def a_publish_is_seen_by_all_and_no_answer_mixes(pair):
    """Callers from many addresses search while two replicas change over; gives how long that took."""
    before = pair.replicas[0].used
    new = write_clip(pair.videos / "ZEBRA.mp4", 99)
    body = new.read_bytes()
    seen, stop = [], threading.Event()

    def search(number):
        with pair.caller(f"127.0.0.{10 + number}") as client:
            while not stop.is_set():
                response = client.post("/search", files={"video": body}, data={"k": "50"})
                assert response.status_code == 200, response.text
                answer = response.json()
                seen.append((answer["snapshot_id"], frozenset(hit["sign"]["gloss"] for hit in answer["hits"])))

    with ThreadPoolExecutor(4) as pool, pair.admin() as admin:
        searches = [pool.submit(search, number) for number in range(4)]
        eventually(lambda: len(seen) >= 8)
        job = admin.post("/reindex").json()
        done = eventually(lambda: (now := admin.get(f"/v1/jobs/{job['id']}").json())["finished_at"] and now)
        began = time.monotonic()
        eventually(lambda: {replica.used for replica in pair.replicas} == {done["snapshot_id"]})
        seen_s = time.monotonic() - began
        num = len(seen)
        eventually(lambda: len(seen) >= num + 8)
        stop.set()
        for each in searches:
            each.result()
    assert done["state"] == "done"
    assert set(seen) == {(before, frozenset(GLOSSES)), (done["snapshot_id"], frozenset([*GLOSSES, "ZEBRA"]))}
    return seen_s


def the_proxy_tells_who_asks_and_lets_nobody_lie(pair):
    """Failures are counted by the caller's address, whatever the caller says it is."""
    with pair.caller("127.0.0.2", Authorization="Bearer wrong") as guesser:
        statuses = [
            guesser.get("/v1/jobs", headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code
            for number in range(11)
        ]
    assert statuses == [401] * 10 + [429]
    for address in ("127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"):  # of them some ask the guesser's replica
        with pair.caller(address, Authorization=f"Bearer {KEY}") as admin:
            assert admin.get("/v1/jobs").status_code == 200
            assert admin.get("/metrics").status_code == 403


def a_killed_replica_is_survived_by_its_job(pair):
    """SIGKILL in the middle of embedding: the other replica ends the job, and embeds nothing that was kept."""
    num_clips = len(GLOSSES) + 1 + 20
    for number in range(20):
        write_clip(pair.videos / f"NEW{number}.mp4", 400 + number)
    with pair.admin() as admin:
        job = admin.post("/reindex?mode=full").json()
        eventually(lambda: num_kept(pair.data, job["id"]) >= 6)
        owner = next(r for r in pair.replicas if f":{r.client.base_url.port}-" in job["replica"])
        survivor = next(r for r in pair.replicas if r is not owner)
        windows_before = survivor.windows
        owner.end(signal.SIGKILL)
        kept = num_kept(pair.data, job["id"])
        began = time.monotonic()
        with pair.caller("127.0.0.9") as caller:  # nobody waits for the lease to search
            video = {"video": (pair.videos / "ZEBRA.mp4").read_bytes()}
            eventually(lambda: caller.post("/search", files=video).status_code == 200)
        done = eventually(lambda: (now := admin.get(f"/v1/jobs/{job['id']}").json())["finished_at"] and now)
        over_s = time.monotonic() - began
        snapshots = admin.get("/v1/snapshots").json()["snapshots"]
    assert (done["state"], done["replica"] != job["replica"]) == ("done", True)
    card = next(each for each in snapshots if each["id"] == done["snapshot_id"])["report"]["cache"]
    assert 0 < kept < num_clips
    assert (card["num_cached"], card["num_embedded"]) == (kept, num_clips - kept)
    assert survivor.used == done["snapshot_id"]
    again = (survivor.windows - windows_before) & owner.windows
    lost = sum(again.values())
    return over_s, f"{kept} of {num_clips} clips were kept, {lost} windows encoded by both"


def num_kept(data, run):
    """Clips that a run has put into the cache."""
    with closing(sqlite3.connect(data / "cache.sqlite", timeout=30)) as database:
        [[num]] = database.execute("SELECT count(*) FROM windows WHERE run = ? AND NOT mirrored", (run,))
    return num
