"""Everything a fine-tuning run is made of, and how it is written down and taken up again; see `training.fit.files`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import PRETRAINING_ONLY, Checkpoint, load_strictly, load_tensors, without
from model.config import EncoderConfig
from model.errors import CheckpointError
from model.export import read_source
from training.assignments import as_plain_data, differences, from_plain_data
from training.errors import ConfigError, ResumeError
from training.finetune.config import FinetuneConfig
from training.finetune.data import View
from training.finetune.inflate import can_be_inflated, inflated_config, inflated_state
from training.finetune.network import Recogniser, depth
from training.fit import NOT_OF_THE_RESULT
from training.fit.files import BEST, LAST, commit, write_whole
from training.fit.loop import Pace
from training.fit.optimiser import make_optimiser

PARTS = ("recogniser", "encoder", "labels", "num_windows", "num_moments", "fps", "provenance", "licence", "config")
"""What a checkpoint of a recogniser has at least."""


@dataclass(frozen=True)
class Trained:
    """A recogniser and what is known of it, as a checkpoint holds it."""

    network: Recogniser
    labels: tuple[str, ...]
    num_windows: int
    fps: float
    provenance: str
    licence: str
    config: FinetuneConfig

    @property
    def view(self) -> View:
        """How it sees clips."""
        encoder = self.network.encoder.config
        return View(self.fps, encoder.image_size, self.num_windows, encoder.num_frames)


@dataclass
class Run:
    """A run between two steps."""

    config: FinetuneConfig
    network: Recogniser
    labels: tuple[str, ...]
    phi: Tensor
    """[C, C] the class distribution; empty until it is known, or where it does not count."""
    optimiser: torch.optim.AdamW
    num_windows: int
    fps: float
    licence: str
    step: int = 0
    """Steps done."""
    elapsed_s: float = 0.0
    """Seconds of training so far, all parts of the run together."""
    best_score: float | None = None
    """Of the best checkpoint, where there was a validation."""

    @property
    def clip_norm(self) -> float:
        """Longest gradient."""
        return self.config.optimiser.clip_norm

    @property
    def paces(self) -> tuple[Pace, ...]:
        """See `training.fit.loop.Run`."""
        return (Pace(self.optimiser, self.config.optimiser.learning_rate, self.config.optimiser.warmup_steps),)

    @property
    def provenance(self) -> str:
        """Where the weights come from, in words."""
        config = self.config
        return (
            f"fine-tuned by training.finetune: preset {config.preset}, {self.step} of {config.steps} steps, data"
            f" {config.data.reader}:{config.data.folder}, {len(self.labels)} labels, seed {config.seed}, start"
            f" {config.start_from}, commit {commit()}"
        )

    @property
    def trained(self) -> Trained:
        """The network as it is now."""
        return Trained(
            self.network, self.labels, self.num_windows, self.fps, self.provenance, self.licence, self.config
        )

    def checkpoint(self) -> dict[str, Any]:
        """The weights and what is known of them, as `read_trained` reads it."""
        return {
            "recogniser": self.network.state_dict(),
            "encoder": self.network.encoder.config.to_json(),
            "labels": list(self.labels),
            "num_windows": self.num_windows,
            "num_moments": self.network.num_moments,
            "fps": self.fps,
            "provenance": self.provenance,
            "licence": self.licence,
            "config": as_plain_data(self.config),
            "step": self.step,
            "score": self.best_score,
        }

    def save_last(self) -> None:
        """Write `last.pt`."""
        rest = {"optimiser": self.optimiser.state_dict(), "phi": self.phi, "elapsed_s": self.elapsed_s}
        write_whole(self.checkpoint() | rest, self.config.output / LAST)

    def save_best(self) -> None:
        """Write `best.pt`."""
        write_whole(self.checkpoint(), self.config.output / BEST)


def read_start(config: FinetuneConfig) -> Checkpoint:
    """The encoder that a run starts from.

    Raises:
        ConfigError: none is named.
        CheckpointError: it can't be read.
    """
    if not config.start_from:
        raise ConfigError(
            "start_from is empty; name a checkpoint of an encoder, or untrained:PRESET for random weights"
        )
    return read_source(config.start_from, config.seed)


def start_run(config: FinetuneConfig, start: Checkpoint, labels: tuple[str, ...], device: torch.device) -> Run:
    """A new run; its class distribution is still to be found.

    Args:
        config: with its steps counted.
        start: the encoder.
        labels: the classes.
        device: where it trains.

    Raises:
        ResumeError: its output folder holds a run already.
        CheckpointError: the encoder is of a geometry that can't see so many frames, or its weights do not fit.
    """
    if (config.output / LAST).exists():
        raise ResumeError(
            f"{config.output / LAST} holds a run already; go on with it (--resume), or set another output=DIR"
        )
    run = _make_run(config, start, labels, device)
    state = without(start.state, PRETRAINING_ONLY)
    inflated = run.network.encoder.config != start.config
    load_strictly(run.network.encoder, inflated_state(state) if inflated else state)
    return run


def resume_run(config: FinetuneConfig, start: Checkpoint, labels: tuple[str, ...], device: torch.device) -> Run:
    """A run as `last.pt` in its output folder left it; the arguments are those of `start_run`.

    Raises:
        ResumeError: that file is of a run with other settings or labels, or not of a run at all.
        CheckpointError: it is damaged, or does not fit.
    """
    path = config.output / LAST
    content = load_tensors(path)
    if missing := [part for part in (*PARTS, "optimiser", "phi") if part not in content]:
        raise ResumeError(
            f"{path} is no run of fine-tuning to go on with: {', '.join(missing)} missing; set another output"
        )
    if changed := differences(content["config"], as_plain_data(config), NOT_OF_THE_RESULT):
        raise ResumeError(f"{path} is of another run: {'; '.join(changed)}. Use its settings, or another output")
    if tuple(content["labels"]) != labels:
        other = sorted(set(content["labels"]) ^ set(labels))[:5]
        raise ResumeError(
            f"{path} knows {len(content['labels'])} labels, the data now has {len(labels)}; they differ in"
            f" {', '.join(other) or 'their order'}. Bring the clips back, or set another output"
        )
    run = _make_run(config, start, labels, device)
    load_strictly(run.network, content["recogniser"])
    run.optimiser.load_state_dict(content["optimiser"])
    run.phi = content["phi"].to(device)
    run.step, run.elapsed_s = content["step"], content["elapsed_s"]
    run.best_score, run.licence = content["score"], content["licence"]
    return run


def _make_run(config: FinetuneConfig, start: Checkpoint, labels: tuple[str, ...], device: torch.device) -> Run:
    encoder, num_windows = geometry(start.config, config.num_frames)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Recogniser(encoder, len(labels), config.num_moments)
    network.to(device)
    optimiser = make_optimiser(network, len(network.encoder.backbone.blocks), config.optimiser, depth)
    return Run(config, network, labels, torch.empty(0, device=device), optimiser, num_windows, start.fps, start.licence)


def geometry(config: EncoderConfig, num_frames: int) -> tuple[EncoderConfig, int]:
    """How an encoder sees so many frames of a clip: its geometry, inflated where it can be, and how many windows.

    Raises:
        CheckpointError: the frames make no windows.
    """
    if can_be_inflated(config) and num_frames > config.num_frames:
        return inflated_config(config, num_frames), 1
    if num_frames % config.num_frames:
        raise CheckpointError(
            f"num_frames is {num_frames}; the encoder sees windows of {config.num_frames} frames, so set a multiple"
        )
    return config, num_frames // config.num_frames


def read_trained(path: Path) -> Trained:
    """A recogniser from `best.pt` or `last.pt`, ready for inference.

    Raises:
        CheckpointError: the file is no checkpoint of a recogniser, or its weights do not fit.
    """
    content = load_tensors(path)
    if missing := [part for part in PARTS if part not in content]:
        kind = "an encoder's; fine-tune it first" if "model" in content else "none of a recogniser"
        raise CheckpointError(f"{path} has no {', '.join(missing)}; it is a checkpoint, but {kind}")
    labels = tuple(content["labels"])
    network = Recogniser(EncoderConfig.from_json(content["encoder"]), len(labels), content["num_moments"])
    load_strictly(network, content["recogniser"])
    return Trained(
        network.eval(),
        labels,
        content["num_windows"],
        content["fps"],
        content["provenance"],
        content["licence"],
        from_plain_data(FinetuneConfig, content["config"]),
    )
