"""Small runs: a micro encoder on generated clips, a fraction of a second each."""

from pathlib import Path

import torch

from tests.model.micro import micro
from training.data.samples import Sample
from training.data.sources import ArraySource, generate_clips
from training.fit.distributed import World
from training.fit.loop import Report
from training.pretrain.config import Adversary, Data, Optimiser, PretrainConfig

ALONE = World(torch.device("cpu"))


def run_config(output: Path, **changes: object) -> PretrainConfig:
    fields: dict[str, object] = {
        "output": output,
        "encoder": micro(),
        "data": Data(sources=("generated:4",), frame_px=64, workers=0),
        "adversary": Adversary(hidden=16, warmup_steps=1, learning_rate=1e-3),
        "optimiser": Optimiser(warmup_steps=2, learning_rate=1e-3),
        "augmented": True,
        "steps": 6,
        "batch_size": 4,
        "log_every": 1,
        "save_every": 100,
        "device": "cpu",
    }
    return PretrainConfig(**(fields | changes))  # type: ignore[arg-type]


def clips() -> ArraySource:
    return ArraySource(generate_clips(4, 64))


class Recorder:
    """A `Watcher` that remembers."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.scores: list[tuple[int, float, bool]] = []
        self.reasons: list[str] = []

    def step(self, report: Report) -> None:
        self.reports.append(report)

    def validated(self, step: int, score: float, best: bool) -> None:
        self.scores.append((step, score, best))

    def skipped(self, reason: str) -> None:
        self.reasons.append(reason)


class Poisoned:
    """A source that turns wild after a while: finite numbers that no float32 square survives."""

    def __init__(self, good: int) -> None:
        self.whole, self.good = clips(), good

    def pair(self, number: int) -> tuple[Sample, Sample]:
        first, second = self.whole.pair(number)
        if number >= self.good:
            first.targets["body_pose"][:] = 3e38  # type: ignore[index]
        return first, second
