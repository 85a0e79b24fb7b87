"""Processes that train together."""

import os
import subprocess
import sys
from pathlib import Path

from tests.docker.stack import free_port

ROOT = Path(__file__).resolve().parents[3]
LEAVE = """
from pathlib import Path

import torch
from torch import nn

from training.fit.distributed import World, join_world
from training.fit.loop import distributed

with join_world("cpu") as world:
    network = distributed(nn.Linear(2, 2), World(world.device, size=2))
    network(torch.ones(1, 2)).sum().backward()
    del network
    print(*[(path / "comm").read_text().strip() for path in Path("/proc/self/task").iterdir()])
print(*[(path / "comm").read_text().strip() for path in Path("/proc/self/task").iterdir()])
"""


def test_no_thread_of_the_group_outlives_it() -> None:
    # One that wants the interpreter while that is being closed would abort the process.
    launched = {"TORCHELASTIC_RUN_ID": "one", "RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    finished = subprocess.run(
        [sys.executable, "-c", LEAVE],
        cwd=ROOT,
        env=os.environ | launched | {"MASTER_PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    within, after = finished.stdout.splitlines()
    assert "gloo" in within
    assert "gloo" not in after
