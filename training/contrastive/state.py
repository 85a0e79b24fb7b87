"""Everything a contrastive run consists of, and how it is saved and resumed; see `training.fit.files`.

`last.pt` and `best.pt` hold the moving average of the weights as an encoder checkpoint; `last.pt` holds beside it all
that the run needs to be resumed.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.config import EncoderConfig
from model.network.checkpoint import load_strictly, load_tensors
from training.contrastive.config import ContrastiveConfig
from training.contrastive.depth_growth import deepened, is_deeper
from training.contrastive.network import ContrastiveNetwork
from training.errors import ConfigError, ResumeError
from training.fit.files import LAST, commit
from training.fit.optimiser import ScheduledOptimiser, make_optimiser
from training.fit.overrides import as_plain_data
from training.fit.resume import require_no_run, require_same_settings
from training.fit.schedule import warmup_cosine_by_share
from training.fit.state import RunState
from training.pretrain.network import PretrainNetwork, from_published, published_state
from training.pretrain.state import LICENCE, weights_content

RANDOM = "random weights"
CHANGEABLE = frozenset({"render.max_pairs", "render.max_s", "render.workers", "render.first_cast"})
"""Fields that may change when a run is resumed, besides those of every method."""


@dataclass
class ContrastiveState(RunState[ContrastiveConfig]):
    """A run between two steps."""

    network: ContrastiveNetwork
    average: PretrainNetwork
    """Moving average of the network's weights, in evaluation mode."""
    num_windows: int = 0
    """Windows trained on, by all processes."""
    start: str = RANDOM
    """Provenance of the weights that it started from."""
    licence: str = LICENCE
    """Of the weights that it started from."""
    clips: str = ""
    """The clips that it trains on, in words, for the provenance."""

    @property
    def optimisers(self) -> tuple[ScheduledOptimiser, ...]:
        """See `training.fit.loop.TrainState`."""
        schedule = warmup_cosine_by_share(self.config.learning_rate, first_phase=self.config.hands_first)
        return (ScheduledOptimiser(self.optimiser, schedule),)

    def checkpoint(self) -> dict[str, Any]:
        """The averaged weights with their provenance, as `model.network.checkpoint` reads them."""
        provenance = (
            f"{self.start}; training.contrastive, {self.step} steps, {self.num_windows} windows, commit {commit()},"
            f" {self.clips}"
        )
        content = weights_content(
            self.average, provenance, self.step, licence=self.licence, num_parts=self.config.num_parts
        )
        return content | {"config": as_plain_data(self.config), "score": self.best_score}

    def only_to_resume(self) -> dict[str, Any]:
        """See `RunState`."""
        return {
            "network": self.network.network.state_dict(),
            "reader": self.network.reader.read.state_dict(),
            "num_windows": self.num_windows,
            "start": self.start,
            "clips": self.clips,
        }


def start_run(config: ContrastiveConfig, device: torch.device) -> ContrastiveState:
    """A new run.

    Raises:
        ResumeError: its output folder holds a run already.
        ConfigError: the checkpoint to start from holds another encoder.
        CheckpointError: that checkpoint can't be read, or its weights do not fit.
    """
    require_no_run(config.output)
    return make_state(config, device, Path(config.start_from) if config.start_from else None)


def make_state(config: ContrastiveConfig, device: torch.device, start_from: Path | None = None) -> ContrastiveState:
    """A run at step 0, with a checkpoint's weights, or random ones by the seed; see `start_run`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PretrainNetwork(config.encoder)
        start, licence = (RANDOM, LICENCE) if start_from is None else load_start(network, start_from)
        model = ContrastiveNetwork(network, config).to(device).train()
    average = copy.deepcopy(model.network).eval().requires_grad_(False)
    optimiser = make_optimiser(model, 0, config.optimiser, not_decayed=())
    return ContrastiveState(config, optimiser, model, average, start=start, licence=licence)


def load_start(network: PretrainNetwork, path: Path) -> tuple[str, str]:
    """Load a checkpoint's weights, also those of an encoder with fewer blocks; returns their provenance and licence.

    Raises:
        ConfigError: the checkpoint holds another encoder, or none.
        CheckpointError: it can't be read, or its weights do not fit.
    """
    content = load_tensors(path)
    if "encoder" not in content or "model" not in content:
        raise ConfigError(f"{path} is no checkpoint of a training run; take one of training.pretrain or this method")
    wanted, found = network.encoder.config, EncoderConfig.from_json(content["encoder"])
    if not is_deeper(wanted, found):
        raise ConfigError(
            f"{path} holds another encoder than this run's: {found}; set encoder.* to the same, or to more blocks"
        )
    state, provenance = content["model"], content["provenance"]
    if wanted != found:
        state = deepened(state, found, wanted, published_state(network))
        provenance += f"; deepened to stages {wanted.stages}, hand_stages {wanted.hand_stages}"
    load_strictly(network, from_published(state))
    return provenance, content["licence"]


def is_finished(config: ContrastiveConfig) -> bool:
    """Whether the output folder holds a run that has done all its steps or minutes."""
    path = config.output / LAST
    if not path.exists():
        return False
    content = load_tensors(path)
    return is_over(config, content["step"], content["elapsed_s"])


def is_over(config: ContrastiveConfig, step: int, elapsed_s: float) -> bool:
    """Whether all steps or minutes of a run are done."""
    return step >= config.steps or elapsed_s >= 60.0 * config.minutes


def resume_run(config: ContrastiveConfig, device: torch.device) -> ContrastiveState:
    """The run that `last.pt` in the output folder holds.

    Raises:
        ResumeError: that file is of a run with other settings, or of no run at all.
        CheckpointError: it is damaged, or does not fit.
    """
    path = config.output / LAST
    content = load_tensors(path)
    if missing := [name for name in ("config", "network", "reader", "optimiser") if name not in content]:
        raise ResumeError(
            f"{path} is no contrastive run to go on with: {', '.join(missing)} missing; set another output, or"
            f" start_from={path}"
        )
    require_same_settings(path, content["config"], config, CHANGEABLE)
    state = make_state(config, device)
    load_strictly(state.network.network, content["network"])
    load_strictly(state.network.reader.read, content["reader"])
    load_strictly(state.average, from_published(content["model"]))
    state.resume_from(content, path)
    state.num_windows, state.start, state.licence = content["num_windows"], content["start"], content["licence"]
    state.clips = content["clips"]
    return state
