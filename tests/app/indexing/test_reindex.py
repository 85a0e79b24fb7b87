"""From a folder to a snapshot, without HTTP: what is embedded, what is kept, what the report card says."""

import json
import os
import shutil
import signal
import subprocess
import sys

import faiss
import numpy as np
import pytest

from app.errors import DictionaryEmptyError, NothingUsableError
from app.indexing.reindex import ReindexMode
from app.replica.services import open_services
from app.settings import Settings
from index import faiss_index, snapshot, snapshot_manifest
from index.catalogue import Filters
from index.errors import EncoderMismatchError, IndexDeviceError, SelfCheckError, SnapshotMissingError
from model.embed import Embedder
from tests.app.conftest import GLOSSES, SilentProgress
from tests.conftest import ROOT
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip


@pytest.fixture
def folder(dictionary_folder, tmp_path):
    """A dictionary folder that a test may change."""
    return shutil.copytree(dictionary_folder, tmp_path / "videos")


class CountingEncoder(FakeEncoder):
    """Counts the windows it is given."""

    def __init__(self, encoder_id="fa4e00000000"):
        super().__init__(encoder_id)
        self.num_windows = 0

    def encode(self, windows, visible=None):
        self.num_windows += len(windows)
        return super().encode(windows, visible)


@pytest.fixture
def encoder():
    return CountingEncoder()


@pytest.fixture
def services(tmp_path, folder, encoder):
    return open_services(Settings(data=tmp_path / "data", dictionary=folder), encoder)


def reindex(services, mode=ReindexMode.MISSING):
    """One run; gives its report card."""
    return services.reindex(SilentProgress(), mode).report


def vector_of(path):
    return Embedder(FakeEncoder()).embed(path).vector


def first(services, vector, **filters):
    """The sign nearest to a vector."""
    return services.active_snapshot.require_dictionary().search(
        vector, k=1, encoder_id="fa4e00000000", filters=Filters(**filters)
    )[0]


def test_a_second_run_with_nothing_changed_embeds_nothing_and_gives_the_same_vectors(services, encoder):
    assert reindex(services)["cache"] == {"num_cached": 0, "num_embedded": 5, "notes": []}
    before, num_windows = services.active_snapshot.require_dictionary(), encoder.num_windows
    assert reindex(services)["cache"] == {"num_cached": 5, "num_embedded": 0, "notes": []}
    assert encoder.num_windows == num_windows
    assert services.active_snapshot.require_dictionary() is before


def test_a_run_with_nothing_changed_publishes_nothing_and_keeps_the_way_back(services, folder):
    reindex(services)
    older = services.active_snapshot.require_dictionary().snapshot_id
    write_clip(folder / "ZEBRA.mp4", 99)
    reindex(services)
    current = services.active_snapshot.require_dictionary().snapshot_id
    for mode in (ReindexMode.MISSING, ReindexMode.FULL):
        manifest = services.reindex(SilentProgress(), mode)
        assert manifest.snapshot_id == manifest.report["previous"]["snapshot_id"] == current
    assert {kept.snapshot_id for kept in snapshot_manifest.manifests(services.settings.snapshots)} == {older, current}
    assert services.active_snapshot.activate(older).num_entries == 5


def changed_gloss(folder):
    (folder / "APPLE.mp4").rename(folder / "PEAR.mp4")


def changed_picture(folder):
    write_clip(folder / "APPLE.mp4", 98)


def one_less(folder):
    (folder / "APPLE.mp4").unlink()


def one_that_can_not_be_used(folder):
    (folder / "BROKEN.mp4").write_bytes(b"nothing")


@pytest.mark.parametrize("change", [changed_gloss, changed_picture, one_less, one_that_can_not_be_used])
def test_a_run_with_anything_changed_publishes_it(services, folder, change):
    reindex(services)
    before = services.active_snapshot.require_dictionary().snapshot_id
    change(folder)
    reindex(services)
    assert (
        services.active_snapshot.require_dictionary().snapshot_id
        == snapshot_manifest.current_id(services.settings.snapshots)
        != before
    )


