"""Everything a fine-tuning run consists of, and its checkpoint; see `training.fit.files`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.config import EncoderConfig
from model.errors import CheckpointError
from model.network.checkpoint import PRETRAINING_ONLY, Checkpoint, drop_prefixes, load_strictly, load_tensors
from model.network.export import read_source
from training.errors import ConfigError, ResumeError
from training.finetune.config import FinetuneConfig
from training.finetune.data import ClipFormat
from training.finetune.inflate import can_be_inflated, inflated_config, inflated_state
from training.finetune.network import Recogniser, recogniser_layer_of
from training.fit.files import LAST, commit
from training.fit.optimiser import make_optimiser
from training.fit.overrides import as_plain_data, from_plain_data
from training.fit.resume import require_no_run, require_same_settings
from training.fit.state import RunState

PARTS = ("recogniser", "encoder", "labels", "num_windows", "num_moments", "fps", "provenance", "licence", "config")
"""What a checkpoint of a recogniser has at least."""


@dataclass(frozen=True)
class TrainedRecogniser:
    """A trained recogniser and what is known of it, as in a checkpoint."""

    network: Recogniser
    labels: tuple[str, ...]
    num_windows: int
    fps: float
    provenance: str
    licence: str
    config: FinetuneConfig

    @property
    def clip_format(self) -> ClipFormat:
        """The windows that it takes of a clip."""
        encoder = self.network.encoder.config
        return ClipFormat(self.fps, encoder.image_size, self.num_windows, encoder.num_frames)


@dataclass
class FinetuneState(RunState[FinetuneConfig]):
    """A run between two steps."""

    network: Recogniser
    labels: tuple[str, ...]
    phi: Tensor
    """[C, C] the class distribution; empty until it is known, or where it does not count."""
    num_windows: int
    fps: float
    licence: str

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
    def trained(self) -> TrainedRecogniser:
        """The network as it is now."""
        return TrainedRecogniser(
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

    def only_to_resume(self) -> dict[str, Any]:
        """See `RunState`."""
        return {"phi": self.phi}


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


def start_run(
    config: FinetuneConfig, start: Checkpoint, labels: tuple[str, ...], device: torch.device
) -> FinetuneState:
    """A new run; its class distribution is still to be computed.

    Args:
        config: with its steps counted.
        start: the encoder.
        labels: the classes.
        device: of the training.

    Raises:
        ResumeError: its output folder holds a run already.
        CheckpointError: the encoder is of a geometry that can't see so many frames, or its weights do not fit.
    """
    require_no_run(config.output)
    state = _make_state(config, start, labels, device)
    weights = drop_prefixes(start.state, PRETRAINING_ONLY)
    inflated = state.network.encoder.config != start.config
    load_strictly(state.network.encoder, inflated_state(weights) if inflated else weights)
    return state


def resume_run(
    config: FinetuneConfig, start: Checkpoint, labels: tuple[str, ...], device: torch.device
) -> FinetuneState:
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
    require_same_settings(path, content["config"], config)
    if tuple(content["labels"]) != labels:
        other = sorted(set(content["labels"]) ^ set(labels))[:5]
        raise ResumeError(
            f"{path} knows {len(content['labels'])} labels, the data now has {len(labels)}; they differ in"
            f" {', '.join(other) or 'their order'}. Bring the clips back, or set another output"
        )
    state = _make_state(config, start, labels, device)
    load_strictly(state.network, content["recogniser"])
    state.resume_from(content, path)
    state.phi, state.licence = content["phi"].to(device), content["licence"]
    return state


def _make_state(
    config: FinetuneConfig, start: Checkpoint, labels: tuple[str, ...], device: torch.device
) -> FinetuneState:
    encoder, num_windows = geometry(start.config, config.num_frames)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Recogniser(encoder, len(labels), config.num_moments)
    network.to(device)
    optimiser = make_optimiser(network, len(network.encoder.backbone.blocks), config.optimiser, recogniser_layer_of)
    return FinetuneState(
        config, optimiser, network, labels, torch.empty(0, device=device), num_windows, start.fps, start.licence
    )


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


def read_trained(path: Path) -> TrainedRecogniser:
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
    return TrainedRecogniser(
        network.eval(),
        labels,
        content["num_windows"],
        content["fps"],
        content["provenance"],
        content["licence"],
        from_plain_data(FinetuneConfig, content["config"]),
    )
