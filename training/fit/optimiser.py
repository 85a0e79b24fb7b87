"""AdamW with weight decay on matrices only and, where wanted, a learning rate for every layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from training.fit.schedule import Progress, Schedule

Betas = tuple[float, float]


@dataclass(frozen=True)
class OptimiserConfig:
    """How an encoder and the heads on it are optimised."""

    learning_rate: float = 1e-4
    """Of the last layers, at the end of the warm-up."""
    layer_decay: float = 0.85
    """Every block's learning rate is this times that of the block after it."""
    betas: Betas = (0.9, 0.95)
    """Of AdamW."""
    weight_decay: float = 0.5
    """Of AdamW, on matrices. Decision: not on biases, normalisation and position embeddings, as usual."""
    warmup_steps: int = 50_000
    """Steps until the full learning rate; a cosine to zero follows."""
    clip_norm: float = 1.0
    """Longest gradient."""


@dataclass(frozen=True)
class ScheduledOptimiser:
    """An optimiser with the learning rate of every step."""

    optimiser: torch.optim.Optimizer
    """Its groups carry `rate_scale`, their share of the learning rate."""
    schedule: Schedule
    """Gives the learning rate."""

    def set_learning_rate(self, progress: Progress) -> float:
        """Set and return the learning rate of the step to come."""
        learning_rate = self.schedule(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate * group["rate_scale"]
        return learning_rate


def make_optimiser(
    network: nn.Module,
    num_blocks: int,
    config: OptimiserConfig,
    layer_of_name: Callable[[str, int], int] | None = None,
    *,
    not_decayed: Sequence[str] = ("pos_embed",),
) -> torch.optim.AdamW:
    """AdamW whose groups carry `rate_scale`, their share of the learning rate: layer_decay^(blocks above).

    Args:
        network: an encoder, under the name `encoder`, with heads; parameters without gradient are left out.
        num_blocks: of the encoder's backbone.
        config: learning rate and decays.
        layer_of_name: the layer of a parameter, by its name and the number of blocks; None for `layer_of`.
        not_decayed: parts of names of matrices whose weights do not decay either.
    """
    layer_of_name = layer_of_name or layer_of
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        decayed = parameter.ndim > 1 and not any(part in name for part in not_decayed)
        if parameter.requires_grad:
            groups.setdefault((layer_of_name(name, num_blocks), decayed), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "rate_scale": config.layer_decay ** (num_blocks + 1 - layer),
                "weight_decay": config.weight_decay if decayed else 0.0,
            }
            for (layer, decayed), parameters in sorted(groups.items(), key=lambda group: group[0])
        ],
        lr=config.learning_rate,
        betas=config.betas,
    )


def layer_of(name: str, num_blocks: int) -> int:
    """The layer of a parameter: 0 patches and positions, then the blocks, then the heads at num_blocks + 1."""
    path = name.removeprefix("encoder.")
    if path.startswith("backbone.blocks."):
        return int(path.split(".")[2]) + 1
    return 0 if path.startswith("backbone.") else num_blocks + 1
