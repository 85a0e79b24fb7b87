"""Kills publishing processes at random moments: `python -m tests.index.killed_writers FOLDER KILLS`.

Writers are forked from here, where everything is imported and nothing has run yet, so a kill costs milliseconds. After
each, another fork does what a service does when it starts: clean up, load, check.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from index import snapshot, snapshot_manifest
from tests.index.test_snapshot import publish, some_vectors

NUM = 500


def write_for_ever(folder: Path, ready: int) -> None:
    for seed in range(10_000):
        publish(folder, num=NUM, seed=seed)
        if seed == 0:
            os.write(ready, b"r")


def verify(folder: Path) -> int:
    """What a start does; gives 1 where something was left to clean."""
    leftovers = snapshot.remove_leftovers(folder)
    loaded = snapshot.load(folder)
    assert loaded.num_entries == NUM
    assert loaded.notes == ()
    assert len(snapshot_manifest.manifests(folder)) <= 3
    assert not [path for path in folder.iterdir() if path.name.startswith((".staging", ".trash"))]
    vector = some_vectors(1)[0]
    assert len(loaded.search(vector, k=5, encoder_id=loaded.encoder_id)) == 5
    return int(bool(leftovers))


def forked(work) -> int:
    """Run in a process of its own; gives its id."""
    process = os.fork()
    if process == 0:
        status = 99
        try:
            status = work() or 0
        finally:
            os._exit(status)
    return process


def main(folder: Path, kills: int) -> None:
    rng = random.Random(0)
    num_leftovers = 0
    for _ in range(kills):
        read_end, write_end = os.pipe()
        writer = forked(lambda: write_for_ever(folder, write_end))  # noqa: B023 - it runs before the loop goes on
        os.close(write_end)
        assert os.read(read_end, 1) == b"r", "the writer did not publish once"
        os.close(read_end)
        time.sleep(rng.uniform(0, 0.06))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        _, status = os.waitpid(forked(lambda: verify(folder)), 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, 1), f"what the kill left can't be used (exit status {code})"
        num_leftovers += code
    sys.stdout.write(json.dumps({"num_killed": kills, "num_leftovers": num_leftovers}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
