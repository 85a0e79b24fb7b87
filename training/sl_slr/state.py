"""Everything a run on keypoint sequences consists of, and its checkpoint; see `training.fit.files`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from model.network.checkpoint import load_strictly
from training.fit.files import LAST, commit
from training.fit.optimiser import make_optimiser
from training.fit.overrides import as_plain_data, from_plain_data
from training.fit.resume import require_no_run, require_same_settings
from training.fit.state import RunState, read_kind
from training.pretrain.state import LICENCE
from training.sl_slr.config import SlSlrConfig
from training.sl_slr.network import SlSlrNetwork, make_network
from training.sl_slr.objective import MethodNetworks

KIND, METHOD = "sl-slr", "training.sl_slr"


@dataclass
class SlSlrState(RunState[SlSlrConfig]):
    """A run between two steps."""

    networks: MethodNetworks
    collapsed_at: int | None = None
    """The step after which projections were first found to be all the same."""

    @property
    def network(self) -> SlSlrNetwork:
        """What is trained."""
        return self.networks.network

    @property
    def provenance(self) -> str:
        """Where the weights come from, in words; folders by their own name only."""
        config = self.config
        sources = ", ".join(_without_folders(source) for source in config.data.sources)
        return (
            f"skeletons, pretrained by training.sl_slr: method {config.method}, preset {config.preset}, {self.step} of"
            f" {config.steps} steps, data {sources}, seed {config.seed}, commit {commit()}"
        )

    def checkpoint(self) -> dict[str, Any]:
        """The weights and what is known of them, as `read_trained` reads it."""
        return {
            "kind": KIND,
            "config": as_plain_data(self.config),
            "network": self.network.state_dict(),
            "step": self.step,
            "collapsed_at": self.collapsed_at,
            "provenance": self.provenance,
            "licence": LICENCE,
        }

    def only_to_resume(self) -> dict[str, Any]:
        """See `RunState`."""
        return {
            "slow": self.networks.momentum_network.state_dict(),
            "queue": self.networks.queue,
        }


def _without_folders(source: str) -> str:
    kind, _, where = source.partition(":")
    return f"{kind}:{Path(where).name}"


def make_state(config: SlSlrConfig, device: torch.device) -> SlSlrState:
    """A run at step 0, its weights drawn from the seed."""
    network, momentum_network = (
        make_network(config.network, config.data.num_frames, config.seed).to(device) for _ in range(2)
    )
    generator = torch.Generator().manual_seed(config.seed)
    queue = functional.normalize(
        torch.randn(config.losses.queue, config.network.projection, generator=generator), dim=1
    )
    networks = MethodNetworks(network, momentum_network.requires_grad_(requires_grad=False), queue.to(device))
    return SlSlrState(config, make_optimiser(network, 0, config.optimiser), networks)


def open_run(config: SlSlrConfig, device: torch.device, *, resume: bool) -> SlSlrState:
    """A new run, or with `resume` the one in the output folder, if any.

    Raises:
        ResumeError: the folder holds a run already, or one of other settings, or something else.
        CheckpointError: the file is damaged.
    """
    state, path = make_state(config, device), config.output / LAST
    if not resume:
        require_no_run(config.output)
    if not path.exists():
        return state
    content = read_kind(path, KIND, METHOD)
    require_same_settings(path, content["config"], config)
    load_strictly(state.network, content["network"])
    load_strictly(state.networks.momentum_network, content["slow"])
    state.networks.queue.copy_(content["queue"])
    state.resume_from(content, path)
    state.collapsed_at = content["collapsed_at"]
    return state


@dataclass(frozen=True)
class TrainedSkeletonEncoder:
    """A trained network and what is known of it."""

    config: SlSlrConfig
    network: SlSlrNetwork
    """In evaluation mode."""
    provenance: str
    licence: str


def read_trained(path: Path) -> TrainedSkeletonEncoder:
    """The network of a checkpoint.

    Raises:
        ResumeError: it is of something else.
        CheckpointError: it is missing or damaged.
        ConfigError: its settings are of another version.
    """
    content = read_kind(path, KIND, METHOD)
    config = from_plain_data(SlSlrConfig, content["config"])
    network = make_network(config.network, config.data.num_frames, config.seed)
    load_strictly(network, content["network"])
    return TrainedSkeletonEncoder(config, network.eval(), content["provenance"], content["licence"])
