"""A server that publishes one file."""

import pytest

from tests.model.file_server import FileServer, serving
from tests.model.weights.assets import CONTENT, Recorder, published


@pytest.fixture
def files(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(FileServer(CONTENT)) as server:
        yield server


@pytest.fixture
def asset(files):
    return published(files.url)


@pytest.fixture
def callbacks():
    return Recorder()
