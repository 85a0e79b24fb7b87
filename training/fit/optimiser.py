"""Who learns how fast: layer-wise rates, warm-up and cosine."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

Betas = tuple[float, float]


@dataclass(frozen=True)
class Optimiser:
    """How an encoder and the heads on it learn."""

    learning_rate: float = 1e-4
    """Of the last layers, at the end of the warm-up."""
    layer_decay: float = 0.85
    """Every block learns by this factor slower than the one after it."""
    betas: Betas = (0.9, 0.95)
    """Of AdamW."""
    weight_decay: float = 0.5
    """Of AdamW, on matrices. Decision: not on biases, normalisation and position embeddings, as usual."""
    warmup_steps: int = 50_000
    """Steps until the full learning rate; a cosine to zero follows."""
    clip_norm: float = 1.0
    """Longest gradient."""


def make_optimiser(
    network: nn.Module, num_blocks: int, config: Optimiser, depth: Callable[[str, int], int] | None = None
) -> torch.optim.AdamW:
    """AdamW whose groups carry `rate_scale`, their share of the learning rate: layer_decay^(blocks above).

    Args:
        network: an encoder, under the name `encoder`, with heads.
        num_blocks: of the encoder's backbone.
        config: rates and decays.
        depth: how deep a parameter sits, by its name and the number of blocks; None for `layer_of`.
    """
    depth = depth or layer_of
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        decayed = parameter.ndim > 1 and "pos_embed" not in name
        groups.setdefault((depth(name, num_blocks), decayed), []).append(parameter)
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
    """How deep a parameter sits: 0 patches and positions, then the blocks, then the heads at num_blocks + 1."""
    place = name.removeprefix("encoder.")
    if place.startswith("backbone.blocks."):
        return int(place.split(".")[2]) + 1
    return 0 if place.startswith("backbone.") else num_blocks + 1


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["rate_scale"]


def scheduled_rate(peak: float, step: int, warmup_steps: int, total_steps: int, share_of_time: float = 0.0) -> float:
    """The learning rate of a step: a line up to the peak, then half a cosine down to zero.

    Args:
        peak: learning rate at the end of the warm-up.
        step: from 0.
        warmup_steps: length of the line.
        total_steps: where the cosine ends.
        share_of_time: of the time budget, spent; the cosine follows it where it is ahead of the steps.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    share_of_steps = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(share_of_steps, share_of_time))))
