"""What a run is made of, and how it is written down and taken up again: `last.pt` in its output folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from model.checkpoint import load_strictly, load_tensors
from training.assignments import as_plain_data, from_plain_data
from training.errors import ResumeError
from training.fit.files import LAST, commit, write_whole
from training.pretrain.state import LICENCE
from training.sl_slr.config import SlSlrConfig, check_same
from training.sl_slr.network import SlSlrNetwork, make_network
from training.sl_slr.objective import Learner

KIND = "sl-slr"


@dataclass
class Run:
    """A run between two steps."""

    config: SlSlrConfig
    learner: Learner
    optimiser: torch.optim.AdamW
    step: int = 0
    """Steps done."""
    elapsed_s: float = 0.0
    """Seconds of training so far, all parts of the run together."""
    collapsed_at: int | None = None
    """The step after which projections were first found to be all the same."""

    @property
    def network(self) -> SlSlrNetwork:
        """What is learned."""
        return self.learner.network

    @property
    def path(self) -> Path:
        """Where the run is saved."""
        return self.config.output / LAST

    def save(self) -> None:
        """Write `last.pt`."""
        write_whole(
            {
                "kind": KIND,
                "config": as_plain_data(self.config),
                "network": self.network.state_dict(),
                "slow": self.learner.slow.state_dict(),
                "queue": self.learner.queue,
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "collapsed_at": self.collapsed_at,
                "provenance": self.provenance(),
                "licence": LICENCE,
            },
            self.path,
        )

    def provenance(self) -> str:
        """Where the weights come from, in words; folders by their own name only."""
        config = self.config
        sources = ", ".join(_named(source) for source in config.data.sources)
        return (
            f"skeletons, pretrained by training.sl_slr: method {config.method}, preset {config.preset}, {self.step} of"
            f" {config.steps} steps, data {sources}, seed {config.seed}, commit {commit()}"
        )


def _named(source: str) -> str:
    kind, _, where = source.partition(":")
    return f"{kind}:{Path(where).name}"


def make_run(config: SlSlrConfig, device: torch.device) -> Run:
    """A run at step 0, its weights drawn from the seed."""
    network = make_network(config.network, config.data.num_frames, config.seed).to(device)
    slow = make_network(config.network, config.data.num_frames, config.seed).to(device).requires_grad_(False)
    generator = torch.Generator().manual_seed(config.seed)
    queue = functional.normalize(
        torch.randn(config.losses.queue, config.network.projection, generator=generator), dim=1
    )
    return Run(config, Learner(network, slow, queue.to(device)), make_optimiser(network, config))


def make_optimiser(network: SlSlrNetwork, config: SlSlrConfig) -> torch.optim.AdamW:
    """AdamW; weights decay in matrices only."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.optimiser.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group | {"rate_scale": 1.0} for group in groups], lr=config.optimiser.learning_rate)


def open_run(config: SlSlrConfig, device: torch.device, *, resume: bool) -> Run:
    """A new run, or with `resume` the one in the output folder, if any.

    Raises:
        ResumeError: the folder holds a run already, or one of other settings, or something else.
        CheckpointError: the file is damaged.
    """
    run = make_run(config, device)
    if not run.path.exists():
        return run
    if not resume:
        raise ResumeError(f"{run.path} holds a run already; go on with it (--resume), or set another output=DIR")
    content = read_run(run.path)
    check_same(run.path, content["config"], config)
    load_strictly(run.network, content["network"])
    load_strictly(run.learner.slow, content["slow"])
    run.learner.queue.copy_(content["queue"])
    run.optimiser.load_state_dict(content["optimiser"])
    run.step, run.elapsed_s, run.collapsed_at = content["step"], content["elapsed_s"], content["collapsed_at"]
    return run


def read_run(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        ResumeError: it is of something else.
        CheckpointError: it is missing or damaged.
    """
    content: dict[str, Any] = load_tensors(path)
    if content.get("kind") != KIND:
        raise ResumeError(f"{path} is no run of training.sl_slr; such a run leaves {LAST} in its output folder")
    return content


@dataclass(frozen=True)
class Trained:
    """A checkpoint as something to encode with."""

    config: SlSlrConfig
    network: SlSlrNetwork
    """In evaluation mode."""
    provenance: str
    licence: str


def read_trained(path: Path) -> Trained:
    """The network of a checkpoint.

    Raises:
        ResumeError, CheckpointError: see `read_run`.
        ConfigError: its settings are of another version.
    """
    content = read_run(path)
    config = from_plain_data(SlSlrConfig, content["config"])
    network = make_network(config.network, config.data.num_frames, config.seed)
    load_strictly(network, content["network"])
    return Trained(config, network.eval(), content["provenance"], content["licence"])
