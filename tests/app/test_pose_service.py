"""The service with an encoder of skeletons: an estimator that sees colours takes MediaPipe's place."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from app.decoding.decoder import Decoder
from app.decoding.limits import DecoderLimits
from app.encoder import open_encoder
from app.errors import VideoTooCostlyError
from app.evaluate import search_offline
from app.http.application import create_app
from app.http.lifecycle import Lifecycle
from app.indexing.sources import scan
from app.replica.services import open_services
from app.search.offline import look_up
from app.settings import Settings
from index import snapshot_manifest
from model.clip_stream import WindowingConfig
from model.errors import EstimatorError, NoSignerError, ProviderError
from model.runtime.devices import Device
from model.runtime.onnx_encoder import load_file
from model.skeleton.encoders import BoneEncoder, SkeletonEncoder
from model.skeleton.skeleton_stream import open_skeletons
from model.video import VideoLimits
from model.video.time_range import TimeRange
from tests.app.conftest import KEY, Served, SilentProgress
from tests.model.skeleton.test_encoders import write_encoder
from tests.running import running
from tests.signers import NAME, ColourSeer, write_nobody, write_signer

GLOSSES = ["APPLE", "BREAD", "CHAIR", "DANCE"]
GENEROUS = DecoderLimits(memory_bytes=512_000_000, seconds=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("signers")
    for seed, gloss in enumerate(GLOSSES):
        write_signer(folder / f"{gloss}.mp4", seed)
    write_nobody(folder / "NOBODY.mp4")
    return folder


@pytest.fixture(scope="module")
def posed(tmp_path_factory, folder):
    """A service that has indexed four signs, and skipped a clip without a signer."""
    data = tmp_path_factory.mktemp("data")
    settings = Settings(data=data, dictionary=folder, admin_key=KEY, decoders=1)
    encoder = BoneEncoder(NAME)
    services = open_services(settings, encoder)
    services.reindex(SilentProgress())
    app = create_app(settings, Lifecycle(services))
    with running(app) as client:
        yield Served(client, encoder, services, app)


def test_a_sign_is_found_by_the_skeleton_of_who_signs_it(posed, tmp_path):
    answer = posed.post(write_signer(tmp_path / "query.mp4", 2, 26)).json()
    assert answer["hits"][0]["sign"]["gloss"] == "CHAIR"
    assert answer["hits"][0]["mirrored"] is False
    assert answer["encoder_id"] == BoneEncoder(NAME).info.encoder_id
    assert len(answer["vector"]) == 2016
    assert max(entry["right"] for entry in answer["query"]["activity"]) == 1
    assert {entry["left"] for entry in answer["query"]["activity"]} == {0}
    assert answer["query"]["num_frames"] == 26


def test_a_mirrored_clip_is_found_in_the_mirror(posed, tmp_path):
    answer = posed.post(write_signer(tmp_path / "query.mp4", 1, mirrored=True)).json()
    assert (answer["hits"][0]["sign"]["gloss"], answer["hits"][0]["mirrored"]) == ("BREAD", True)


def test_part_of_a_query_is_looked_up_again_without_decoding(posed, tmp_path):
    first = posed.post(write_signer(tmp_path / "query.mp4", 3, 60)).json()
    asked = {"query_id": first["query_id"], "start_s": 0.0, "end_s": 1.2}
    again = posed.client.post("/v1/search/vector", json=asked).json()
    assert again["hits"][0]["sign"]["gloss"] == "DANCE"
    assert again["timings_ms"]["decode"] == 0


def test_a_clip_without_a_signer_is_a_problem_of_the_client(posed, folder, tmp_path):
    answer = posed.post(folder / "NOBODY.mp4")
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("video-unusable")
    assert "nobody was found in any of the 20 frames" in answer.json()["detail"]
    assert posed.post(write_signer(tmp_path / "query.mp4", 0)).status_code == 200


def test_the_encoder_in_use_is_told(posed):
    told = posed.client.get("/v1/info").json()["encoder"]
    assert (told["takes"], told["dim"], told["window_frames"], told["stride_frames"]) == ("skeletons", 2016, 16, 2)
    assert "MediaPipe" in told["provenance"]


def test_what_was_skipped_is_reported_and_what_did_not_change_is_not_embedded_again(posed):
    before = snapshot_manifest.read_manifest(
        posed.services.settings.snapshots / posed.services.active_snapshot.require_dictionary().snapshot_id
    )
    assert [each["video"] for each in before.report["skipped"]] == ["NOBODY.mp4"]
    assert "nobody was found" in before.report["skipped"][0]["reason"]
    after = posed.services.reindex(SilentProgress())
    assert after.snapshot_id == before.snapshot_id
    assert (after.report["cache"]["num_cached"], after.report["cache"]["num_embedded"]) == (4, 0)


def test_a_decoder_that_is_killed_costs_its_video_only(posed, tmp_path):
    path = write_signer(tmp_path / "query.mp4", 0)
    [pid] = posed.app.state.search_service.decoder_pids
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    lost = posed.post(path)
    assert (lost.status_code, lost.json()["type"].rsplit("/")[-1].endswith("video-unusable")) == (422, True)
    assert posed.post(path).json()["hits"][0]["sign"]["gloss"] == "APPLE"
    assert posed.app.state.search_service.decoder_pids != [pid]


def test_the_command_line_finds_what_the_service_finds(posed, tmp_path):
    path = write_signer(tmp_path / "query.mp4", 2)
    services = posed.services
    found = look_up(
        path,
        encoder=services.encoder,
        dictionary=services.active_snapshot.require_dictionary(),
        limits=VideoLimits(),
        k=4,
        time_range=TimeRange(),
    )
    answer = posed.post(path).json()
    assert found.vector.tolist() == pytest.approx(answer["vector"], abs=1e-5)
    asked = scan(path.parent).clips[0]
    assert search_offline(services, 4)(asked).glosses[0] == "CHAIR"


def test_skeletons_from_another_process_are_those_found_here(tmp_path):
    windowing = WindowingConfig.of(BoneEncoder(NAME).info)
    path = write_signer(tmp_path / "clip.mp4", 1, left=True)
    decoder = Decoder(GENEROUS, NAME)
    try:
        with path.open("rb") as file:
            theirs = decoder.decode_windows(file.fileno(), windowing, VideoLimits())
            with pytest.raises(NoSignerError), write_nobody(tmp_path / "nobody.mp4").open("rb") as nobody:
                decoder.decode_windows(nobody.fileno(), windowing, VideoLimits())
            assert len(decoder.decode_thumbnail(file.fileno(), 64, VideoLimits())) > 100
    finally:
        decoder.kill()
    with open_skeletons(path, windowing, ColourSeer()) as stream:
        ours = list(stream)
    assert theirs.start_frames.tolist() == [window.start_frame for window, _ in ours]
    assert all((theirs[number] == window.frames).all() for number, (window, _) in enumerate(ours))
    assert theirs.info == stream.info


def test_finding_skeletons_has_the_time_limit_of_decoding(tmp_path):
    path = write_signer(tmp_path / "clip.mp4", 1)
    decoder = Decoder(replace(GENEROUS, seconds=0.3), NAME)
    try:
        decoder.start()
        os.kill(decoder.pid, signal.SIGSTOP)
        began = time.monotonic()
        with path.open("rb") as file, pytest.raises(VideoTooCostlyError, match=r"SIGNDEX_DECODE_S"):
            decoder.decode_windows(file.fileno(), WindowingConfig.of(BoneEncoder(NAME).info), VideoLimits())
        assert time.monotonic() - began < 20
    finally:
        decoder.kill()


def test_the_setting_names_the_encoder_and_a_service_without_mediapipe_refuses_to_start(monkeypatch):
    settings = Settings(encoder="pose")
    monkeypatch.setattr("model.skeleton.estimator.find_spec", lambda name: None)
    with pytest.raises(EstimatorError, match="dependency group `pose`"):
        open_encoder(settings)
    monkeypatch.setattr("model.skeleton.estimator.find_spec", lambda name: object())
    assert open_encoder(settings).info == BoneEncoder().info
    with pytest.raises(ProviderError, match="SIGNDEX_PROVIDER is cuda"):
        open_encoder(Settings(encoder="pose", provider="cuda"))


def test_a_trained_file_of_skeletons_is_opened_by_what_it_says_of_itself(monkeypatch, tmp_path):
    path = write_encoder(tmp_path / "skeleton.onnx")
    monkeypatch.setattr("model.skeleton.estimator.find_spec", lambda name: None)
    with pytest.raises(EstimatorError, match="dependency group `pose`"):
        open_encoder(Settings(encoder=path))
    monkeypatch.setattr("model.skeleton.estimator.find_spec", lambda name: object())
    assert isinstance(open_encoder(Settings(encoder=path)), SkeletonEncoder)


def test_a_trained_file_serves_like_any_other(folder, tmp_path):
    loaded = load_file(write_encoder(tmp_path / "skeleton.onnx"), Device())
    encoder = SkeletonEncoder(loaded, Device())
    encoder.info = replace(encoder.info, estimator=NAME)
    settings = Settings(data=tmp_path / "data", dictionary=folder, admin_key=KEY, decoders=1)
    services = open_services(settings, encoder)
    services.reindex(SilentProgress())
    app = create_app(settings, Lifecycle(services))
    with running(app) as client:
        answer = Served(client, encoder, services, app).post(folder / "BREAD.mp4").json()
    assert answer["hits"][0]["sign"]["gloss"] == "BREAD"
    assert (answer["query"]["num_frames"], answer["query"]["num_windows"]) == (15, 4)
