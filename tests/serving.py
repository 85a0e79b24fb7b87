"""Proof that serving works in an environment without torch: `python -m tests.serving`.

Runs in the serving environment, which has no test runner either: plain asserts, one line at the end.
"""

import importlib.util
import sys
import tempfile
import time
from pathlib import Path

import httpx

from app.http.application import create_app
from app.settings import Settings
from tests.running import running
from tests.tiny_videos import write_dictionary

ABSENT = ("torch", "onnx", "onnxscript", "pytest")
KEY = "only for this run"
DEADLINE_S = 120


def main() -> None:
    """Index two tiny clips through the service with the shipped encoder, and find them again."""
    present = [name for name in ABSENT if importlib.util.find_spec(name)]
    assert not present, f"{present} can be imported; this must run in the serving environment (make serve-test)"
    with tempfile.TemporaryDirectory() as folder:
        clips = write_dictionary(Path(folder) / "clips", ["first", "second"])
        settings = Settings(data=Path(folder) / "data", dictionary=clips, admin_key=KEY)
        with running(create_app(settings)) as client:
            assert client.get("/readyz").status_code == 503
            reindex(client)
            for clip in sorted(clips.iterdir()):
                assert first_gloss(client, clip) == clip.stem
            assert client.get("/readyz").status_code == 200, client.get("/readyz").text
            encoder = client.get("/v1/info").json()["encoder"]
    loaded = [name for name in ABSENT if name in sys.modules]
    assert not loaded, f"serving imported {loaded}"
    print(f"serving works without torch: encoder {encoder['id']}, 2 clips indexed and found over HTTP")


def reindex(client: httpx.Client) -> None:
    """Reindex and wait."""
    headers = {"Authorization": f"Bearer {KEY}"}
    job = client.post("/reindex", headers=headers).json()
    deadline = time.monotonic() + DEADLINE_S
    while not job["finished_at"]:
        assert time.monotonic() < deadline, f"the job did not end within {DEADLINE_S} s: {job}"
        time.sleep(0.05)
        job = client.get(f"/v1/jobs/{job['id']}", headers=headers).json()
    assert job["state"] == "done", job


def first_gloss(client: httpx.Client, clip: Path) -> str:
    """The gloss of the best hit for a clip."""
    with clip.open("rb") as video:
        response = client.post("/search", files={"video": video})
    assert response.status_code == 200, response.text
    gloss: str = response.json()["hits"][0]["sign"]["gloss"]
    return gloss


if __name__ == "__main__":
    main()
