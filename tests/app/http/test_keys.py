"""The admin key: told to nobody, in no log, answer, metric or list of processes; and no page from elsewhere gets in."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import KEY
from tests.conftest import ROOT
from tests.fire.server import KEY as SECRET
from tests.fire.server import descendants, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory, dictionary_folder):
    """The service as operators run it, in a process of its own."""
    with serving(tmp_path_factory.mktemp("server") / "data", dictionary=dictionary_folder) as server:
        yield server


def answers(server):
    """All kinds of requests, the right key in some and wrong ones close to it in others."""
    for key in (SECRET, f"{SECRET}x", SECRET[:-1], SECRET.upper()):
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=server.address, headers=headers, timeout=60) as client:
            for method, path in (
                ("GET", "/v1/jobs"), ("POST", "/v1/reindex?mode=nonsense"), ("POST", "/v1/snapshots/x/activate"),
                ("DELETE", "/v1/jobs/x"), ("POST", "/search"), ("GET", "/nowhere"), ("GET", "/metrics"),
                ("GET", "/v1/info"), ("PATCH", "/v1/jobs"), ("GET", "/v1/snapshots"),
            ):  # fmt: skip
                yield client.request(method, path)


def test_the_key_is_in_no_answer_log_metric_or_list_of_processes(server):
    told = [f"{answer.headers} {answer.text}" for answer in answers(server)]
    assert len(told) == 40
    assert not [text for text in told if SECRET.lower() in text.lower()]
    assert SECRET.lower() not in server.log.read_text().lower()
    assert len(server.log_lines()) >= 40
    processes = [server.pid, *descendants(server.pid)]
    assert len(processes) >= 3
    listed = {int(path.name): path / "cmdline" for path in Path("/proc").iterdir() if path.name.isdecimal()}
    assert {*processes} <= {*listed}
    for commandline in listed.values():  # of every process on the machine: what `ps` shows to everybody
        with suppress(OSError):  # it has ended meanwhile
            assert SECRET.encode() not in commandline.read_bytes()
    for pid in descendants(server.pid):
        assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_setting_with_a_key_that_is_refused_does_not_show_it(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "app", "serve"], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"SIGNDEX_ADMIN_KEY": "short-1", "SIGNDEX_DATA": str(tmp_path)},
    )  # fmt: skip
    assert ran.returncode == 1
    assert "SIGNDEX_ADMIN_KEY" in ran.stderr
    assert "short-1" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("path", ["/v1/search", "/v1/reindex", "/v1/signs", "/v1/jobs", "/healthz"])
def test_pages_from_elsewhere_may_neither_read_answers_nor_send_the_key(served, path):
    origin = {"Origin": "https://elsewhere.example"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for response in (
        served.client.options(path, headers=asked),
        served.client.get(path, headers={**origin, "Authorization": f"Bearer {KEY}"}),
        served.client.post(path, headers=origin),
    ):
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]
        assert "set-cookie" not in response.headers


def test_nothing_but_the_header_opens_an_admin_route(served):
    """No cookie, query or form could be sent along by a page from elsewhere."""
    for request in (
        {"params": {"admin_key": KEY, "key": KEY, "access_token": KEY}},
        {"cookies": {"Authorization": f"Bearer {KEY}", "admin_key": KEY}},
        {"data": {"admin_key": KEY}},
    ):
        client = httpx.Client(base_url=served.client.base_url, cookies=request.pop("cookies", None))
        with client:
            assert client.post("/v1/reindex", **request).status_code == 401


def test_a_search_only_caller_gets_nothing_of_an_admin(served, dictionary_folder):
    """What a learner has, a query id, is no key."""
    query_id = served.post(dictionary_folder / "APPLE.mp4").json()["query_id"]
    for key in (query_id, query_id.upper()):
        answer = served.client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 401
