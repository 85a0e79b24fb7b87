"""Small runs: a tiny network on a few clips."""

from pathlib import Path
from typing import Any

import torch

from tests.training.pretrain.runs import Recorder
from training.fit.distributed import World
from training.sl_slr.batches import Batches
from training.sl_slr.config import Data, Losses, Network, SlSlrConfig, adamw
from training.sl_slr.corpus import Corpus
from training.sl_slr.loop import pretrain
from training.sl_slr.state import SlSlrState, open_run

ALONE = World(torch.device("cpu"))


def run_config(output: Path, **changes: object) -> SlSlrConfig:
    fields: dict[str, object] = {
        "output": output,
        "data": Data(sources=("lexicon:3x3",), num_frames=8),
        "network": Network(width=8, depth=1, heads=2, dim=8, projection=4, hidden=8),
        "losses": Losses(queue=8),
        "optimiser": adamw(1e-3, 2),
        "steps": 6,
        "batch_size": 4,
        "log_every": 1,
        "save_every": 100,
        "device": "cpu",
    }
    return SlSlrConfig(**(fields | changes))  # type: ignore[arg-type]


class CollapseRecorder(Recorder):
    """`Callbacks` that remember collapses, too."""

    def __init__(self) -> None:
        super().__init__()
        self.collapses: list[int] = []

    def on_collapse(self, step: int, spread: float) -> None:
        self.collapses.append(step)


def batches_of(corpus: Corpus, config: SlSlrConfig) -> Batches:
    return Batches(corpus, config.data, config.batch_size, config.seed)


def train(
    corpus: Corpus, config: SlSlrConfig, *, resume: bool = True, **how: Any
) -> tuple[SlSlrState, CollapseRecorder]:
    """Start or resume a run, as the command does it."""
    recorder = CollapseRecorder()
    return train_state(open_run(config, ALONE.device, resume=resume), corpus, recorder, **how), recorder


def train_state(state: SlSlrState, corpus: Corpus, recorder: CollapseRecorder, **how: Any) -> SlSlrState:
    batches = batches_of(corpus, state.config)
    return pretrain(state, batches, ALONE, callbacks=recorder, on_collapse=recorder.on_collapse, **how)
