"""Small runs: a micro encoder on generated clips, a fraction of a second each."""

from pathlib import Path

import torch

from tests.model.micro import micro
from training.data.windows.samples import Sample
from training.data.windows.sources import ArraySource, generate_clips
from training.fit.distributed import World
from training.fit.loop import SCORE, Scores, StepReport
from training.pretrain.config import Adversary, Data, OptimiserConfig, PretrainConfig

ALONE = World(torch.device("cpu"))


def run_config(output: Path, **changes: object) -> PretrainConfig:
    fields: dict[str, object] = {
        "output": output,
        "encoder": micro(),
        "data": Data(sources=("generated:4",), frame_px=64, workers=0),
        "adversary": Adversary(hidden=16, warmup_steps=1, learning_rate=1e-3),
        "optimiser": OptimiserConfig(warmup_steps=2, learning_rate=1e-3),
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
    """`Callbacks` that remember."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []
        self.scores: list[tuple[int, float, bool]] = []
        self.reasons: list[str] = []

    def on_step(self, report: StepReport) -> None:
        self.reports.append(report)

    def on_validation(self, step: int, scores: Scores, *, best: bool) -> None:
        self.scores.append((step, scores[SCORE], best))

    def on_skip(self, reason: str) -> None:
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
