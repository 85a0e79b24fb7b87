"""Whoever fails too often has to wait: nobody guesses keys, or wears decoders out, alone."""

import pytest

from app.errors import TooManyFailuresError
from app.http import rate_limit
from app.http.rate_limit import COSTLY_VIDEOS, WRONG_KEYS, FailureRateLimit, client_of
from tests.app.conftest import KEY
from tests.app.http.test_overload import while_its_decoder_dies


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limit(clock):
    return FailureRateLimit("wrong guesses", at_once=3, every_s=10, clock=clock)


def wait_s(limit, client):
    with pytest.raises(TooManyFailuresError) as refused:
        limit.require_allowed(client)
    return refused.value.retry_after_s


def test_some_failures_are_free_then_one_is_forgiven_per_interval(limit, clock):
    for _ in range(3):
        limit.require_allowed("a")
        limit.record("a")
    assert wait_s(limit, "a") == 10
    clock.now_s += 9.5
    assert wait_s(limit, "a") == 1
    clock.now_s += 0.5
    limit.require_allowed("a")
    limit.record("a")
    assert wait_s(limit, "a") == 10
    clock.now_s += 30
    for _ in range(3):
        limit.require_allowed("a")
        limit.record("a")
    assert wait_s(limit, "a") == 10


def test_failures_of_one_client_are_nothing_to_another(limit):
    for _ in range(50):
        limit.record("a")
    limit.require_allowed("b")
    assert wait_s(limit, "a") == 480


def test_the_message_says_what_and_when(limit):
    for _ in range(3):
        limit.record("a")
    with pytest.raises(TooManyFailuresError, match="too many wrong guesses came from this address; try again in 10 s"):
        limit.require_allowed("a")


def test_the_table_is_bounded_and_forgets_whoever_failed_longest_ago(limit, monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 100)
    for _ in range(3):
        limit.record("first")
    for number in range(99):
        limit.record(str(number))
    limit.record("first")
    limit.record("one more")
    assert len(limit) == 100
    assert wait_s(limit, "first") == 20
    for number in range(1000):
        limit.record(f"x{number}")
    assert len(limit) == 100
    limit.require_allowed("first")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        (("192.0.2.7", 5000), "192.0.2.7"),
        (("2001:db8:1:2:aaaa::1", 5000), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:bbbb::2", 5000), "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.7", 5000), "192.0.2.7"),
        (("testclient", 5000), "testclient"),
        (None, ""),
    ],
)
def test_a_client_is_an_address_or_the_network_of_a_subscriber(address, client):
    assert client_of({"client": address}) == client


def guess(served, key):
    return served.client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})


def test_guessing_keys_ends_with_429_and_the_right_key_has_to_wait_too(start):
    served = start()
    for number in range(WRONG_KEYS):
        assert guess(served, f"guess {number}").status_code == 401
    for key in ("another guess", KEY):
        refused = guess(served, key)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:signdex:problem:too-many-failures")
        assert 1 <= int(refused.headers["Retry-After"]) <= 6
    assert served.client.get("/v1/signs").status_code in (200, 503)
    assert served.client.get("/healthz").status_code == 200


def test_requests_without_a_key_and_with_the_right_one_are_no_guesses(start):
    served = start()
    for _ in range(3 * WRONG_KEYS):
        assert served.client.get("/v1/jobs").status_code == 401
        assert guess(served, KEY).status_code == 200


def test_who_takes_decoders_down_again_and_again_has_to_wait(start, dictionary_folder):
    served = start(filled=True)
    video = dictionary_folder / "APPLE.mp4"
    served.post(video)  # then its decoder has started
    for _ in range(COSTLY_VIDEOS):
        assert while_its_decoder_dies(served, video).json()["type"] == "urn:signdex:problem:video-unusable"
    refused = served.post(video)
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:signdex:problem:too-many-failures")
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    vector = [1.0] * served.encoder.info.vector_dim
    assert served.client.post("/v1/search/vector", json={"vector": vector}).status_code == 200


def test_videos_that_are_merely_refused_cost_nothing(start):
    served = start(filled=True)
    for _ in range(3 * COSTLY_VIDEOS):
        assert served.client.post("/search", files={"video": b"no video"}).status_code == 415