@pytest.mark.parametrize("name", ["vectors.npy", "entries.jsonl", "index.faiss", "manifest.json"])
def test_a_run_with_nothing_changed_repairs_a_snapshot_that_is_damaged_on_disk(services, name):
    reindex(services)
    before = services.active_snapshot.require_dictionary().snapshot_id
    (services.settings.snapshots / before / name).write_bytes(b"{}")
    reindex(services)
    assert services.active_snapshot.require_dictionary().snapshot_id != before
    assert snapshot.load(services.settings.snapshots).notes == ()


def test_only_what_is_new_or_changed_is_embedded(services, encoder, folder):
    reindex(services)
    write_clip(folder / "ZEBRA.mp4", 99)
    write_clip(folder / "APPLE.mp4", 98)
    (folder / "BREAD.mp4").rename(folder / "CAKE.mp4")
    (folder / "CHAIR.mp4").unlink()
    assert reindex(services)["cache"] == {"num_cached": 3, "num_embedded": 2, "notes": []}
    glosses = {sign.gloss for sign in services.active_snapshot.require_dictionary().signs}
    assert glosses == {"APPLE", "CAKE", "DANCE", "EARTH", "ZEBRA"}
    assert first(services, vector_of(folder / "APPLE.mp4")).score == pytest.approx(1, abs=1e-5)


def test_a_full_run_embeds_everything_again(services):
    reindex(services)
    assert reindex(services, ReindexMode.FULL)["cache"]["num_embedded"] == 5


def test_another_encoder_does_not_get_what_the_first_one_made(services, folder):
    reindex(services)
    other = open_services(services.settings, CountingEncoder("bbbbbbbbbbbb"))
    assert other.reindex(SilentProgress()).report["cache"]["num_embedded"] == 5
    assert reindex(services)["cache"]["num_cached"] == 5


def test_a_clip_filmed_in_the_mirror_is_found_and_said_to_be(services, folder, tmp_path):
    reindex(services)
    for gloss in GLOSSES:
        _, flipped = Embedder(FakeEncoder()).embed_both(folder / f"{gloss}.mp4")
        hit = first(services, flipped.vector)
        assert (hit.sign.gloss, hit.mirrored) == (gloss, True)
        assert not first(services, vector_of(folder / f"{gloss}.mp4")).mirrored
    assert (
        services.active_snapshot.require_dictionary().num_entries,
        len(services.active_snapshot.require_dictionary().entries),
    ) == (5, 10)


def test_two_time_ranges_of_one_video_are_two_entries(services, encoder, folder):
    long = folder / "long.mp4"
    write_clip(long, 5, seconds=1.0)
    other = write_clip(folder / "other.mp4", 6, seconds=1.0)
    joined = folder / "both.mp4"
    join(long, other, joined)
    (folder / "entries.csv").write_text(
        "id,gloss,video,start_s,end_s,language,tags\n"
        "1,LONG,both.mp4,0,1,ase,a\n2,OTHER,both.mp4,1,2,gsg,a|b\n3,SAME,both.mp4,1,2,,\n"
    )
    card = reindex(services)
    assert (card["entries"], card["cache"]["num_embedded"]) == (3, 2)
    assert first(services, vector_of(long)).sign.gloss == "LONG"
    assert first(services, vector_of(other)).sign.gloss in ("OTHER", "SAME")
    assert first(services, vector_of(long), language="gsg").sign.gloss == "OTHER"
    assert first(services, vector_of(long), tag="b").sign.gloss == "OTHER"
    [pair] = [pair for pair in card["near_duplicates"]["pairs"] if not pair["mirrored"]]
    assert pair["ids"] == ("2", "3")
    assert services.active_snapshot.require_dictionary().entry("2").start_s == 1


