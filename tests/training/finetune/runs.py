"""Small runs: a micro encoder on tiny videos, a fraction of a second each."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.config import EncoderConfig
from model.network.checkpoint import Checkpoint, untrained
from tests.model.micro import micro
from tests.tiny_videos import write_clip
from training.finetune.config import Data, FinetuneConfig
from training.fit.distributed import World
from training.fit.optimiser import OptimiserConfig

ALONE = World(torch.device("cpu"))
SIGNS = ("HOUSE", "TREE", "WATER")


def glimpses() -> EncoderConfig:
    """The smallest encoder of the shipped kind: windows of two frames, a stem, a closer look at the hands."""
    return EncoderConfig(
        num_frames=2,
        image_size=32,
        patch_stride=(2, 8, 8),
        stem=(4,),
        embed_dim=8,
        num_heads=1,
        stages=(1, 1),
        q_pool=1,
        local_stages=(True, False),
        mask_unit=(1, 2, 2),
        activity_hidden=4,
        hand_px=16,
        hand_stem=(4,),
        hand_stages=(1, 1),
        drop_path=0.3,
    )


def save_encoder(path: Path, config: EncoderConfig | None = None) -> Path:
    """A checkpoint as pretraining leaves it."""
    start: Checkpoint = untrained(config or replace(micro(), drop_path=0.3), "micro")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "model": dict(start.state),
            "encoder": start.config.to_json(),
            "fps": 25.0,
            "stride_frames": 2,
            "provenance": "random",
            "licence": "CC BY-NC-SA 4.0",
            "trained": True,
        },
        path,
    )
    return path


def write_set(folder: Path, splits: dict[str, int]) -> Path:
    """An entries file with a video per sign and number, each sign another picture; the number is the signer."""
    rows = [
        {"id": f"{split}-{gloss}-{n}", "gloss": gloss, "video": f"{split}-{gloss}-{n}.mp4", "split": split, "signer": n}
        for split, count in splits.items()
        for gloss in SIGNS
        for n in range(count)
    ]
    for row in rows:
        write_clip(
            folder / str(row["video"]), SIGNS.index(str(row["gloss"])), seconds=0.5 + 0.2 * int(str(row["signer"]))
        )
    with (folder / "entries.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def run_config(output: Path, folder: Path, start: Path, **changes: Any) -> FinetuneConfig:
    fields: dict[str, Any] = {
        "output": output,
        "start_from": str(start),
        "data": Data(reader="entries", folder=str(folder), workers=0),
        "optimiser": OptimiserConfig(learning_rate=3e-3, layer_decay=0.9, weight_decay=0.0, warmup_steps=2),
        "steps": 4,
        "batch_size": 3,
        "log_every": 1,
        "save_every": 100,
        "validate_every": 2,
        "device": "cpu",
    }
    return FinetuneConfig(**(fields | changes))
