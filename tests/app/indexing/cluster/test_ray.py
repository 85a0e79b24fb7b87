"""Bulk embedding on a Ray cluster of two nodes on this machine: `make test-ray`.

The command runs as its users run it, in a process of its own, with the encoder that ships.
"""

import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from app.indexing.cluster.local import local_cluster
from tests.conftest import ROOT
from tests.tiny_videos import write_clip

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(3600)]

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; `make test-ray` brings it", allow_module_level=True)


NUM_CLIPS = 24
OTHER_VERSION = """
import json, sys
from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
from ray._raylet import GcsClient

client = GcsClient(address=sys.argv[1])
known = json.loads(client.internal_kv_get(b"CLUSTER_METADATA", KV_NAMESPACE_CLUSTER))
known["ray_version"] = sys.argv[2]
client.internal_kv_put(b"CLUSTER_METADATA", json.dumps(known).encode(), True, KV_NAMESPACE_CLUSTER)
"""
"""Makes a cluster say that it was started by another version of Ray."""


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Short videos, and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_CLIPS):
        write_clip(folder / f"SIGN{number:02}.mp4", number, seconds=0.4 + 0.04 * (number % 5))
    (folder / "SIGN99.mp4").write_text("no video")
    return folder


def started(videos, data, *arguments):
    """`index build` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "app", "index", "build", str(videos), "--json", *arguments],
        cwd=ROOT,
        env={**os.environ, "SIGNDEX_DATA": str(data), "SIGNDEX_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def built(videos, data, *arguments):
    """The manifest that `index build` gives, and what it said beside."""
    return finished(started(videos, data, *arguments))


def finished(build):
    out, err = build.communicate()
    assert build.returncode == 0, err
    return json.loads(out), err


@pytest.fixture(scope="module")
def local(videos, tmp_path_factory):
    """The snapshot that this machine makes alone."""
    data = tmp_path_factory.mktemp("local")
    manifest, _ = built(videos, data)
    return data, manifest


def files(data, manifest):
    folder = data / "snapshots" / manifest["snapshot_id"]
    return {name: (folder / name).read_bytes() for name in ("vectors.npy", "entries.jsonl")}


def num_kept(data):
    """Rows in the cache; two are one clip."""
    if not (data / "cache.sqlite").exists():
        return 0
    with closing(sqlite3.connect(f"file:{data}/cache.sqlite?mode=ro", uri=True)) as database:
        try:
            return database.execute("SELECT count(*) FROM windows").fetchone()[0]
        except sqlite3.OperationalError:  # it is being made
            return 0


def wait_until_half(build, data):
    while num_kept(data) < NUM_CLIPS:  # rows: half of the clips, each as filmed and mirrored
        assert build.poll() is None, build.stderr.read()
        time.sleep(0.02)


def test_two_nodes_give_the_snapshot_of_one_machine_bit_for_bit_and_skip_the_same(cluster, videos, local, tmp_path):
    manifest, said = built(videos, tmp_path, "--ray", cluster.address)
    assert files(tmp_path, manifest) == files(*local)
    assert manifest["report"]["skipped"] == local[1]["report"]["skipped"] != []
    assert "2 nodes: 2 clips decoded at the same time, 2 encoders on cpu" in said
    again, _ = built(videos, tmp_path, "--ray", cluster.address)
    assert again["report"]["cache"] == {"num_cached": NUM_CLIPS, "num_embedded": 0, "notes": []}


def test_a_command_that_was_killed_goes_on_from_where_it_was(cluster, videos, local, tmp_path):
    build = started(videos, tmp_path, "--ray", cluster.address)
    wait_until_half(build, tmp_path)
    build.send_signal(signal.SIGKILL)
    build.communicate()
    assert not (tmp_path / "snapshots/CURRENT").exists()
    manifest, _ = built(videos, tmp_path, "--ray", cluster.address)
    assert manifest["report"]["cache"]["num_cached"] >= NUM_CLIPS // 2
    assert files(tmp_path, manifest) == files(*local)


def test_a_cluster_of_another_version_is_refused_with_both_versions(cluster, videos, tmp_path):
    say = [sys.executable, "-c", OTHER_VERSION, cluster.address]
    subprocess.run([*say, "1.13.0"], check=True, capture_output=True)
    try:
        build = started(videos, tmp_path, "--ray", cluster.address)
        _, said = build.communicate()
    finally:
        subprocess.run([*say, version("ray")], check=True, capture_output=True)
    assert build.returncode == 1
    assert "other versions than this machine" in said
    assert "1.13.0" in said
    assert version("ray") in said


def test_a_node_that_is_killed_half_way_costs_only_the_blocks_that_it_had(cluster, videos, local, tmp_path):
    build = started(videos, tmp_path, "--ray", cluster.address)
    wait_until_half(build, tmp_path)
    kept = num_kept(tmp_path)
    cluster.nodes[-1].kill()
    manifest, said = finished(build)
    assert files(tmp_path, manifest) == files(*local)
    assert manifest["report"]["skipped"] == local[1]["report"]["skipped"]
    assert kept < 2 * NUM_CLIPS, "the node was killed after the work was done"
    assert "done again" in said or "is gone" in said


def test_no_process_is_left_of_a_cluster(videos):
    with local_cluster(1) as cluster:
        folder = str(cluster._folder)
    deadline = time.monotonic() + 60
    while any(folder in command for command in commands()):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def commands():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().decode(errors="replace")
        except OSError:
            continue
