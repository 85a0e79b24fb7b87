"""Requests that nobody sends by accident: each is answered or cut off in time, and leaves nothing behind."""

import contextlib
import time
from pathlib import Path

import pytest

from tests.app.http.test_overload import connect, form, open_files, until

NAMES = ["../../../../tmp/owned.mp4", "/etc/passwd", "..\\..\\owned.mp4", "a\tb\x7f.mp4", "con", ".", "", "x" * 3000]


def all_from(caller):
    """Everything until the server closes, politely or not."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := caller.recv(65536):
            received += part
    return received


def status_of(served, request):
    """Send bytes as they are; gives the status of the answer."""
    with connect(served) as caller:
        caller.sendall(request)
        return int(all_from(caller).split()[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_an_upload_means_nothing(served, dictionary_folder, caplog, name):
    files = sorted(path for path in Path("/tmp").iterdir() if "owned" in path.name)
    video = (dictionary_folder / "APPLE.mp4").read_bytes()
    with caplog.at_level("DEBUG", logger="app"):
        response = served.client.post("/search", files={"video": (name or "x", video)})
    assert response.status_code == 200
    assert response.json()["hits"][0]["sign"]["gloss"] == "APPLE"
    assert len(name) < 4 or name not in caplog.text
    assert sorted(path for path in Path("/tmp").iterdir() if "owned" in path.name) == files


def test_a_form_of_very_many_parts_is_refused(served, dictionary_folder):
    video = (dictionary_folder / "APPLE.mp4").read_bytes()
    many = {f"field{number}": "x" for number in range(5000)}
    response = served.client.post("/search", files={"video": video}, data=many)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_form_of_many_videos_is_refused(served, dictionary_folder):
    video = (dictionary_folder / "APPLE.mp4").read_bytes()
    response = served.client.post("/search", files=[("video", video)] * 20)
    assert response.status_code == 400


def test_a_field_without_end_is_refused(served, dictionary_folder):
    video = (dictionary_folder / "APPLE.mp4").read_bytes()
    response = served.client.post("/search", files={"video": video}, data={"language": "x" * 2_000_000})
    assert response.status_code == 400


def test_headers_of_a_part_without_end_are_refused(served):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="video"; filename="'
        + b"x" * 1_000_000
        + b'"\r\n\r\nx\r\n--b--\r\n'
    )
    response = served.client.post("/search", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert response.status_code in (400, 415, 422)
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "5, 6", "99999999999999999999999"])
def test_a_length_that_is_a_lie_is_refused(served, length):
    head = "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    request = f"{head}Content-Length: {length}\r\n\r\n--b--\r\n"
    assert status_of(served, request.encode()) in (400, 413)


def test_a_body_that_is_shorter_than_it_says_ends_with_its_caller(served, dictionary_folder):
    before = open_files()
    head, body = form((dictionary_folder / "APPLE.mp4").read_bytes())
    with connect(served) as caller:
        caller.sendall(head + body[:-100])
    until(lambda: open_files() <= before)
    assert served.post(dictionary_folder / "APPLE.mp4").status_code == 200


def test_a_body_that_dribbles_is_cut_off_in_time_and_keeps_nobody_waiting(start, dictionary_folder):
    served = start(filled=True, upload_s=0.5)
    head, body = form((dictionary_folder / "APPLE.mp4").read_bytes())
    with connect(served) as slow:
        began = time.monotonic()
        slow.sendall(head + body[:1000])
        assert served.post(dictionary_folder / "APPLE.mp4").status_code == 200
        received = all_from(slow)
        waited_s = time.monotonic() - began
    assert b" 408 " in received.split(b"\r\n")[0] + b" "
    assert b"upload-too-slow" in received
    assert 0.4 <= waited_s < 4, "the rest of the body was waited for"


def test_a_search_that_takes_longer_than_its_upload_may_is_not_cut_off(start, dictionary_folder):
    served = start(filled=True, upload_s=0.3)
    until(lambda: served.client.get("/readyz").status_code == 200)
    served.encoder.gate.clear()
    with connect(served) as caller:
        caller.sendall(b"".join(form((dictionary_folder / "APPLE.mp4").read_bytes())))
        time.sleep(0.6)
        served.encoder.gate.set()
        assert b" 200 " in caller.recv(65536)