def join(one, other, target):
    """One video after the other."""
    import av

    with av.open(str(target), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=128, height=128, pix_fmt="yuv420p", bit_rate=2_000_000)
        for source in (one, other):
            with av.open(str(source)) as original:
                for frame in original.decode(video=0):
                    picture = frame.to_ndarray(format="rgb24")
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_the_report_card_says_what_an_editor_wants_to_know(services, folder):
    shutil.copy(folder / "APPLE.mp4", folder / "PEAR.mp4")
    (folder / "BREAD").mkdir()
    write_clip(folder / "BREAD" / "1.mp4", 77)
    (folder / "BROKEN.mp4").write_bytes(b"nothing")
    card = reindex(services)
    assert (card["entries"], card["signs"], card["mode"], card["previous"]) == (7, 6, "missing", None)
    [skipped] = card["skipped"]
    assert (skipped["video"], skipped["line"]) == ("BROKEN.mp4", None)
    assert card["single_video_signs"] == {"num": 5, "glosses": ["APPLE", "CHAIR", "DANCE", "EARTH", "PEAR"]}
    assert card["near_duplicates"]["num"] >= 1
    assert card["near_duplicates"]["pairs"][0]["glosses"] == ("APPLE", "PEAR")
    assert card["near_duplicates"]["pairs"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert card["self_check"] == {"num_checked": 14, "of": 14}
    assert set(card["durations_s"]) == {"scan", "hash", "embed", "check"}
    assert card["cache"]["num_embedded"] == 6
    published = services.active_snapshot.require_dictionary().snapshot_id
    on_disk = json.loads((services.settings.snapshots / published / "manifest.json").read_text())["report"]
    assert on_disk["near_duplicates"]["num"] == card["near_duplicates"]["num"]
    assert reindex(services)["previous"] == {"snapshot_id": published, "entries": 7, "signs": 6, "vectors": 14}


def test_rows_that_can_not_be_used_are_in_the_report_with_their_line(services, folder):
    (folder / "broken.mp4").write_bytes(b"nothing")
    (folder / "entries.csv").write_text("gloss,video\nAPPLE,APPLE.mp4\nGONE,gone.mp4\nBROKEN,broken.mp4\n")
    progress = SilentProgress()
    report = services.reindex(progress).report
    assert [(skipped["video"], skipped["line"]) for skipped in report["skipped"]] == [
        ("gone.mp4", 3),
        ("broken.mp4", 4),
    ]
    assert [skipped.line for skipped in progress.skipped] == [3, 4]


def test_the_phases_come_in_order(services):
    progress = SilentProgress()
    services.reindex(progress)
    assert progress.phases == [("scan", 1), ("hash", 5), ("embed", 5), ("check", 1), ("publish", 1)]
    progress = SilentProgress()
    services.reindex(progress)
    assert ("embed", 0) in progress.phases


class CancelledError(Exception):
    pass


@pytest.mark.parametrize("phase", ["scan", "hash", "embed", "check", "publish"])
def test_a_run_stopped_in_any_phase_publishes_nothing(services, folder, phase):
    reindex(services)
    published = services.active_snapshot.require_dictionary().snapshot_id
    write_clip(folder / "ZEBRA.mp4", 99)

    class Stopping(SilentProgress):
        def start_phase(self, name, total):
            if name == phase:
                raise CancelledError

    with pytest.raises(CancelledError):
        services.reindex(Stopping())
    assert (
        services.active_snapshot.require_dictionary().snapshot_id
        == snapshot_manifest.current_id(services.settings.snapshots)
        == published
    )
    assert len(snapshot_manifest.manifests(services.settings.snapshots)) == 1
    assert reindex(services)["entries"] == 6


def test_what_a_stopped_run_embedded_is_not_embedded_again(services, encoder):
    class Stopping(SilentProgress):
        def start_phase(self, name, total):
            if name == "check":
                raise CancelledError

    with pytest.raises(CancelledError):
        services.reindex(Stopping())
    assert reindex(services)["cache"]["num_cached"] == 5


class Spoilt(CountingEncoder):
    """Gives NaN for everything."""

    def encode(self, windows, visible=None):
        encoding = super().encode(windows, visible)
        encoding.embedding[:, 0] = np.nan
        return encoding


def test_clips_for_which_the_encoder_gives_no_numbers_are_skipped_and_never_kept(services, folder):
    reindex(services)
    published = services.active_snapshot.require_dictionary().snapshot_id
    write_clip(folder / "ZEBRA.mp4", 99)
    good, services.encoder = services.encoder, Spoilt()
    [skipped] = reindex(services)["skipped"]
    assert skipped["video"] == "ZEBRA.mp4"
    assert "no numbers" in skipped["reason"]
    services.encoder = good
    card = reindex(services)
    assert (card["entries"], card["cache"]["num_embedded"], card["skipped"]) == (6, 1, [])
    assert services.active_snapshot.require_dictionary().snapshot_id != published


def test_an_encoder_that_gives_no_numbers_at_all_publishes_nothing(services):
    reindex(services)
    published = services.active_snapshot.require_dictionary().snapshot_id
    services.encoder = Spoilt()
    with pytest.raises(NothingUsableError, match="no numbers"):
        reindex(services, ReindexMode.FULL)
    assert (
        services.active_snapshot.require_dictionary().snapshot_id
        == snapshot_manifest.current_id(services.settings.snapshots)
        == published
    )


def test_a_damaged_cache_costs_time_and_leaves_a_note(services):
    reindex(services)
    services.settings.cache.write_bytes(b"no database " * 1000)
    card = reindex(services)
    assert card["cache"]["num_embedded"] == 5
    assert "damaged" in card["cache"]["notes"][0]
    assert reindex(services)["cache"]["num_cached"] == 5


def test_a_cache_that_may_hold_nothing_is_emptied_after_the_run(tmp_path, folder, encoder):
    services = open_services(Settings(data=tmp_path / "data", dictionary=folder, cache_gb=0), encoder)
    reindex(services)
    assert reindex(services)["cache"]["num_embedded"] == 5


def test_vectors_that_do_not_find_themselves_are_not_published(services, monkeypatch):
    reindex(services)
    published = services.active_snapshot.require_dictionary().snapshot_id
    build = faiss_index.build
    monkeypatch.setattr(faiss_index, "build", lambda vectors: build(np.roll(vectors, 3, axis=0)))
    with pytest.raises(SelfCheckError, match="nothing was published"):
        reindex(services)
    assert snapshot_manifest.current_id(services.settings.snapshots) == published


def test_any_snapshot_on_disk_can_be_activated(services, folder):
    reindex(services)
    old = services.active_snapshot.require_dictionary().snapshot_id
    write_clip(folder / "ZEBRA.mp4", 99)
    reindex(services)
    new = services.active_snapshot.require_dictionary().snapshot_id
    assert services.active_snapshot.activate(old).num_entries == 5
    assert (
        services.active_snapshot.require_dictionary().snapshot_id
        == snapshot_manifest.current_id(services.settings.snapshots)
        == old
    )
    assert services.active_snapshot.activate(new).num_entries == 6
    services.active_snapshot.activate(old)
    assert open_services(services.settings, CountingEncoder()).active_snapshot.require_dictionary().snapshot_id == old
    reindex(services)
    kept = {manifest.snapshot_id for manifest in snapshot_manifest.manifests(services.settings.snapshots)}
    assert kept == {old, services.active_snapshot.require_dictionary().snapshot_id}
    with pytest.raises(SnapshotMissingError):
        services.active_snapshot.activate(new)
    for nonsense in ("../..", "", "nothing", "CURRENT", f"{old}/../{old}"):
        with pytest.raises(SnapshotMissingError):
            services.active_snapshot.activate(nonsense)


def test_a_snapshot_of_another_encoder_is_not_activated(services):
    reindex(services)
    old = services.active_snapshot.require_dictionary().snapshot_id
    other = open_services(services.settings, CountingEncoder("bbbbbbbbbbbb"))
    with pytest.raises(DictionaryEmptyError, match="made by encoder fa4e00000000"):
        other.active_snapshot.require_dictionary()
    other.reindex(SilentProgress())
    with pytest.raises(EncoderMismatchError):
        other.active_snapshot.activate(old)
    assert other.active_snapshot.require_dictionary().encoder_id == "bbbbbbbbbbbb"
    assert (
        snapshot_manifest.current_id(services.settings.snapshots)
        == other.active_snapshot.require_dictionary().snapshot_id
    )


def test_a_disk_that_is_full_while_publishing_keeps_the_old_snapshot_serving(services, folder):
    reindex(services)
    published = services.active_snapshot.require_dictionary()
    write_clip(folder / "ZEBRA.mp4", 99)
    script = (
        "import resource, signal, sys; from pathlib import Path; from tests.app.indexing.test_reindex import *\n"
        "from index.errors import SnapshotWriteError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "services = open_services(Settings(data=Path(sys.argv[1]), dictionary=Path(sys.argv[2])), FakeEncoder())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))\n"
        "try:\n    services.reindex(SilentProgress())\n"
        "except SnapshotWriteError as error:\n    print(error)\n"
        "print(len(first(services, vector_of(Path(sys.argv[2]) / 'APPLE.mp4')).sign.gloss))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(services.settings.data), str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "what was published stays" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "5"
    assert snapshot.load(services.settings.snapshots).snapshot_id == published.snapshot_id
    names = {path.name for path in services.settings.snapshots.iterdir()}
    assert names == {".lock", "CURRENT", published.snapshot_id}


