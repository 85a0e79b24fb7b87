"""A published file that is served on this machine, and what to do with it."""

import dataclasses
import hashlib
import random

from model.weights.download import ReleaseAsset, RetryPolicy

CONTENT = random.Random(7).randbytes(200_000)
IMPATIENT = RetryPolicy(attempts=3, first_wait_s=0.0, timeout_s=5.0)


@dataclasses.dataclass
class Recorder:
    """Remembers what it was told."""

    notes: list[str] = dataclasses.field(default_factory=list)
    progress: list[int] = dataclasses.field(default_factory=list)

    def on_message(self, sentence):
        self.notes.append(sentence)

    def on_bytes(self, num_bytes):
        self.progress.append(num_bytes)


def published(url, content=CONTENT):
    digest = hashlib.sha256(content).hexdigest()
    return ReleaseAsset(
        "file.pt", "A publisher", url, len(content), digest, "CC BY-NC-SA 4.0", "https://example.org/licence"
    )


def part_with(folder, content, etag=None):
    """What an interrupted download leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "file.pt.part"
    part.write_bytes(content)
    if etag:
        (folder / "file.pt.part.etag").write_text(etag)
    return part


def names(folder):
    return sorted(path.name for path in folder.iterdir())
