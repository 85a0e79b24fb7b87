"""Reading checkpoints: the published SignRep, our own, and the Kinetics Hiera that pretraining starts from."""

import logging
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.config import EncoderConfig, base
from model.errors import CheckpointError
from model.network.hiera import Hiera
from model.network.signrep import SignRep

log = logging.getLogger(__name__)

PRETRAINING_ONLY = ("cls_head.",)
"""Parts of the published checkpoint that only pretraining needs: the sign decoder and its prior heads."""

MAE_ONLY = ("decoder_", "mask_token", "encoder_norm.", "multi_scale_fusion_heads.", "norm.", "head.")
"""Parts of a Hiera (MAE) checkpoint that are not the backbone."""

SIGNREP_PROVENANCE = "SignRep (ICCV 2025), published checkpoint, release v0.0.1 of ryanwongsa/SignRep"
SIGNREP_LICENCE = "CC BY-NC-SA 4.0"


@dataclass(frozen=True)
class Checkpoint:
    """Weights of an encoder and what is known of them.

    In the file: `model` holds the state dict; our own also have `encoder` (the fields of `EncoderConfig`), `fps`,
    `stride_frames`, `kept_share`, `num_parts`, `provenance`, `licence` and `trained`. A file without `encoder` is the
    published SignRep.
    """

    state: Mapping[str, Tensor]
    config: EncoderConfig
    fps: float = 25.0
    stride_frames: int = 2
    provenance: str = SIGNREP_PROVENANCE
    licence: str = SIGNREP_LICENCE
    trained: bool = True
    kept_share: float = 1.0
    num_parts: int = 1

    def network(self) -> SignRep:
        """The encoder with these weights, ready for inference.

        Raises:
            CheckpointError: tensors are missing, extra or of another shape; all are named.
        """
        network = SignRep(self.config)
        load_strictly(network, drop_prefixes(self.state, PRETRAINING_ONLY))
        return network.eval()


def untrained(config: EncoderConfig, preset: str, seed: int = 0) -> Checkpoint:
    """Random weights, for trying the way of the data before there is a trained encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = SignRep(config).state_dict()
    return Checkpoint(
        state,
        config,
        provenance=f"untrained: random weights, preset {preset}, seed {seed}",
        licence="Apache-2.0",
        trained=False,
    )


def read_checkpoint(path: Path) -> Checkpoint:
    """Read an encoder's checkpoint, never running code from it.

    Raises:
        CheckpointError: no such file, not a checkpoint, in need of code to load, or of fields that make no encoder.
    """
    content = load_tensors(path)
    state = content.get("model")
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} holds {sorted(map(str, content))}; a checkpoint has its weights under 'model'")
    if "encoder" not in content:
        return Checkpoint(state, base())
    known = {key: content[key] for key in ("fps", "stride_frames", "provenance", "licence", "trained")}
    known |= {"kept_share": content.get("kept_share", 1.0), "num_parts": content.get("num_parts", 1)}
    try:
        return Checkpoint(state, EncoderConfig.from_json(content["encoder"]), **known)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: the fields under 'encoder' make no encoder: {error}") from error


def load_kinetics(backbone: Hiera, path: Path) -> None:
    """Start a backbone from the Kinetics-400 Hiera-MAE video checkpoint (weights under `model_state`).

    Raises:
        CheckpointError: the file is not such a checkpoint, or of another geometry.
    """
    state = load_tensors(path).get("model_state")
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} has no weights under 'model_state'; is it a Hiera checkpoint?")
    load_strictly(backbone, drop_prefixes(state, MAE_ONLY))


def load_tensors(path: Path) -> dict[str, Any]:
    """A checkpoint file as a dictionary of tensors and plain data, refusing whatever else a pickle may hold.

    Raises:
        CheckpointError: see `read_checkpoint`.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is no checkpoint file: not the archive that torch.save writes (since torch 1.6)")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no plain checkpoint: loading it would run code that came with it, or it is damaged. Allowed are"
            " tensors and plain data; save its state dict alone with the code it came from"
        ) from error
    except RuntimeError as error:
        raise CheckpointError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; a checkpoint is a dictionary")
    return content


def drop_prefixes(state: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors whose names start with none of the prefixes; what is left out is logged."""
    dropped = [name for name in state if name.startswith(prefixes)]
    if dropped:
        log.info("left out %d tensors that the encoder does not have: %s", len(dropped), ", ".join(dropped))
    return {name: tensor for name, tensor in state.items() if name not in set(dropped)}


def load_strictly(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load every tensor or none.

    Raises:
        CheckpointError: names every tensor that is missing, extra or of another shape.
    """
    wanted = network.state_dict()
    problems = [f"missing {name} {list(wanted[name].shape)}" for name in wanted if name not in state]
    problems += [f"extra {name} {list(state[name].shape)}" for name in state if name not in wanted]
    problems += [
        f"{name} is {list(state[name].shape)}, expected {list(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    if problems:
        raise CheckpointError(f"the checkpoint does not fit the network: {'; '.join(problems)}")
    network.load_state_dict(state, strict=True)