def test_a_killed_reindex_leaves_the_old_snapshot_and_the_next_one_resumes(services, folder):
    reindex(services)
    published = services.active_snapshot.require_dictionary().snapshot_id
    for seed in range(40):
        write_clip(folder / f"NEW{seed}.mp4", 100 + seed)
    script = (
        "import sys, time; from pathlib import Path; from tests.app.indexing.test_reindex import *\n"
        "class Slow(FakeEncoder):\n"
        "    def encode(self, windows, visible=None):\n"
        "        print('window', flush=True)\n        time.sleep(0.01)\n"
        "        return super().encode(windows, visible)\n"
        "data, folder = map(Path, sys.argv[1:])\n"
        "open_services(Settings(data=data, dictionary=folder), Slow()).reindex(SilentProgress())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(services.settings.data), str(folder)], cwd=ROOT, stdout=subprocess.PIPE
    ) as running:
        for _ in range(20):
            running.stdout.readline()
        os.kill(running.pid, signal.SIGKILL)
    again = open_services(services.settings, CountingEncoder())
    assert again.active_snapshot.require_dictionary().snapshot_id == published
    card = again.reindex(SilentProgress()).report
    assert card["entries"] == 45
    assert card["cache"]["num_cached"] > 5
    assert card["cache"]["notes"] == []


