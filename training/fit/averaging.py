"""Exponential moving averages of weights."""

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Average <- decay average + (1 - decay) network, for every parameter; buffers stay."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)


def decay_at(step: int, decay: float) -> float:
    """The decay of an average that follows faster while there are few steps: min(decay, (1 + step) / (10 + step))."""
    return min(decay, (1.0 + step) / (10.0 + step))
