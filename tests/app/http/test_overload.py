"""Too many searches, callers that hang up, videos that cost too much: the service goes on and leaves nothing behind."""

import gc
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.tiny_videos import write_clip


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def search_service_of(served):
    return served.app.state.search_service


def form(video: bytes) -> tuple[bytes, bytes]:
    """Head and body of a search as it goes over the wire."""
    body = b'--b\r\nContent-Disposition: form-data; name="video"; filename="x.mp4"\r\n\r\n' + video + b"\r\n--b--\r\n"
    head = (
        b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    )
    return head, body


def connect(served):
    url = served.client.base_url
    return socket.create_connection((url.host, url.port), timeout=30)


def open_files():
    """How many files, sockets and pipes are open, but for those of the coordination store, which come and go."""
    gc.collect()
    found = []
    for number in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            found.append(str(number.readlink()))
    return sum(".sqlite" not in target for target in found)


def kept_files(served):
    """What lies in the data folder, but for what SQLite writes beside the coordination store with each heartbeat."""
    return sorted(path for path in served.services.settings.data.rglob("*") if ".sqlite-" not in path.name)


def while_its_decoder_dies(served, video):
    """The answer to a search whose decoding process is killed in the middle of it; there is one such process."""
    [pid] = search_service_of(served).decoder_pids
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(served.post, video)
        until(lambda: search_service_of(served).admission.num_in_progress == 1)
        time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        return search.result()


def test_what_is_too_much_is_refused_at_once_and_told_when_to_come_back(start, dictionary_folder):
    served = start(filled=True, max_searches=2)
    until(lambda: served.client.get("/readyz").status_code == 200)
    served.encoder.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        searches = [pool.submit(served.post, dictionary_folder / "APPLE.mp4") for _ in range(2)]
        until(lambda: search_service_of(served).admission.num_in_progress == 2)
        refused = served.post(dictionary_folder / "APPLE.mp4")
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:signdex:problem:overloaded")
        assert int(refused.headers["Retry-After"]) >= 1
        assert "SIGNDEX_MAX_SEARCHES" in refused.json()["detail"]
        assert served.client.get("/v1/signs").status_code == 200
        served.encoder.gate.set()
        assert [search.result().status_code for search in searches] == [200, 200]
    assert served.post(dictionary_folder / "APPLE.mp4").status_code == 200


def test_the_refusal_comes_before_the_video_is_read(start, dictionary_folder):
    served = start(filled=True, max_searches=1)
    until(lambda: served.client.get("/readyz").status_code == 200)
    served.encoder.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(served.post, dictionary_folder / "APPLE.mp4")
        until(lambda: search_service_of(served).admission.num_in_progress == 1)
        with connect(served) as sock:
            sock.sendall(form(bytes(1000))[0])  # the head alone
            assert b" 429 " in sock.recv(4096)
        served.encoder.gate.set()
        assert search.result().status_code == 200


def test_a_caller_that_hangs_up_while_it_waits_is_dropped(start, dictionary_folder):
    served = start(filled=True)
    until(lambda: served.client.get("/readyz").status_code == 200)
    batches = []
    encode = served.encoder.encode

    def noted(windows, visible=None):
        batches.append(len(windows))
        return encode(windows, visible)

    served.encoder.encode = noted
    served.encoder.gate.clear()
    video = (dictionary_folder / "APPLE.mp4").read_bytes()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(served.post, dictionary_folder / "BREAD.mp4")
        until(lambda: batches)
        with connect(served) as gone:
            gone.sendall(b"".join(form(video)))
            until(lambda: search_service_of(served).num_windows_waiting > 0)
        until(lambda: search_service_of(served).num_windows_waiting == 0)
        until(lambda: search_service_of(served).admission.num_in_progress == 1)
        served.encoder.gate.set()
        assert first.result().status_code == 200
    assert served.post(dictionary_folder / "APPLE.mp4").status_code == 200
    assert len(batches) == 2, "the windows of the caller that had gone were encoded"


def test_a_caller_that_hangs_up_while_its_video_is_decoded_stops_the_decoder(start, dictionary_folder):
    served = start(filled=True)
    served.post(dictionary_folder / "APPLE.mp4")
    [pid] = search_service_of(served).decoder_pids
    os.kill(pid, signal.SIGSTOP)
    with connect(served) as gone:
        gone.sendall(b"".join(form((dictionary_folder / "APPLE.mp4").read_bytes())))
        until(lambda: search_service_of(served).admission.num_in_progress == 1)
    until(lambda: search_service_of(served).admission.num_in_progress == 0)
    assert search_service_of(served).decoder_pids != [pid]
    assert served.post(dictionary_folder / "APPLE.mp4").status_code == 200


@pytest.mark.parametrize("sent", [0, 1000, 1_500_000])
def test_a_caller_that_hangs_up_in_its_upload_leaves_nothing_behind(start, tmp_path, monkeypatch, caplog, sent):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    served = start(filled=True)
    served.client.get("/healthz")
    before = open_files()
    data = kept_files(served)
    head, body = form(bytes(3_000_000))
    with caplog.at_level("INFO", logger="app.access"):
        with connect(served) as gone:
            gone.sendall(head + body[:sent])
            time.sleep(0.05)
        until(lambda: any(getattr(record, "fields", {}).get("status") == 499 for record in caplog.records))
    until(lambda: open_files() <= before)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert kept_files(served) == data
    assert search_service_of(served).admission.num_in_progress == 0


def test_a_video_that_takes_too_long_is_a_problem_and_the_next_works(start, dictionary_folder):
    served = start(filled=True, decode_s=0.5)
    served.post(dictionary_folder / "APPLE.mp4")
    [pid] = search_service_of(served).decoder_pids
    os.kill(pid, signal.SIGSTOP)
    response = served.post(dictionary_folder / "APPLE.mp4")
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:video-too-costly")
    assert served.post(dictionary_folder / "APPLE.mp4").status_code == 200
    assert "signdex_decoders_replaced_total 1.0" in served.client.get("/metrics").text


def test_a_video_that_takes_its_decoder_down_is_a_problem_and_the_next_works(start, dictionary_folder):
    served = start(filled=True)
    served.post(dictionary_folder / "APPLE.mp4")
    response = while_its_decoder_dies(served, dictionary_folder / "APPLE.mp4")
    assert (response.status_code, response.json()["type"]) == (422, "urn:signdex:problem:video-unusable")
    assert served.post(dictionary_folder / "APPLE.mp4").status_code == 200


def test_no_decoder_outlives_the_service(settings, dictionary_folder):
    from app.http.application import create_app
    from app.http.lifecycle import Lifecycle
    from app.replica.services import open_services
    from tests.fakes import FakeEncoder
    from tests.running import running

    app = create_app(settings, Lifecycle(open_services(settings, FakeEncoder())))
    with running(app):
        pids = app.state.search_service.decoder_pids
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_query_asked_by_many_at_once_gives_everybody_the_same(start, tmp_path, dictionary_folder):
    served = start(filled=True, decoders=2, max_searches=50)
    clips = [write_clip(tmp_path / f"{seed}.mp4", seed, seconds=1 + seed % 3) for seed in range(6)]
    alone = [served.post(clip).json()["hits"] for clip in clips]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda number: served.post(clips[number % 6]).json()["hits"], range(36)))
    assert together == [alone[number % 6] for number in range(36)]