@pytest.mark.parametrize("num_kills", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_a_reindex_killed_at_any_moment_leaves_a_whole_snapshot_and_a_right_cache(tmp_path, num_kills):
    command = [sys.executable, "-m", "tests.app.indexing.killed_reindexes", str(tmp_path), "--kills", str(num_kills)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["num_killed"] == num_kills


@pytest.mark.skipif(hasattr(faiss, "StandardGpuResources"), reason="this FAISS can use a GPU: nothing to refuse")
def test_an_index_on_a_gpu_that_is_not_available_is_refused_at_start(tmp_path, folder):
    settings = Settings(data=tmp_path / "data", dictionary=folder, index_device="cuda")
    with pytest.raises(IndexDeviceError, match="SIGNDEX_INDEX_DEVICE=cpu"):
        open_services(settings, CountingEncoder())


@pytest.mark.gpu
@pytest.mark.skipif(not hasattr(faiss, "StandardGpuResources"), reason="this FAISS is built without GPU")
def test_a_dictionary_on_a_gpu_gives_the_hits_of_one_on_the_processor(tmp_path, folder):
    found = []
    for device in ("cpu", "cuda"):
        settings = Settings(data=tmp_path / "data", dictionary=folder, index_device=device)
        services = open_services(settings, CountingEncoder())
        reindex(services)
        vector = vector_of(folder / "APPLE.mp4")
        hits = services.active_snapshot.require_dictionary().search(vector, k=5, encoder_id="fa4e00000000")
        found.append([(hit.sign, hit.mirrored, round(hit.score, 6)) for hit in hits])
    assert found[0] == found[1]
