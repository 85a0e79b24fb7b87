"""Features without an encoder: every sign a direction of its own that lasts some windows, with noise."""

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.fit.distributed import World
from training.fit.optimiser import OptimiserConfig
from training.translate.config import Data, Network, TranslateConfig

ALONE = World(torch.device("cpu"))
SIGNS = ("EAT", "FISH", "ME", "NOW", "WHERE")
DIM = 6


def sentence(name: str, order: tuple[int, ...], seed: int) -> dict[str, Any]:
    """One as `training.features` writes it: words are glosses in lower case, the last sign's word first."""
    rng = np.random.default_rng(seed)
    rows = [place for place in order for _ in range(int(rng.integers(3, 6)))]
    sign = np.eye(DIM)[rows] + 0.1 * rng.standard_normal((len(rows), DIM))
    words = [SIGNS[place].lower() for place in (*order[-1:], *order[:-1])]
    return {
        "name": name,
        "signer": "s1",
        "gloss": " ".join(SIGNS[place] for place in order),
        "text": " ".join(words),
        "sign": torch.from_numpy(sign.astype(np.float32)),
    }


def write_split(folder: Path, split: str, sentences: list[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / f"{split}.pkl.gz", "wb") as file:
        pickle.dump(sentences, file, protocol=4)
    return folder / f"{split}.pkl.gz"


def write_features(folder: Path, num_train: int = 60) -> Path:
    """Three splits of sentences of two or three signs."""
    rng = np.random.default_rng(1)
    for split, num in (("train", num_train), ("dev", 4), ("test", 6)):
        orders = [tuple(int(s) for s in rng.choice(len(SIGNS), 2 + n % 2, replace=False)) for n in range(num)]
        made = [sentence(f"{split}-{n}", order, 1000 * len(split) + n) for n, order in enumerate(orders)]
        write_split(folder, split, made)
    return folder


def run_config(output: Path, folder: Path, **changes: Any) -> TranslateConfig:
    fields: dict[str, Any] = {
        "output": output,
        "data": Data(folder=str(folder)),
        "network": Network(
            width=32, hidden=32, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.1, reach_windows=3
        ),
        "optimiser": OptimiserConfig(learning_rate=1e-2, layer_decay=1.0, weight_decay=0.0, warmup_steps=2),
        "steps": 6,
        "batch_size": 4,
        "beam": 2,
        "max_units": 8,
        "log_every": 1,
        "save_every": 100,
        "validate_every": 3,
        "device": "cpu",
    }
    return TranslateConfig(**(fields | changes))
