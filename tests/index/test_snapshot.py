"""Snapshots: whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index import snapshot, snapshot_manifest
from index.entries import Entry
from index.errors import SnapshotDamagedError, SnapshotMissingError, SnapshotWriteError, VectorsError

ROOT = Path(__file__).resolve().parents[2]
ENCODER = "0123456789ab"


def some_vectors(num=12, dim=16, seed=0):
    rows = np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def some_entries(num=12):
    return [Entry(f"e{i}", f"G{i // 2}", f"e{i}.mp4", signer="s1", tags=("animal",)) for i in range(num)]


def publish(folder, num=12, seed=0, **more):
    return snapshot.publish(folder, some_vectors(num, seed=seed), some_entries(num), encoder_id=ENCODER, **more)


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def test_what_is_published_is_what_is_loaded(tmp_path):
    manifest = publish(tmp_path, report={"stride_frames": 2})
    loaded = snapshot.load(tmp_path)
    assert loaded.snapshot_id == manifest.snapshot_id == snapshot_manifest.current_id(tmp_path)
    assert loaded.entries == tuple(some_entries())
    assert (loaded.num_entries, loaded.num_signs, loaded.encoder_id, loaded.notes) == (12, 6, ENCODER, ())
    for vector, entry in zip(some_vectors(), some_entries(), strict=True):
        assert loaded.search(vector, k=1, encoder_id=ENCODER)[0].entries[0].entry == entry


def test_the_manifest_says_what_it_is(tmp_path):
    manifest = publish(tmp_path, report={"skipped": []})
    told = json.loads((tmp_path / manifest.snapshot_id / "manifest.json").read_text())
    assert told["counts"] == {"entries": 12, "signs": 6, "vectors": 12}
    assert (told["schema"], told["encoder_id"], told["dim"], told["report"]) == (1, ENCODER, 16, {"skipped": []})
    assert set(told["sha256"]) == {"vectors.npy", "entries.jsonl", "index.faiss"}


def test_glosses_of_any_script_and_odd_line_ends_survive(tmp_path):
    entries = [Entry("ä/1", "GRÜẞE\u2028", "ä/1.mp4"), Entry("2", '手話 "\\\n', "2.mp4", language="jsl")]
    snapshot.publish(tmp_path, some_vectors(2), entries, encoder_id=ENCODER)
    assert snapshot.load(tmp_path).entries == tuple(entries)


def test_the_previous_snapshot_stays_and_older_ones_go(tmp_path):
    ids = [publish(tmp_path, seed=seed).snapshot_id for seed in range(4)]
    assert [manifest.snapshot_id for manifest in snapshot_manifest.manifests(tmp_path)] == [ids[3], ids[2]]
    assert snapshot.load(tmp_path).snapshot_id == ids[3]
    assert snapshot.load(tmp_path, ids[2]).snapshot_id == ids[2]
    with pytest.raises(SnapshotMissingError, match=ids[0]):
        snapshot.load(tmp_path, ids[0])


def test_a_loaded_dictionary_outlives_its_files(tmp_path):
    publish(tmp_path)
    loaded = snapshot.load(tmp_path)
    for seed in (1, 2, 3):
        publish(tmp_path, seed=seed)
    assert loaded.search(some_vectors()[3], k=1, encoder_id=ENCODER)[0].entries[0].entry.id == "e3"


def test_an_empty_folder_has_no_snapshot(tmp_path):
    with pytest.raises(SnapshotMissingError, match="no snapshot was published"):
        snapshot.load(tmp_path)
    assert snapshot_manifest.manifests(tmp_path / "nowhere") == []
    assert snapshot.remove_leftovers(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["vectors.npy", "entries.jsonl"])
def test_a_damaged_truth_is_refused_and_named(tmp_path, name):
    manifest = publish(tmp_path)
    flip_a_byte(tmp_path / manifest.snapshot_id / name)
    with pytest.raises(SnapshotDamagedError, match=name):
        snapshot.load(tmp_path)


@pytest.mark.parametrize("name", ["vectors.npy", "entries.jsonl", "manifest.json"])
def test_a_missing_truth_is_refused_and_named(tmp_path, name):
    manifest = publish(tmp_path)
    (tmp_path / manifest.snapshot_id / name).unlink()
    with pytest.raises(SnapshotDamagedError, match=name):
        snapshot.load(tmp_path)


def test_a_damaged_or_missing_index_is_made_anew_and_said(tmp_path):
    manifest = publish(tmp_path)
    derived = tmp_path / manifest.snapshot_id / "index.faiss"
    expected = snapshot.load(tmp_path).search(some_vectors()[5], k=6, encoder_id=ENCODER)
    flip_a_byte(derived)
    damaged = snapshot.load(tmp_path)
    derived.unlink()
    missing = snapshot.load(tmp_path)
    for loaded in (damaged, missing):
        assert loaded.search(some_vectors()[5], k=6, encoder_id=ENCODER) == expected
        assert "made anew" in loaded.notes[0]
    assert "sha256" in damaged.notes[0]


@pytest.mark.parametrize("text", ["", "../../etc", "\udcff", "0123456789ab0"])
def test_a_current_that_names_no_snapshot_is_refused(tmp_path, text):
    publish(tmp_path)
    (tmp_path / "CURRENT").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SnapshotDamagedError, match="CURRENT"):
        snapshot.load(tmp_path)


def test_a_manifest_of_a_later_schema_is_refused(tmp_path):
    manifest = publish(tmp_path)
    path = tmp_path / manifest.snapshot_id / "manifest.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(SnapshotDamagedError, match="schema 2"):
        snapshot.load(tmp_path)


def test_vectors_that_do_not_fit_the_entries_change_nothing(tmp_path):
    published = publish(tmp_path).snapshot_id
    with pytest.raises(VectorsError, match="11 entries for 12 vectors"):
        snapshot.publish(tmp_path, some_vectors(), some_entries()[:-1], encoder_id=ENCODER)
    with pytest.raises(VectorsError, match="there twice"):
        snapshot.publish(tmp_path, some_vectors(2), [Entry("e", "A", "a"), Entry("e", "B", "b")], encoder_id=ENCODER)
    assert snapshot.load(tmp_path).snapshot_id == published


def test_start_up_removes_what_a_killed_writer_left(tmp_path):
    published = publish(tmp_path).snapshot_id
    (tmp_path / ".staging-aaaaaaaaaaaa").mkdir()
    (tmp_path / ".staging-aaaaaaaaaaaa" / "vectors.npy").write_bytes(b"half")
    (tmp_path / ".staging-CURRENT").write_text("aaaa")
    (tmp_path / ".trash-bbbbbbbbbbbb").mkdir()
    assert snapshot.remove_leftovers(tmp_path) == [".staging-CURRENT", ".staging-aaaaaaaaaaaa", ".trash-bbbbbbbbbbbb"]
    assert snapshot.remove_leftovers(tmp_path) == []
    assert snapshot.load(tmp_path).snapshot_id == published


def test_where_nothing_may_be_written_a_start_tidies_nothing_and_does_not_fail():
    kernels = Path("/sys/kernel")  # nobody may create files there
    with pytest.raises(OSError, match=r"denied|Read-only|permitted"):
        (kernels / ".lock").open("w")
    assert snapshot.remove_leftovers(kernels) == []


def test_a_disk_that_takes_no_more_leaves_the_published_snapshot(tmp_path):
    # A limit on the size of files is what a full disk looks like to the writer.
    publish(tmp_path)
    published = snapshot_manifest.current_id(tmp_path)
    script = (
        "import resource, signal, sys; from tests.index.test_snapshot import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n    publish(Path(sys.argv[1]), num=2000)\n"
        "except SnapshotWriteError as error:\n    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "what was published stays" in ran.stdout
    assert snapshot.load(tmp_path).snapshot_id == published
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".lock", "CURRENT", published])


def test_a_folder_that_can_not_be_made_is_a_write_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SnapshotWriteError, match="file"):
        publish(tmp_path / "file" / "snapshots")


KILLS = 40


def test_a_writer_killed_at_any_moment_leaves_a_whole_snapshot(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "tests.index.killed_writers", str(tmp_path), str(KILLS)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["num_killed"] == KILLS
    assert told["num_leftovers"] > 0  # else no kill met a writer in the middle of its work
    assert snapshot.load(tmp_path).num_entries == 500
