"""Everything a run is made of, and how it is written down and taken up again.

`last.pt` holds all that a run needs to go on, `best.pt` only the weights; both are encoder checkpoints that
`python -m model.export` takes. Files are replaced in one step: a run that is killed while it writes keeps the old one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import load_kinetics, load_strictly, load_tensors, read_checkpoint
from training.assignments import as_plain_data
from training.errors import ResumeError
from training.fit.files import BEST, LAST, commit, write_whole
from training.fit.loop import Pace
from training.fit.optimiser import make_optimiser
from training.pretrain.config import PretrainConfig, differences
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
    """A network as a checkpoint holds it, for export and for what is trained from it.

    Args:
        network: its weights, on any device.
        provenance: how they came about.
        step: after how many steps.
        licence: of the weights.
        kept_share: of the mask units, those to encode.
        num_parts: of a clip's vector.
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
    """A checkpoint with other weights and without a run to go on with.

    Args:
        content: of the checkpoint that it was.
        model: the weights, under the published names.
        how: they came about, for the provenance.
    """
    kept = ("encoder", "fps", "stride_frames", "kept_share", "num_parts", "licence", "trained", "step", "config")
    told = {"model": model, "provenance": f"{content['provenance']}; {how}"}
    return {name: content[name] for name in kept if name in content} | told


@dataclass
class Run:
    """A run between two steps."""

    config: PretrainConfig
    network: PretrainNetwork
    discriminator: Discriminator
    optimiser: torch.optim.AdamW
    adversary_optimiser: torch.optim.AdamW
    step: int = 0
    """Steps done."""
    elapsed_s: float = 0.0
    """Seconds of training so far, all parts of the run together."""
    best_score: float | None = None
    """Of the best checkpoint, where there was a validation."""
    licence: str = LICENCE
    """Of the weights: what they started from decides."""

    @property
    def clip_norm(self) -> float:
        """Longest gradient of the network."""
        return self.config.optimiser.clip_norm

    @property
    def paces(self) -> tuple[Pace, ...]:
        """See `training.fit.loop.Run`."""
        settings = ((self.optimiser, self.config.optimiser), (self.adversary_optimiser, self.config.adversary))
        return tuple(Pace(optimiser, one.learning_rate, one.warmup_steps) for optimiser, one in settings)

    def checkpoint(self) -> dict[str, Any]:
        """The weights with their provenance, as `model.checkpoint` reads them."""
        sources = ", ".join(self.config.data.sources)
        told = (
            f"pretrained by training.pretrain: preset {self.config.preset}, {self.step} of {self.config.steps}"
            f" steps, data {sources}, seed {self.config.seed}, start {self.config.start_from or 'random weights'},"
            f" commit {commit()}"
        )
        content = weights_content(self.network, told, self.step, licence=self.licence, kept_share=self.config.moving)
        return content | {"config": as_plain_data(self.config), "score": self.best_score}

    def save_last(self) -> None:
        """Write `last.pt`."""
        rest = {
            "discriminator": self.discriminator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "adversary_optimiser": self.adversary_optimiser.state_dict(),
            "elapsed_s": self.elapsed_s,
        }
        write_whole(self.checkpoint() | rest, self.config.output / LAST)

    def save_best(self) -> None:
        """Write `best.pt`."""
        write_whole(self.checkpoint(), self.config.output / BEST)


def make_run(config: PretrainConfig, device: torch.device) -> Run:
    """A run at step 0 with weights drawn from the seed, the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PretrainNetwork(config.encoder, config.adversary.style_stage)
        channels = config.encoder.embed_dim * 2 ** (config.adversary.style_stage - 1)
        discriminator = Discriminator(channels, config.encoder.dim, config.adversary)
    network.to(device)
    discriminator.to(device)
    return Run(
        config,
        network,
        discriminator,
        make_optimiser(network, len(network.encoder.backbone.blocks), config.optimiser),
        make_adversary_optimiser(discriminator, config.adversary),
    )


def start_run(config: PretrainConfig, device: torch.device) -> Run:
    """A new run.

    Raises:
        ResumeError: its output folder holds a run already.
        CheckpointError: the checkpoint to start from can't be read or is of another geometry.
    """
    if (config.output / LAST).exists():
        raise ResumeError(
            f"{config.output / LAST} holds a run already; go on with it (--resume), or set another output=DIR"
        )
    run = make_run(config, device)
    if config.start_from:
        run.licence = load_start(run.network, Path(config.start_from))
    return run


def load_start(network: PretrainNetwork, path: Path) -> str:
    """Load weights to start from and say under which licence they come.

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


def resume_run(config: PretrainConfig, device: torch.device) -> Run:
    """A run as `last.pt` in its output folder left it.

    Raises:
        ResumeError: that file is of a run with other settings, or not of a run at all.
        CheckpointError: it is damaged, or does not fit.
    """
    path = config.output / LAST
    content = load_tensors(path)
    if "config" not in content or "optimiser" not in content:
        raise ResumeError(f"{path} holds weights but no run to go on with; set another output, or start_from={path}")
    if changed := differences(content["config"], as_plain_data(config)):
        raise ResumeError(
            f"{path} is of another run: {'; '.join(changed)}. Use its settings, or another output; a new run can begin"
            f" from its weights with start_from={path}"
        )
    run = make_run(config, device)
    load_strictly(run.network, from_published(content["model"]))
    load_strictly(run.discriminator, content["discriminator"])
    run.optimiser.load_state_dict(content["optimiser"])
    run.adversary_optimiser.load_state_dict(content["adversary_optimiser"])
    run.step, run.elapsed_s = content["step"], content["elapsed_s"]
    run.best_score, run.licence = content["score"], content["licence"]
    return run
