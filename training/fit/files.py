"""The files of a run: `last.pt` to resume from, `best.pt` with the weights alone; each is replaced in one step."""

import os
import subprocess
from pathlib import Path
from typing import Any

import torch

LAST = "last.pt"
BEST = "best.pt"
ROOT = Path(__file__).resolve().parents[2]


def best_or_last(output: Path) -> Path:
    """The checkpoint of a run to use: the best where there was a validation, else the last."""
    return output / BEST if (output / BEST).exists() else output / LAST


def commit() -> str:
    """The commit of this code, with a plus where files were changed since; "unknown" outside a repository."""
    described = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def save_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Replace a checkpoint file in one step: whatever happens, the old or the new one exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.part")
    with staged.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
