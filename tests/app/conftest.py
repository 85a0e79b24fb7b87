"""A service on a temporary data folder, with a fake encoder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.services import open_services
from app.settings import Settings
from tests.clips import write_dictionary
from tests.fakes import FakeEncoder
from tests.running import running

KEY = "a key for tests"
GLOSSES = ["APPLE", "BREAD", "CHAIR", "DANCE", "EARTH"]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    """Tests do not see what the machine they run on has set."""
    import os

    for name in os.environ:
        if name.startswith("SIGNDEX_") and name != "SIGNDEX_SHARED":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def dictionary_folder(tmp_path_factory) -> Path:
    """Five clips of five signs."""
    return write_dictionary(tmp_path_factory.mktemp("dictionary"), GLOSSES)


@pytest.fixture
def settings(tmp_path, dictionary_folder) -> Settings:
    return Settings(data=tmp_path / "data", dictionary=dictionary_folder, admin_key=KEY)


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@dataclass
class Served:
    """A running service, and its parts."""

    client: httpx.Client
    encoder: FakeEncoder
    services: object

    def post(self, path, **fields):
        with path.open("rb") as video:
            return self.client.post("/search", files={"video": video}, data=fields)

    def as_admin(self, method, path):
        return self.client.request(method, path, headers={"Authorization": f"Bearer {KEY}"})

    def finished(self, job):
        import time

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
                services.rebuild(SilentProgress())
            app = create_app(services.settings, services)
            return Served(stack.enter_context(running(app)), encoder, services)

        yield start


@pytest.fixture
def served(start) -> Served:
    """A service with the five signs."""
    return start(filled=True)


class SilentProgress:
    """A `Progress` that nobody looks at."""

    def __init__(self):
        self.phases, self.skipped = [], []

    def phase(self, name, total):
        self.phases.append((name, total))

    def advance(self):
        pass

    def skip(self, skipped):
        self.skipped.append(skipped)


@pytest.fixture
def progress() -> SilentProgress:
    return SilentProgress()


@pytest.fixture(autouse=True)
def _interim_embedder(monkeypatch):
    """TEMPORARY until model.embed is there."""
    import av
    import numpy as np

    from model import errors
    from model.embed import ClipEmbedding
    from model.video import VideoFacts, VideoLimits

    class Interim:
        def __init__(self, encoder, *, stride_frames=None, limits=VideoLimits()):
            self.encoder, self.limits = encoder, limits

        def embed(self, source, *, start_s=0.0, end_s=None):
            try:
                with av.open(str(source) if isinstance(source, Path) else source, "r") as c:
                    frames = [f.to_ndarray(format="rgb24") for f in c.decode(video=0)]
            except (av.error.FFmpegError, OSError) as e:
                raise errors.NotAVideoError(f"no video: {e}") from e
            if len(frames) / 25 > self.limits.max_duration_s:
                raise errors.VideoTooLongError(f"video lasts {len(frames) / 25} s")
            frames = frames[int(start_s * 25) : None if end_s is None else int(end_s * 25)]
            if not frames:
                raise errors.VideoTooShortError("no frame")
            w = np.stack([np.stack(frames[i : i + 16]) for i in range(0, len(frames) - 15, 8)])
            e = self.encoder.encode(w)
            v = e.embedding.sum(0)
            n = len(w)
            return ClipEmbedding(
                v / np.linalg.norm(v),
                e.embedding,
                e.activity,
                np.ones(n, bool),
                np.arange(n, dtype=np.float32) * 8 / 25,
                VideoFacts("mp4", "x", 128, 128, 0, 25.0, len(frames) / 25, len(frames)),
                (),
            )

    monkeypatch.setattr("app.services.Embedder", Interim)
    monkeypatch.setattr("app.lookup.Embedder", Interim)
