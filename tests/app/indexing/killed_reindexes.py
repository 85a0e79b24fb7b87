"""Kills whole reindexes at random moments: `python -m tests.app.indexing.killed_reindexes FOLDER --kills 60`.

A few videos change, a reindex begins in a process of its own and is killed while it hashes, embeds, writes the cache,
checks or publishes. Then another process does what a service does when it starts, and looks at everything that lies on
the disk. From time to time, and at the end, a reindex is let through: it must give the very vectors that a reindex
from nothing gives, whatever the cache holds.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from app.replica.services import open_services
from app.settings import Settings
from index import snapshot, snapshot_manifest
from tests.app.conftest import SilentProgress
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip

NUM_CLIPS = 12
CHANGED = 4
LET_THROUGH_EVERY = 10


def reindex(data: Path, videos: Path) -> None:
    """One run, as the service does it."""
    open_services(Settings(data=data, dictionary=videos), FakeEncoder()).reindex(SilentProgress())


def look_at(data: Path) -> None:
    """What a start finds: a whole snapshot that searches, nothing left over, and a cache without a damaged row."""
    services = open_services(Settings(data=data), FakeEncoder())
    used = services.active_snapshot.require_dictionary()
    assert (used.num_entries, used.notes) == (NUM_CLIPS, ())
    assert not [path.name for path in (data / "snapshots").iterdir() if path.name.startswith((".staging", ".trash"))]
    assert len(snapshot_manifest.manifests(data / "snapshots")) <= 3
    with closing(sqlite3.connect(data / "cache.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    vector = np.zeros(used._vectors.shape[1], np.float32)
    vector[0] = 1
    assert len(used.search(vector, k=3, encoder_id=used.encoder_id)) == 3


def compare(data: Path, videos: Path, fresh: Path) -> None:
    """A reindex that is let through gives what one without any cache gives, bit for bit."""
    reindex(data, videos)
    reindex(fresh, videos)
    vectors = [snapshot.load(folder / "snapshots")._vectors for folder in (data, fresh)]
    assert np.array_equal(*vectors)


def forked(work: Callable[[], None]) -> int:
    """Run in a process of its own, which has run nothing before; gives its id."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return process


def require(work: Callable[[], None], what: str) -> None:
    """Run in a process of its own, to the end.

    Raises:
        AssertionError: it failed.
    """
    _, status = os.waitpid(forked(work), 0)
    assert status == 0, f"{what}: status {status}"


def main(folder: Path, *, kills: Annotated[int, typer.Option(min=1)] = 60, seed: int = 0) -> None:
    """Kill as many reindexes."""
    rng = random.Random(seed)
    data, videos = folder / "data", folder / "videos"
    for number in range(NUM_CLIPS):
        write_clip(videos / f"SIGN{number}.mp4", number)
    began = time.monotonic()
    require(lambda: reindex(data, videos), "the first reindex")
    lasts_s = time.monotonic() - began
    num_interrupted = 0
    for kill in range(kills):
        for number in rng.sample(range(NUM_CLIPS), CHANGED):
            write_clip(videos / f"SIGN{number}.mp4", 1000 + kill * NUM_CLIPS + number)
        victim = forked(lambda: reindex(data, videos))
        time.sleep(rng.uniform(0, 0.7 * lasts_s))
        os.kill(victim, signal.SIGKILL)
        _, status = os.waitpid(victim, 0)
        num_interrupted += os.WIFSIGNALED(status)
        require(lambda: look_at(data), f"after kill {kill}")
        if kill % LET_THROUGH_EVERY == LET_THROUGH_EVERY - 1 or kill == kills - 1:
            fresh = folder / f"fresh-{kill}"
            require(lambda fresh=fresh: compare(data, videos, fresh), f"let through after kill {kill}")
    assert num_interrupted > 0 or kills < 10, "every reindex was over before it was killed"
    sys.stdout.write(json.dumps({"num_killed": kills, "num_interrupted": num_interrupted}))


if __name__ == "__main__":
    typer.run(main)
