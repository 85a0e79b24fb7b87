"""What is kept of embedded clips."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from index.cache import ClipKey, EmbeddingCache, WindowEmbeddings
from tests.conftest import ROOT

KEY = ClipKey("ab" * 32, "0123456789ab", "stride=2", 0.0, None, mirrored=False)


def windows(num=5, dim=12, seed=0):
    rng = np.random.default_rng(seed)
    return WindowEmbeddings(
        np.arange(num, dtype=np.int64) * 2,
        rng.normal(scale=1e5, size=(num, dim)).astype(np.float32),
        rng.random((num, 2), dtype=np.float32),
    )


def assert_same(found, expected):
    for name in ("start_frames", "embedding", "activity"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype


def test_what_is_put_is_got_bit_for_bit_also_after_closing(tmp_path):
    with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        assert cache.get(KEY) is None
        cache.put([(KEY, windows())])
        assert_same(cache.get(KEY), windows())
    with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        assert_same(cache.get(KEY), windows())
        assert cache.notes == []


@pytest.mark.parametrize(
    "change",
    [
        {"video_sha256": "cd" * 32},
        {"encoder_id": "b" * 12},
        {"settings": "stride=4"},
        {"start_s": 0.5},
        {"end_s": 2.0},
        {"mirrored": True},
    ],
)
def test_anything_that_decides_the_embeddings_makes_another_key(tmp_path, change):
    with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        cache.put([(KEY, windows())])
        other = replace(KEY, **change)
        assert cache.get(other) is None
        cache.put([(other, windows(seed=1))])
        assert_same(cache.get(KEY), windows())
        assert_same(cache.get(other), windows(seed=1))


def test_a_clip_that_is_put_again_is_replaced(tmp_path):
    with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        cache.put([(KEY, windows())])
        cache.put([(KEY, windows(num=9, seed=1))])
        assert_same(cache.get(KEY), windows(num=9, seed=1))


def test_pruning_takes_what_was_not_used_for_longest(tmp_path):
    keys = [replace(KEY, start_s=float(number)) for number in range(4)]
    with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        for key in keys:
            cache.put([(key, windows())])
        cache.touch(keys[:1])
        bytes_each = 4 * 5 * (1 + 12 + 2)
        assert cache.prune(4 * bytes_each) == 0
        assert cache.prune(2 * bytes_each + 1) == 2
        assert [cache.get(key) is not None for key in keys] == [True, False, False, True]
        assert cache.prune(0) == 2


def test_a_file_that_is_no_database_is_set_aside_with_a_note(tmp_path):
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"this is no database " * 1000)
    with EmbeddingCache(path) as cache:
        assert cache.get(KEY) is None
        cache.put([(KEY, windows())])
        assert_same(cache.get(KEY), windows())
        assert "damaged" in cache.notes[0]
    assert (tmp_path / "cache.sqlite.damaged").read_bytes().startswith(b"this is no database")


def test_pages_that_are_damaged_while_it_is_open_are_set_aside_too(tmp_path):
    path = tmp_path / "cache.sqlite"
    with EmbeddingCache(path) as cache:
        cache.put([(replace(KEY, start_s=float(number)), windows(num=40)) for number in range(200)])
    size = path.stat().st_size
    with path.open("r+b") as file:  # the first page says that it is a database; the tables behind it are gone
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with EmbeddingCache(path) as cache:
        assert all(cache.get(replace(KEY, start_s=float(number))) is None for number in range(200))
        cache.put([(KEY, windows())])
        assert_same(cache.get(KEY), windows())
        assert len(cache.notes) == 1


def test_embeddings_that_rotted_on_the_disk_count_as_missing(tmp_path):
    path = tmp_path / "cache.sqlite"
    with EmbeddingCache(path) as cache:
        cache.put([(KEY, windows())])
    database = sqlite3.connect(path)
    [data] = database.execute("SELECT data FROM windows").fetchone()
    database.execute("UPDATE windows SET data = ?", (data[:-1] + bytes([data[-1] ^ 1]),))
    database.commit()
    database.close()
    with EmbeddingCache(path) as cache:
        assert cache.get(KEY) is None


def test_a_cache_from_before_runs_were_noted_keeps_what_it_has(tmp_path):
    path = tmp_path / "cache.sqlite"
    with EmbeddingCache(path, "the run") as cache:
        cache.put([(KEY, windows())])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE windows DROP COLUMN run")
        database.execute("PRAGMA user_version = 1")
    with EmbeddingCache(path, "the run") as cache:
        assert_same(cache.get(KEY), windows())
        assert cache.get(KEY, of_this_run=True) is None
        assert cache.notes == []


def test_what_a_run_has_put_is_told_apart_from_what_others_have(tmp_path):
    path, other = tmp_path / "cache.sqlite", replace(KEY, mirrored=True)
    with EmbeddingCache(path, "one") as cache:
        cache.put([(KEY, windows()), (other, windows())])
    with EmbeddingCache(path, "another") as cache:
        assert cache.get(KEY, of_this_run=True) is None
        cache.put([(KEY, windows(seed=1))])
        assert_same(cache.get(KEY, of_this_run=True), windows(seed=1))
    with EmbeddingCache(path, "one") as cache:
        assert cache.get(KEY, of_this_run=True) is None
        assert_same(cache.get(other, of_this_run=True), windows())


def test_a_cache_of_another_schema_is_emptied(tmp_path):
    path = tmp_path / "cache.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE windows (something TEXT)")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with EmbeddingCache(path) as cache:
        cache.put([(KEY, windows())])
        assert_same(cache.get(KEY), windows())


def test_a_place_that_can_not_be_written_costs_only_the_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with EmbeddingCache(tmp_path / "file" / "cache.sqlite") as cache:
        cache.put([(KEY, windows())])
        assert cache.get(KEY) is None
        assert cache.prune(0) == 0
        assert "without it" in cache.notes[0]


def test_a_full_disk_costs_only_the_cache(tmp_path):
    script = (
        "import resource, signal, sys; from tests.index.test_cache import *\nfrom pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "cache = EmbeddingCache(Path(sys.argv[1]) / 'cache.sqlite')\ncache.put([(KEY, windows())])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "cache.put([(replace(KEY, start_s=1.0), windows(num=5000))])\n"
        "assert cache.get(replace(KEY, start_s=1.0)) is None\nprint(cache.notes)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "can't be used" in ran.stdout
    with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        assert_same(cache.get(KEY), windows())


def test_a_writer_killed_at_any_moment_leaves_a_whole_cache(tmp_path):
    script = (
        "import sys; from tests.index.test_cache import *\nfrom pathlib import Path\n"
        "cache = EmbeddingCache(Path(sys.argv[1]) / 'cache.sqlite')\n"
        "for number in range(100_000):\n"
        "    cache.put([(replace(KEY, start_s=float(number)), windows(seed=number))])\n"
        "    print(number, flush=True)\n"
    )
    rng = random.Random(0)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
        ) as writer:
            writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            os.kill(writer.pid, signal.SIGKILL)
        with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
            assert_same(cache.get(replace(KEY, start_s=0.0)), windows(seed=0))
            assert cache.notes == []
