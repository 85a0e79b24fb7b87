"""POST /v1/search/vector: again, without decoding and encoding."""

from dataclasses import replace

import pytest

from model.embed import Embedder
from model.pooling import pool
from tests.app.conftest import GLOSSES
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip


@pytest.fixture
def asked(served, dictionary_folder):
    return served.post(dictionary_folder / "CHAIR.mp4").json()


def again(served, **asked):
    return served.client.post("/v1/search/vector", json=asked)


def test_a_query_asked_again_gives_the_same_hits_and_nothing_is_encoded(served, asked):
    served.encoder.error = RuntimeError("nobody may encode")
    answer = again(served, query_id=asked["query_id"]).json()
    for same in ("hits", "query", "query_id", "snapshot_id", "encoder_id"):
        assert answer[same] == asked[same]
    assert answer["timings_ms"]["decode"] == answer["timings_ms"]["encode"] == 0


def test_k_is_taken_anew(served, asked):
    assert len(again(served, query_id=asked["query_id"], k=2).json()["hits"]) == 2


def test_a_trimmed_query_is_pooled_from_the_windows_inside(served, dictionary_folder, tmp_path):
    path = write_clip(tmp_path / "long.mp4", 7, seconds=3)
    asked = served.post(path).json()
    whole = Embedder(FakeEncoder()).embed(path)
    inside = (whole.start_s >= 0.9) & (whole.start_s + 0.64 <= 2.2)
    assert 1 < inside.sum() < len(inside) - 2
    vector = pool(whole.embeddings[inside], whole.activity[inside])
    expected = again(served, vector=vector.tolist()).json()["hits"]
    trimmed = again(served, query_id=asked["query_id"], start_s=0.9, end_s=2.2).json()["hits"]
    assert trimmed == expected
    assert trimmed != asked["hits"]


def test_an_encoder_whose_clips_have_parts_is_served_like_any_other(start, dictionary_folder, tmp_path):
    encoder = FakeEncoder("fa4e00000003")
    encoder.info = replace(encoder.info, num_parts=3)
    served = start(filled=True, encoder=encoder, dictionary=dictionary_folder)
    told = served.client.get("/v1/info").json()
    assert told["encoder"]["dim"] == 3 * 192
    path = write_clip(tmp_path / "long.mp4", 7, seconds=3)
    answer = served.post(path).json()
    clip = Embedder(encoder).embed(path)
    assert answer["vector"] == pytest.approx(clip.vector.tolist(), abs=1e-5)
    inside = (clip.start_s >= 0.9) & (clip.start_s + 0.64 <= 2.2)
    vector = pool(clip.embeddings[inside], clip.activity[inside], 3)
    trimmed = again(served, query_id=answer["query_id"], start_s=0.9, end_s=2.2).json()["hits"]
    assert trimmed == again(served, vector=vector.tolist()).json()["hits"]
    refused = again(served, vector=[1.0] * 192)
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "the vector has 192 numbers; those of this encoder have 576",
    )


def test_a_vector_of_any_length_is_looked_up(served, dictionary_folder):
    vector = Embedder(FakeEncoder()).embed(dictionary_folder / "DANCE.mp4").vector
    for scale in (1, 20, 0.001, 1e300, 1e-300):
        answer = again(served, vector=[number * scale for number in vector.tolist()]).json()
        assert answer["hits"][0]["sign"]["gloss"] == "DANCE"
        assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
        assert (answer["query"], answer["query_id"]) == (None, None)


def test_filters_that_nothing_passes_give_no_hits(served, asked):
    for filters in ({"language": "xx"}, {"tag": "xx"}):
        response = again(served, query_id=asked["query_id"], **filters)
        assert (response.status_code, response.json()["hits"]) == (200, [])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query_id": "a", "vector": [1.0]},
        {"vector": []},
        {"vector": [1.0], "start_s": 1},
        {"query_id": "a", "k": 0},
        {"query_id": "a", "start_s": -1},
        {"query_id": "a", "more": 1},
        {"vector": ["many"]},
    ],
)
def test_what_does_not_fit_is_refused(served, body):
    response = again(served, **body)
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:invalid-request")


def test_numbers_that_are_none_are_refused(served):
    for text in ("NaN", "Infinity", "1e999"):
        response = served.client.post(
            "/v1/search/vector", content=f'{{"vector": [{text}]}}', headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 422


@pytest.mark.parametrize("vector", [[1.0] * 191, [0.0] * 192])
def test_a_vector_of_another_size_or_without_direction_is_refused(served, vector):
    response = again(served, vector=vector)
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:vector-unusable")


def test_an_unknown_query_is_not_found(served):
    response = again(served, query_id="nope")
    assert (response.status_code, response.json()["type"]) == (404, "urn:signdex:problem:query-unknown")


def test_a_part_outside_of_the_clip_is_refused(served, asked):
    response = again(served, query_id=asked["query_id"], start_s=9)
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:empty-stretch")


def test_filters_hold_for_videos_as_well(served, dictionary_folder):
    answer = served.post(dictionary_folder / "CHAIR.mp4", language="xx").json()
    assert answer["hits"] == []


def test_without_memory_nothing_is_kept(start, dictionary_folder):
    served = start(filled=True, query_cache_mb=0)
    asked = served.post(dictionary_folder / f"{GLOSSES[0]}.mp4").json()
    assert again(served, query_id=asked["query_id"]).status_code == 404
