"""The Python client, against a running service."""

import io
import subprocess
import sys

import httpx
import pytest

from app.client import Client, JobNotDone, ProblemReceived
from app.progress import JobState
from tests.app.conftest import GLOSSES, KEY
from tests.conftest import ROOT
from tests.tiny_videos import write_clip


def test_it_searches_by_path_bytes_and_file(served, dictionary_folder):
    path = dictionary_folder / "EARTH.mp4"
    with path.open("rb") as file:
        answers = [served.signdex.search(video, k=2) for video in (path, path.read_bytes(), file)]
    assert {answer.hits[0].sign.gloss for answer in answers} == {"EARTH"}
    assert all(answer.hits == answers[0].hits for answer in answers)
    assert len(answers[0].hits) == 2


def test_it_searches_again_by_query_and_by_vector(served, dictionary_folder):
    answer = served.signdex.search(dictionary_folder / "EARTH.mp4")
    again = served.signdex.search_again(answer.query_id, k=1)
    assert again.hits == answer.hits[:1]
    assert served.signdex.search_again([1.0] * 192, language="xx").hits == []


def test_it_walks_through_all_signs_page_by_page(served, monkeypatch):
    monkeypatch.setattr("app.client.PAGE", 2)
    assert [sign.gloss for sign in served.signdex.signs()] == GLOSSES
    assert [sign.gloss for sign in served.signdex.signs("ap")] == ["APPLE"]
    assert list(served.signdex.signs("nothing")) == []


def test_it_gives_one_sign_its_look_alikes_and_its_files(served, dictionary_folder):
    [found] = served.signdex.signs("CHAIR")
    assert served.signdex.sign(found.id) == found
    assert "CHAIR" not in [hit.sign.gloss for hit in served.signdex.similar(found.id, k=2).hits]
    assert served.signdex.download(found.entries[0].video_url) == (dictionary_folder / "CHAIR.mp4").read_bytes()
    assert served.signdex.facets().tags == []
    assert served.signdex.info().dictionary.num_signs == 5


def test_it_reindexes_waits_and_goes_back(start, tmp_path, monkeypatch):
    monkeypatch.setattr("app.client.EVERY_S", 0.01)
    write_clip(tmp_path / "videos" / "ONE.mp4", 1)
    served = start(dictionary=tmp_path / "videos")
    told = []
    first = served.signdex.reindex(progress=told.append)
    assert first.state == JobState.DONE
    assert told[-1] == first
    write_clip(tmp_path / "videos" / "TWO.mp4", 2)
    second = served.signdex.reindex("full")
    newest, oldest = served.signdex.snapshots()
    assert (newest.id, newest.current, oldest.id, oldest.current) == (
        second.snapshot_id,
        True,
        first.snapshot_id,
        False,
    )
    assert served.signdex.activate(first.snapshot_id).current
    assert served.signdex.info().dictionary.num_signs == 1
    assert [each.current for each in served.signdex.snapshots()] == [False, True]


def test_a_job_that_fails_is_raised_with_its_reason(start, tmp_path, monkeypatch):
    monkeypatch.setattr("app.client.EVERY_S", 0.01)
    (tmp_path / "videos").mkdir()
    with pytest.raises(JobNotDone, match="no usable video") as ended:
        start(dictionary=tmp_path / "videos").signdex.reindex()
    assert ended.value.job.state == JobState.FAILED


def test_a_cancelled_job_says_so(start, monkeypatch):
    monkeypatch.setattr("app.client.EVERY_S", 0.01)
    served = start()
    served.encoder.gate.clear()

    def cancel(job):
        served.signdex.cancel(job.id)
        served.encoder.gate.set()

    with pytest.raises(JobNotDone, match="cancelled"):
        served.signdex.reindex(progress=cancel)


def test_what_the_service_refuses_is_raised_with_its_kind(served):
    with pytest.raises(ProblemReceived, match="415 The video can't be used") as refused:
        served.signdex.search(b"no video")
    assert refused.value.kind == "not-a-video"
    assert refused.value.problem.request_id
    with pytest.raises(ProblemReceived) as refused:
        Client(str(served.client.base_url), http=served.client).snapshots()
    assert refused.value.kind == "admin-key"


def answering(status, headers, content):
    def answer(request):
        return httpx.Response(status, headers=headers, content=content)

    return Client("http://x/", http=httpx.Client(transport=httpx.MockTransport(answer)))


def test_when_to_come_back_is_told():
    problem = (
        b'{"type": "urn:signdex:problem:overloaded", "title": "t", "status": 429, "detail": "d", "request_id": "r"}'
    )
    client = answering(429, {"Content-Type": "application/problem+json", "Retry-After": "3"}, problem)
    with pytest.raises(ProblemReceived) as refused:
        client.search(io.BytesIO(b"x"))
    assert (refused.value.kind, refused.value.retry_after_s) == ("overloaded", 3)


def test_an_error_of_something_in_between_is_raised_as_it_is():
    with pytest.raises(httpx.HTTPStatusError, match="502"):
        answering(502, {"Content-Type": "text/html"}, b"<h1>Bad gateway").info()


def test_it_closes_only_what_it_opened(served):
    with Client(str(served.client.base_url), admin_key=KEY) as own:
        assert own.snapshots()
    with pytest.raises(RuntimeError, match="closed"):
        own.info()
    with Client(str(served.client.base_url), http=served.client) as borrowed:
        borrowed.info()
    assert not served.client.is_closed


def test_it_is_imported_with_httpx_and_pydantic_alone():
    """Neither the service's libraries nor numpy: whoever calls a service needs none of them."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    allowed, loaded = (
        set(subprocess.check_output([sys.executable, "-c", f"{imports}; {report}"], cwd=ROOT, text=True).split())
        for imports in ("import httpx, pydantic", "import app.client")
    )
    assert {name for name in loaded - allowed if not name.startswith("_")} == {"app", "annotated_types"}
    assert not loaded & {"av", "faiss", "fastapi", "numpy", "onnxruntime", "prometheus_client", "starlette", "typer"}
