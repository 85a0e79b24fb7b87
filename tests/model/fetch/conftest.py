"""A server that publishes one file."""

import pytest

from tests.model.fetch.assets import CONTENT, Recorder, published
from tests.model.file_server import FileServer, serving


@pytest.fixture
def files(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(FileServer(CONTENT)) as server:
        yield server


@pytest.fixture
def asset(files):
    return published(files.url)


@pytest.fixture
def listener():
    return Recorder()
