"""POST /search."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.app.conftest import GLOSSES
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip


def test_every_clip_of_the_dictionary_finds_its_own_sign_first(served, dictionary_folder):
    for gloss in GLOSSES:
        answer = served.post(dictionary_folder / f"{gloss}.mp4").json()
        first = answer["hits"][0]
        assert first["sign"]["gloss"] == gloss
        assert first["score"] == pytest.approx(1, abs=1e-5)
        assert first["entries"][0]["video"] == f"{gloss}.mp4"


def test_hits_are_ranked_from_one_by_falling_score(served, dictionary_folder):
    hits = served.post(dictionary_folder / "BREAD.mp4").json()["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4, 5]
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_k_bounds_the_hits(served, dictionary_folder):
    assert len(served.post(dictionary_folder / "BREAD.mp4", k=2).json()["hits"]) == 2


def test_the_answer_says_what_was_seen_and_how_long_it_took(served, dictionary_folder):
    answer = served.post(dictionary_folder / "CHAIR.mp4").json()
    query, timings = answer["query"], answer["timings_ms"]
    assert query["duration_s"] == pytest.approx(1.0, abs=0.05)
    assert query["num_frames"] == pytest.approx(25, abs=1)
    assert query["num_windows"] == len(query["activity"]) >= 2
    assert query["activity"][0] == {"start_s": 0.0, "left": 1.0, "right": 1.0}
    assert all(spent >= 0 for spent in timings.values())
    parts = sum(timings[stage] for stage in ("receive", "decode", "encode", "search"))
    assert 0 < parts <= timings["total"] + 0.1
    assert answer["encoder_id"] == served.encoder.info.encoder_id
    assert answer["snapshot_id"] == served.client.get("/v1/info").json()["dictionary"]["snapshot_id"]


def test_only_the_stretch_that_was_asked_for_is_looked_up(served, dictionary_folder):
    answer = served.post(dictionary_folder / "DANCE.mp4", start_s=0.2, end_s=0.96).json()
    assert answer["query"]["num_frames"] == pytest.approx(19, abs=1)
    assert answer["hits"][0]["sign"]["gloss"] == "DANCE"


@pytest.mark.parametrize("start_s", [86_401, 1e15, 1e300])
def test_a_stretch_that_begins_later_than_any_video_costs_no_decoder(served, dictionary_folder, start_s):
    before = served.app.state.search_service.decoder_pids
    response = served.post(dictionary_folder / "DANCE.mp4", start_s=start_s)
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:video-too-short")
    assert served.app.state.search_service.decoder_pids == before


def test_both_addresses_give_the_same(served, dictionary_folder):
    video = (dictionary_folder / "EARTH.mp4").read_bytes()
    short, long = (served.client.post(path, files={"video": video}).json() for path in ("/search", "/v1/search"))
    assert short["hits"] == long["hits"]
    assert short["query_id"] != long["query_id"]


def test_an_untrained_encoder_says_so_in_every_answer(start, dictionary_folder):
    untrained = start(filled=True, encoder=FakeEncoder(trained=False))
    warnings = untrained.post(dictionary_folder / "APPLE.mp4").json()["query"]["warnings"]
    assert any("untrained" in warning for warning in warnings)


def test_a_trained_encoder_does_not_warn(served, dictionary_folder):
    assert served.post(dictionary_folder / "APPLE.mp4").json()["query"]["warnings"] == []


def test_an_empty_dictionary_names_the_command_that_fills_it(start, dictionary_folder):
    response = start().post(dictionary_folder / "APPLE.mp4")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:signdex:problem:dictionary-empty"
    assert "python -m app index build DIR" in response.json()["detail"]


@pytest.mark.parametrize("content", [b"", b"this is not a video" * 100])
def test_what_is_no_video_is_refused(served, content):
    response = served.client.post("/search", files={"video": ("x.mp4", content)})
    assert response.status_code == 415
    assert response.json()["type"] == "urn:signdex:problem:not-a-video"


def test_a_video_that_is_too_long_is_refused(start, tmp_path):
    served = start(filled=True, max_video_s=1.5)
    response = served.post(write_clip(tmp_path / "long.mp4", 3, seconds=3))
    assert response.status_code == 422
    assert response.json()["type"] == "urn:signdex:problem:video-too-long"


def test_a_stretch_behind_the_end_is_refused(served, dictionary_folder):
    response = served.post(dictionary_folder / "APPLE.mp4", start_s=30)
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:video-too-short")


def test_a_stretch_that_ends_before_it_starts_is_refused(served, dictionary_folder):
    response = served.post(dictionary_folder / "APPLE.mp4", start_s=2, end_s=1)
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:empty-stretch")


@pytest.mark.parametrize(
    "fields", [{"k": 0}, {"k": 51}, {"k": "many"}, {"start_s": -1}, {"start_s": "nan"}, {"end_s": "inf"}]
)
def test_fields_out_of_range_are_refused_by_name(served, dictionary_folder, fields):
    response = served.post(dictionary_folder / "APPLE.mp4", **fields)
    assert response.status_code == 422
    [invalid] = response.json()["invalid"]
    assert invalid["where"] == f"body.{next(iter(fields))}"


def test_a_form_without_a_video_is_refused_by_name(served):
    for request in ({"data": {"k": 3}}, {"data": {"video": "text"}}, {"json": {"k": 3}}):
        response = served.client.post("/search", **request)
        assert response.status_code == 422
        assert "body.video" in response.json()["detail"]


def test_an_upload_above_the_limit_is_refused_by_its_length(start):
    served = start(max_upload_mb=0.2)
    response = served.client.post("/search", files={"video": bytes(400_000)})
    assert response.status_code == 413
    assert "SIGNDEX_MAX_UPLOAD_MB" in response.json()["detail"]


def test_an_upload_without_a_length_is_stopped_while_it_arrives(start):
    served = start(max_upload_mb=0.2)
    sent = 0

    def endless():
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="x.mp4"\r\n\r\n'
        for _ in range(100):
            sent += 50_000
            yield bytes(50_000)
        yield b"\r\n--b--\r\n"

    response = served.client.post(
        "/search", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert response.status_code == 413
    assert response.json()["type"] == "urn:signdex:problem:upload-too-large"


def test_a_broken_form_is_refused(served):
    response = served.client.post(
        "/search", content=b"--b\r\nnonsense", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert response.status_code in (400, 422)
    assert response.headers["Content-Type"] == "application/problem+json"


def test_an_error_of_the_encoder_is_told_to_the_log_and_not_to_the_caller(served, dictionary_folder, caplog):
    served.encoder.error = RuntimeError("secret path /opt")
    response = served.post(dictionary_folder / "APPLE.mp4")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["request_id"] in caplog.text
    assert "secret path" in caplog.text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_never_becomes_an_answer(served, dictionary_folder, caplog, monkeypatch, value):
    encode = FakeEncoder.encode

    def spoilt(windows, visible=None):
        encoding = encode(served.encoder, windows, visible)
        encoding.embedding[0, 0] = value
        return encoding

    with monkeypatch.context() as patch:
        patch.setattr(served.encoder, "encode", spoilt)
        response = served.post(dictionary_folder / "APPLE.mp4")
    assert (response.status_code, response.json()["type"]) == (500, "urn:signdex:problem:internal-error")
    assert "no numbers" in caplog.text
    assert served.post(dictionary_folder / "APPLE.mp4").json()["hits"][0]["sign"]["gloss"] == "APPLE"


def test_while_searches_work_the_service_still_answers(served, dictionary_folder):
    served.encoder.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(served.post, dictionary_folder / "APPLE.mp4") for _ in range(4)]
        assert served.client.get("/healthz", timeout=5).json() == {"status": "alive"}
        served.encoder.gate.set()
        assert [search.result().status_code for search in searches] == [200] * 4


def test_a_query_video_leaves_no_file_behind(served, dictionary_folder, tmp_path, monkeypatch):
    def files():
        return sorted([*tmp_path.rglob("*"), *served.services.settings.data.rglob("*")])

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = files()
    large = (dictionary_folder / "APPLE.mp4").read_bytes() + bytes(3_000_000)  # goes to a temporary file
    assert served.client.post("/search", files={"video": io.BytesIO(large)}).status_code == 200
    assert files() == before
