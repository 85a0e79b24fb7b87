"""The service on real clips."""

import shutil

import pytest

from app.http.answers import search_answer
from app.http.application import create_app
from app.http.lifecycle import Lifecycle
from app.replica.services import open_services
from app.search.offline import look_up
from app.settings import Settings
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder
from model.video.time_range import WHOLE_VIDEO
from tests.fakes import FakeEncoder
from tests.running import running

pytestmark = pytest.mark.real

SIGNS = ("apple", "house", "red", "you")


class Quiet:
    """A `ProgressCallback` that nobody looks at."""

    def start_phase(self, name, total):
        pass

    def advance(self):
        pass

    def report_skipped(self, skipped):
        raise AssertionError(skipped)


def serve(folder, data, encoder):
    services = open_services(Settings(data=data, dictionary=folder), encoder)
    services.reindex(Quiet())
    return running(create_app(services.settings, Lifecycle(services)))


@pytest.fixture(scope="module")
def studio(shared, tmp_path_factory):
    """A few clips of the dictionary."""
    folder = tmp_path_factory.mktemp("studio")
    for sign in SIGNS:
        shutil.copy(shared / f"clips/ukg/studio/{sign}.mp4", folder)
    return folder


@pytest.fixture(scope="module")
def client(studio, tmp_path_factory):
    """A service on them whose encoder is quick: what is tried here is the way of the bytes, not the ranking."""
    with serve(studio, tmp_path_factory.mktemp("data"), FakeEncoder()) as client:
        yield client


def post(client, path):
    with path.open("rb") as video:
        return client.post("/search", files={"video": video})


@pytest.mark.parametrize("sign", SIGNS)
def test_a_dictionary_clip_finds_itself(client, studio, sign):
    first = post(client, studio / f"{sign}.mp4").json()["hits"][0]
    assert first["sign"]["gloss"] == sign
    assert first["score"] == pytest.approx(1, abs=1e-5)


def test_the_shipped_encoder_finds_a_clip_again_and_says_what_it_is_worth(shared, tmp_path):
    (tmp_path / "clips").mkdir()
    shutil.copy(shared / "clips/ukg/studio/you.mp4", tmp_path / "clips")
    shutil.copy(shared / "clips/ukg/studio/red.mp4", tmp_path / "clips")
    encoder = OnnxEncoder(DEFAULT_ENCODER, threads=1)
    with serve(tmp_path / "clips", tmp_path / "data", encoder) as client:
        answer = post(client, tmp_path / "clips/you.mp4").json()
    assert [hit["sign"]["gloss"] for hit in answer["hits"]] == ["you", "red"]
    assert any("untrained" in warning for warning in answer["query"]["warnings"]) != encoder.info.trained


HITS = [
    "anamorphic.mp4",
    "animated.gif",
    "five_frames.mp4",
    "hevc_10bit_hlg.mov",
    "motion_jpeg.avi",
    "no_signer.mp4",
    "phone_rotated.mov",
    "portrait.mp4",
    "sixty_fps.mp4",
    "variable_rate.mp4",
    "vp9.webm",
    "webm_no_duration.webm",
]
PROBLEMS = {
    "audio_only.m4a": (415, "not-a-video"),
    "bit_errors.mp4": (422, "video-broken"),
    "empty.mp4": (415, "not-a-video"),
    "not_a_video.mp4": (415, "not-a-video"),
    "truncated.mp4": (422, "video-broken"),
}


def test_every_odd_file_is_expected_here(shared):
    assert {path.name for path in (shared / "clips/odd").iterdir()} == {*HITS, *PROBLEMS}


@pytest.mark.parametrize("name", HITS)
def test_a_video_of_an_odd_shape_is_answered(client, shared, name):
    response = post(client, shared / "clips/odd" / name)
    assert response.status_code == 200
    assert [hit["rank"] for hit in response.json()["hits"]] == [1, 2, 3, 4]


SAME_ROOM = ("apple", "bread", "house", "milk", "red", "you")
"""Clips from the room in which the odd ones were filmed, the original of the odd ones among them."""


@pytest.fixture(scope="module")
def home(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    for sign in SAME_ROOM:
        shutil.copy(shared / f"clips/ukg/home/{sign}.mp4", folder)
    with serve(folder, tmp_path_factory.mktemp("data"), FakeEncoder()) as client:
        yield client


@pytest.mark.parametrize("name", sorted({*HITS} - {"five_frames.mp4", "no_signer.mp4", "portrait.mp4"}))
def test_a_video_of_an_odd_shape_finds_what_it_was_made_from(home, shared, name):
    assert post(home, shared / "clips/odd" / name).json()["hits"][0]["sign"]["gloss"] == "house"


def test_the_shipped_encoder_gives_the_same_over_http_and_offline(shared, tmp_path):
    (tmp_path / "clips").mkdir()
    for sign in SIGNS[:1]:
        shutil.copy(shared / f"clips/ukg/studio/{sign}.mp4", tmp_path / "clips")
    encoder = OnnxEncoder(DEFAULT_ENCODER, threads=1)
    query = shared / "clips/ukg/home/house.mp4"
    with serve(tmp_path / "clips", tmp_path / "data", encoder) as client:
        over_http = post(client, query).json()
    services = open_services(Settings(data=tmp_path / "data"), encoder)
    dictionary, limits = services.active_snapshot.require_dictionary(), services.settings.video_limits
    found = look_up(query, encoder=encoder, dictionary=dictionary, limits=limits, k=10, time_range=WHOLE_VIDEO)
    offline = search_answer(found, receive_s=0, total_s=0).model_dump(mode="json")
    assert over_http["query"] == offline["query"]
    assert [hit["sign"] for hit in over_http["hits"]] == [hit["sign"] for hit in offline["hits"]]
    for one, other in zip(over_http["hits"], offline["hits"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_no_usable_video_is_refused_with_a_reason(client, shared, name):
    response = post(client, shared / "clips/odd" / name)
    status, kind = PROBLEMS[name]
    assert (response.status_code, response.json()["type"]) == (status, f"urn:signdex:problem:{kind}")
    assert response.json()["detail"]
