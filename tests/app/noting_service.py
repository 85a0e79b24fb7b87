"""`python -m app serve` with an encoder that takes its time and notes every window: `... FILE SECONDS`."""

import hashlib
import sys
import time
from pathlib import Path

import app.replica.services
from app.__main__ import app as commands
from tests.fakes import FakeEncoder


class NotingEncoder(FakeEncoder):
    """A `FakeEncoder` that takes so long for a batch, and notes every window in it once: batches are filled up."""

    def __init__(self, notes: Path, seconds: float) -> None:
        super().__init__()
        self._notes = notes
        self._seconds = seconds

    def encode(self, windows, visible=None):
        time.sleep(self._seconds)
        lines = {hashlib.sha256(window.tobytes()).hexdigest()[:16] + "\n" for window in windows}
        with self._notes.open("a") as file:
            file.writelines(lines)
        return super().encode(windows, visible)


if __name__ == "__main__":
    encoder = NotingEncoder(Path(sys.argv[1]), float(sys.argv[2]))
    app.replica.services.open_encoder = lambda settings: encoder
    commands(["serve"])
