"""Everything a pretraining run consists of, and how it is saved and resumed.

`last.pt` holds all that a run needs to be resumed, `best.pt` only the weights; both are encoder checkpoints that
`python -m model export` takes. Files are replaced in one step: a run that is killed while it writes keeps
the old one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.network.checkpoint import load_kinetics, load_strictly, load_tensors, read_checkpoint
from training.errors import ResumeError
from training.fit.files import LAST, commit
from training.fit.optimiser import ScheduledOptimiser, make_optimiser
from training.fit.overrides import as_plain_data
from training.fit.resume import changed_settings, require_no_run, restore_optimiser
from training.fit.schedule import warmup_cosine
from training.fit.state import RunState
from training.pretrain.config import PretrainConfig, with_names_of_today
from training.pretrain.discriminator import Discriminator, make_adversary_optimiser
from training.pretrain.network import DECODER, PretrainNetwork, from_published, published_state

LICENCE = "Apache-2.0"
KINETICS_LICENCE = "CC BY-NC 4.0"
FPS = 25.0
STRIDE_FRAMES = 2


def weights_content(
    network: PretrainNetwork,
    provenance: str,
    step: int,
    *,
    licence: str = LICENCE,
    kept_share: float = 1.0,
    num_parts: int = 1,
) -> dict[str, Any]:
    """A network as checkpoints hold it, for export and for training that starts from it.

    Args:
        network: its weights, on any device.
        provenance: how the weights came about.
        step: steps done.
        licence: of the weights.
        kept_share: share of the mask units to encode.
        num_parts: parts of a clip's vector.
    """
    return {
        "model": {name: value.cpu() for name, value in published_state(network).items()},
        "encoder": network.encoder.config.to_json(),
        "fps": FPS,
        "stride_frames": STRIDE_FRAMES,
        "kept_share": kept_share,
        "num_parts": num_parts,
        "provenance": provenance,
        "licence": licence,
        "trained": True,
        "step": step,
    }


def with_weights(content: Mapping[str, Any], model: dict[str, Tensor], how: str) -> dict[str, Any]:
    """A checkpoint with other weights, from which no run can be resumed.

    Args:
        content: of the checkpoint before.
        model: the weights, under the published names.
        how: how they came about, for the provenance.
    """
    kept = ("encoder", "fps", "stride_frames", "kept_share", "num_parts", "licence", "trained", "step", "config")
    changed = {"model": model, "provenance": f"{content['provenance']}; {how}"}
    return {name: content[name] for name in kept if name in content} | changed


@dataclass
class PretrainState(RunState[PretrainConfig]):
    """A run between two steps."""

    network: PretrainNetwork
    discriminator: Discriminator
    adversary_optimiser: torch.optim.AdamW
    licence: str = LICENCE
    """Of the weights: what they started from decides."""

    @property
    def optimisers(self) -> tuple[ScheduledOptimiser, ...]:
        """See `training.fit.loop.TrainState`."""
        pairs = ((self.optimiser, self.config.optimiser), (self.adversary_optimiser, self.config.adversary))
        return tuple(
            ScheduledOptimiser(optimiser, warmup_cosine(config.learning_rate, config.warmup_steps))
            for optimiser, config in pairs
        )

    def checkpoint(self) -> dict[str, Any]:
        """The weights with their provenance, as `model.network.checkpoint` reads them."""
        sources = ", ".join(self.config.data.sources)
        provenance = (
            f"pretrained by training.pretrain: preset {self.config.preset}, {self.step} of {self.config.steps}"
            f" steps, data {sources}, seed {self.config.seed}, start {self.config.start_from or 'random weights'},"
            f" commit {commit()}"
        )
        content = weights_content(
            self.network, provenance, self.step, licence=self.licence, kept_share=self.config.moving
        )
        return content | {"config": as_plain_data(self.config), "score": self.best_score}

    def only_to_resume(self) -> dict[str, Any]:
        """See `RunState`."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "adversary_optimiser": self.adversary_optimiser.state_dict(),
        }


def make_state(config: PretrainConfig, device: torch.device) -> PretrainState:
    """A run at step 0, its weights random by the seed, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PretrainNetwork(config.encoder, config.adversary.style_stage)
        channels = config.encoder.embed_dim * 2 ** (config.adversary.style_stage - 1)
        discriminator = Discriminator(channels, config.encoder.dim, config.adversary)
    network.to(device)
    discriminator.to(device)
    return PretrainState(
        config,
        make_optimiser(network, len(network.encoder.backbone.blocks), config.optimiser),
        network,
        discriminator,
        make_adversary_optimiser(discriminator, config.adversary),
    )


def start_run(config: PretrainConfig, device: torch.device) -> PretrainState:
    """A new run.

    Raises:
        ResumeError: its output folder holds a run already.
        CheckpointError: the checkpoint to start from can't be read or is of another geometry.
    """
    require_no_run(config.output)
    state = make_state(config, device)
    if config.start_from:
        state.licence = load_start(state.network, Path(config.start_from))
    return state


def load_start(network: PretrainNetwork, path: Path) -> str:
    """Load the weights to start from; returns their licence.

    Raises:
        CheckpointError: see `start_run`.
    """
    if "model_state" in load_tensors(path):
        load_kinetics(network.encoder.backbone, path)
        return KINETICS_LICENCE
    read = read_checkpoint(path)
    if any(name.startswith(DECODER) for name in read.state):
        load_strictly(network, from_published(read.state))
    else:
        load_strictly(network.encoder, read.state)
    return read.licence


def resume_run(config: PretrainConfig, device: torch.device) -> PretrainState:
    """The run that `last.pt` in the output folder holds.

    Raises:
        ResumeError: that file is of a run with other settings, or of no run at all.
        CheckpointError: it is damaged, or does not fit.
    """
    path = config.output / LAST
    content = load_tensors(path)
    if "config" not in content or "optimiser" not in content:
        raise ResumeError(f"{path} holds weights but no run to go on with; set another output, or start_from={path}")
    if changed := changed_settings(with_names_of_today(content["config"]), config):
        raise ResumeError(
            f"{path} is of another run: {'; '.join(changed)}. Use its settings, or another output; a new run can start"
            f" from its weights with start_from={path}"
        )
    state = make_state(config, device)
    load_strictly(state.network, from_published(content["model"]))
    load_strictly(state.discriminator, content["discriminator"])
    state.resume_from(content, path)
    restore_optimiser(state.adversary_optimiser, content["adversary_optimiser"], path)
    state.licence = content["licence"]
    return state
