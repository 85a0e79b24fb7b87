"""The service ends in time, and nobody is left without an answer."""

import contextlib
import socket
import threading

import httpx
import pytest
import uvicorn

from app.http.application import create_app
from app.http.lifecycle import Lifecycle
from app.replica.services import open_services
from tests.app.conftest import SilentProgress
from tests.app.http.test_overload import until
from tests.fakes import FakeEncoder


@pytest.fixture
def stopping(settings, request):
    """A running service that gives requests so many seconds to end; the server, its parts and its address."""
    encoder = FakeEncoder()
    services = open_services(settings, encoder)
    services.reindex(SilentProgress())
    app = create_app(settings, Lifecycle(services))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=request.param)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until(lambda: server.started)
    yield server, app, encoder, f"http://127.0.0.1:{listener.getsockname()[1]}"
    encoder.gate.set()
    server.should_exit = True
    thread.join()
    listener.close()


def searching(address, video, answers):
    def search():
        with contextlib.suppress(httpx.TransportError), video.open("rb") as file:
            answers.append(httpx.post(f"{address}/search", files={"video": file}, timeout=60))

    thread = threading.Thread(target=search)
    thread.start()
    return thread


@pytest.mark.parametrize("stopping", [60], indirect=True)
def test_a_search_that_is_under_way_is_answered_before_the_service_ends(stopping, dictionary_folder):
    server, app, encoder, address = stopping
    encoder.gate.clear()
    answers = []
    thread = searching(address, dictionary_folder / "APPLE.mp4", answers)
    until(lambda: app.state.search_service.admission.num_in_progress == 1)
    server.should_exit = True
    threading.Timer(0.2, encoder.gate.set).start()
    thread.join()
    assert answers[0].json()["hits"][0]["sign"]["gloss"] == "APPLE"


@pytest.mark.parametrize("stopping", [1], indirect=True)
def test_a_search_that_can_not_be_finished_in_time_is_told_that_the_service_stops(stopping, dictionary_folder):
    server, app, encoder, address = stopping
    encoder.gate.clear()
    answers = []
    thread = searching(address, dictionary_folder / "APPLE.mp4", answers)
    until(lambda: app.state.search_service.admission.num_in_progress == 1)
    server.should_exit = True
    threading.Timer(3, encoder.gate.set).start()  # a run of the encoder can't be interrupted
    thread.join()
    assert (answers[0].status_code, answers[0].json()["type"]) == (503, "urn:signdex:problem:stopped")
