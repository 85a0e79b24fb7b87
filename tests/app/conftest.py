"""A service on a temporary data folder, with a fake encoder."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.client import Client
from app.http.application import create_app
from app.http.lifecycle import Lifecycle
from app.replica.services import open_services
from app.settings import Settings
from tests.fakes import FakeEncoder
from tests.running import running
from tests.tiny_videos import write_dictionary

KEY = "a key for tests"
GLOSSES = ["APPLE", "BREAD", "CHAIR", "DANCE", "EARTH"]


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """Tests do not see what the machine they run on has set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("SIGNDEX_") and name != "SIGNDEX_SHARED":
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def dictionary_folder(tmp_path_factory) -> Path:
    """Five clips of five signs."""
    return write_dictionary(tmp_path_factory.mktemp("dictionary"), GLOSSES)


@pytest.fixture
def settings(tmp_path, dictionary_folder) -> Settings:
    return Settings(data=tmp_path / "data", dictionary=dictionary_folder, admin_key=KEY, decoders=1)


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@dataclass
class Served:
    """A running service, and its parts."""

    client: httpx.Client
    encoder: FakeEncoder
    services: object
    app: FastAPI

    def post(self, path, **fields):
        with path.open("rb") as video:
            return self.client.post("/search", files={"video": video}, data=fields)

    @property
    def signdex(self):
        return Client(str(self.client.base_url), admin_key=KEY, http=self.client)

    def as_admin(self, method, path):
        return self.client.request(method, path, headers={"Authorization": f"Bearer {KEY}"})

    def finished(self, job):
        for _ in range(3000):
            job = self.as_admin("GET", f"/v1/jobs/{job['id']}").json()
            if job["finished_at"]:
                return job
            time.sleep(0.01)
        raise AssertionError(f"the job did not end: {job}")


@pytest.fixture
def start(settings, encoder) -> Iterator[Callable[..., Served]]:
    """Starts services with other settings than usual; an empty dictionary unless `filled`."""
    with ExitStack() as stack:

        def start(*, filled=False, encoder=encoder, **changes):
            services = open_services(settings.model_copy(update=changes), encoder)
            if filled:
                services.reindex(SilentProgress())
            app = create_app(services.settings, Lifecycle(services))
            return Served(stack.enter_context(running(app)), encoder, services, app)

        yield start


@pytest.fixture(scope="session")
def session_service(tmp_path_factory, dictionary_folder) -> Iterator[Served]:
    encoder = FakeEncoder()
    data = tmp_path_factory.mktemp("data")
    services = open_services(Settings(data=data, dictionary=dictionary_folder, admin_key=KEY), encoder)
    services.reindex(SilentProgress())
    app = create_app(services.settings, Lifecycle(services))
    with running(app) as client:
        yield Served(client, encoder, services, app)


@pytest.fixture
def served(session_service) -> Iterator[Served]:
    """A service with the five signs, for tests that leave its dictionary as it is; they share it."""
    yield session_service
    session_service.encoder.error = None
    session_service.encoder.gate.set()


class SilentProgress:
    """A `ProgressCallback` that nobody looks at."""

    def __init__(self):
        self.phases, self.skipped = [], []

    def start_phase(self, name, total):
        self.phases.append((name, total))

    def advance(self):
        pass

    def report_skipped(self, skipped):
        self.skipped.append(skipped)


@pytest.fixture
def progress() -> SilentProgress:
    return SilentProgress()
