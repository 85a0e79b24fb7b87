"""Small runs: a tiny network on a few clips."""

from pathlib import Path

from training.sl_slr.config import Data, Losses, Network, Optimiser, SlSlrConfig
from training.sl_slr.loop import Report


def run_config(output: Path, **changes: object) -> SlSlrConfig:
    fields: dict[str, object] = {
        "output": output,
        "data": Data(sources=("lexicon:3x3",), num_frames=8),
        "network": Network(width=8, depth=1, heads=2, dim=8, projection=4, hidden=8),
        "losses": Losses(queue=8),
        "optimiser": Optimiser(warmup_steps=2, learning_rate=1e-3),
        "steps": 6,
        "batch_size": 4,
        "log_every": 1,
        "save_every": 100,
        "device": "cpu",
    }
    return SlSlrConfig(**(fields | changes))  # type: ignore[arg-type]


class Recorder:
    """A `Watcher` that remembers."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.collapses: list[int] = []

    def step(self, report: Report) -> None:
        self.reports.append(report)

    def collapsed(self, step: int, spread: float) -> None:
        self.collapses.append(step)
