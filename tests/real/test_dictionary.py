"""A real dictionary through the whole path: folder, encoder, snapshot, search. Nothing here judges the ranking.

Windows start every 16 frames instead of every 2, to keep the test short.
"""

import shutil
from dataclasses import replace

import pytest

from app.client import Client
from app.evaluate import evaluate, search_offline, search_over_http
from app.http.application import create_app
from app.http.lifecycle import Lifecycle
from app.http.schemas.search import MAX_K
from app.indexing.reindex import ReindexMode
from app.replica.services import open_services
from app.settings import Settings
from index import snapshot
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder
from tests.running import running

pytestmark = pytest.mark.real

NUM_SIGNS = 24


class Quiet:
    """A `ProgressCallback` that takes note of what is left out."""

    def __init__(self):
        self.skipped = []

    def start_phase(self, name, total):
        pass

    def advance(self):
        pass

    def report_skipped(self, skipped):
        self.skipped.append(skipped)


@pytest.fixture(scope="module")
def folders(shared, tmp_path_factory):
    """The first signs that were filmed in the studio and at home: to index, and to ask for."""
    names = sorted(path.name for path in (shared / "clips/ukg/home").glob("*.mp4"))
    names = [name for name in names if (shared / "clips/ukg/studio" / name).is_file()][:NUM_SIGNS]
    made = []
    for place in ("studio", "home"):
        made.append(tmp_path_factory.mktemp(place))
        for name in names:
            shutil.copy(shared / "clips/ukg" / place / name, made[-1])
    return made


@pytest.fixture(scope="module")
def services(folders, tmp_path_factory):
    encoder = OnnxEncoder(DEFAULT_ENCODER, threads=2)
    encoder.info = replace(encoder.info, stride_frames=encoder.info.config.num_frames)
    return open_services(Settings(data=tmp_path_factory.mktemp("data"), dictionary=folders[0]), encoder)


@pytest.fixture(scope="module")
def report(services):
    """The report card of the first run."""
    return services.reindex(Quiet()).report


def test_every_studio_clip_is_indexed_and_finds_itself(services, report):
    assert (report["entries"], report["signs"], report["skipped"]) == (NUM_SIGNS, NUM_SIGNS, [])
    assert report["self_check"] == {"num_checked": 2 * NUM_SIGNS, "of": 2 * NUM_SIGNS}
    assert report["single_video_signs"]["num"] == NUM_SIGNS
    assert report["cache"]["num_embedded"] == NUM_SIGNS
    dictionary = services.active_snapshot.require_dictionary()
    assert (dictionary.num_entries, len(dictionary.entries)) == (NUM_SIGNS, 2 * NUM_SIGNS)
    assert dictionary.notes == ()


def test_a_second_run_embeds_nothing_and_changes_nothing(services, report):
    before = services.active_snapshot.require_dictionary()
    again = services.reindex(Quiet(), ReindexMode.MISSING).report
    assert (again["cache"]["num_embedded"], again["cache"]["num_cached"]) == (0, NUM_SIGNS)
    files = [
        services.settings.snapshots / used.snapshot_id / "vectors.npy"
        for used in (before, services.active_snapshot.require_dictionary())
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert (
        snapshot.load(services.settings.snapshots).snapshot_id
        == services.active_snapshot.require_dictionary().snapshot_id
    )


def test_every_home_clip_is_answered_and_over_http_as_offline(services, report, folders):
    known = frozenset(sign.gloss for sign in services.active_snapshot.require_dictionary().signs)
    offline = evaluate(folders[1], search_offline(services, NUM_SIGNS), known, NUM_SIGNS, Quiet())
    with running(create_app(services.settings, Lifecycle(services))) as client:
        http = evaluate(folders[1], search_over_http(Client(str(client.base_url), http=client)), known, MAX_K, Quiet())
    for figures in (offline, http):
        assert figures.num_queries == NUM_SIGNS
        assert all(query.refusal is None and query.rank is not None for query in figures.queries)
    assert [query.rank for query in offline.queries] == [query.rank for query in http.queries]
    assert [query.best for query in offline.queries] == [query.best for query in http.queries]
