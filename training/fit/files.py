"""The files of a run: `last.pt` to go on from, `best.pt` with the weights alone; old or new, never half of one."""

import os
import subprocess
from pathlib import Path
from typing import Any

import torch

LAST = "last.pt"
BEST = "best.pt"
ROOT = Path(__file__).resolve().parents[2]


def chosen(output: Path) -> Path:
    """The checkpoint of a run that counts: the best where there was a validation, else the last."""
    return output / BEST if (output / BEST).exists() else output / LAST


def commit() -> str:
    """The commit this code is of, with a plus where files were changed since; "unknown" outside a repository."""
    described = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def write_whole(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint file such that either the old or the new one is there, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.part")
    with staged.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
