"""Hostile uploads against a decoding process: `python -m tests.hostile.decoding --mutations 2000 --seed 0`.

Every upload must end in windows or in one of the errors that the service answers with a problem document, in bounded
time, and a whole video must be decoded afterwards. A process that an upload takes down is replaced, and counted.
"""

import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from app.decoding.decoder import Decoder
from app.decoding.limits import DecoderLimits
from app.errors import VideoTooCostlyError, VideoUndecodableError
from model.clip_stream import WindowingConfig
from model.errors import VideoError
from model.video import VideoLimits
from tests.hostile.corpus import bases, handmade, mutant, valid

WINDOWING = WindowingConfig(fps=25.0, num_frames=16, size=64, stride_frames=8)
LIMITS = VideoLimits(max_duration_s=60, max_bytes=100_000_000)
DECODING = DecoderLimits(memory_bytes=512_000_000, seconds=20)
REFUSALS = (VideoError, VideoTooCostlyError, VideoUndecodableError)
DECODED = "decoded"


@dataclass(frozen=True)
class Outcome:
    """What became of one upload."""

    name: str
    result: str
    """`DECODED`, or the name of the error."""
    message: str
    seconds: float
    took_process_down: bool


class Victim:
    """A decoding process, and another one where an upload took it down."""

    def __init__(self, limits: DecoderLimits = DECODING) -> None:
        self._limits = limits
        self._decoder = Decoder(limits)

    def given(self, name: str, upload: bytes) -> Outcome:
        """What becomes of an upload."""
        self._decoder.start()
        with os.fdopen(os.memfd_create("upload"), "wb") as file:
            file.write(upload)
            file.flush()
            began = time.perf_counter()
            result, message = self._result(file.fileno())
            seconds = time.perf_counter() - began
        is_lost = result in (VideoTooCostlyError.__name__, VideoUndecodableError.__name__)
        if is_lost:
            self._decoder.kill()
            self._decoder = Decoder(self._limits)
        return Outcome(name, result, message, seconds, is_lost)

    def close(self) -> None:
        """End the process."""
        self._decoder.kill()

    def _result(self, video: int) -> tuple[str, str]:
        try:
            cut = self._decoder.decode_windows(video, WINDOWING, LIMITS)
        except REFUSALS as error:
            return type(error).__name__, str(error)
        return DECODED, f"{len(cut)} windows"


@contextmanager
def bait() -> Iterator[tuple[str, str, list[str]]]:
    """A server and a video that nobody may ask for: the address, the path, and who asked."""
    callers: list[str] = []
    with (
        tempfile.NamedTemporaryFile(suffix=".mp4") as file,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        file.write(valid("mp4", "libx264"))
        file.flush()

        def listen() -> None:
            while True:
                try:
                    connection, caller = server.accept()
                except OSError:
                    return
                callers.append(str(caller))
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", file.name, callers
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def attack(num_mutations: int, seed: int) -> Iterator[Outcome]:
    """Every upload in turn; the whole video in between must always be decoded.

    Raises:
        AssertionError: it is not, or something that an upload names was asked for.
    """
    rng = np.random.default_rng(seed)
    whole = valid("mp4", "libx264")
    originals = bases()
    with closing(Victim()) as victim, bait() as (url, path, callers):
        for name, upload in handmade(url, path).items():
            yield victim.given(name, upload)
            assert victim.given("whole", whole).result == DECODED, f"after {name} nothing is decoded any more"
        for number in range(num_mutations):
            name = list(originals)[number % len(originals)]
            outcome = victim.given(f"{name} {number}", mutant(originals[name], rng))
            yield outcome
            if outcome.took_process_down or number % 50 == 0:
                assert victim.given("whole", whole).result == DECODED, f"after {outcome} nothing is decoded any more"
        assert callers == [], "an upload made the process call a server"


def report(outcomes: list[Outcome], num_handmade: int) -> str:
    """A summary as Markdown."""
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:5]
    results = Counter(outcome.result for outcome in outcomes[num_handmade:])
    return "\n".join(
        [
            "| upload | outcome | s |",
            "|---|---|---|",
            *(f"| {each.name} | {each.result} | {each.seconds:.2f} |" for each in outcomes[:num_handmade]),
            "",
            f"{sum(results.values())} mutations: {', '.join(f'{num} {name}' for name, num in results.most_common())}.",
            f"Processes that an upload took down: {sum(outcome.took_process_down for outcome in outcomes)}"
            f" ({', '.join(f'{each.name}: {each.message}' for each in outcomes if each.took_process_down) or 'none'}).",
            f"Slowest: {', '.join(f'{each.name} {each.seconds:.2f} s' for each in slowest)}.",
            "",
        ]
    )


def main(
    *,
    mutations: Annotated[int, typer.Option(min=0, help="Videos with something wrong in them.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the mutations.")] = 0,
    odd: Annotated[Path | None, typer.Option(help="A folder of clips that are tried as well.")] = None,
) -> None:
    """Try everything and say what became of it."""
    outcomes = list(attack(mutations, seed))
    if odd is not None:
        with closing(Victim()) as victim:
            outcomes = [victim.given(path.name, path.read_bytes()) for path in sorted(odd.iterdir())] + outcomes
    sys.stdout.write(report(outcomes, len(outcomes) - mutations))


if __name__ == "__main__":
    typer.run(main)
