"""One process or several: who takes part, and how their results are combined.

The losses take the batches of all processes as one. Every process gathers all predictions and computes the same
total, in which only its own part carries a gradient. Summed over processes these gradients are those of the total;
torch's DDP averages instead, so a process descends `world.size` times the total.

Torch's DDP imports `torch.distributed.nn.functional` when it is made. Imported with a group, that module keeps it for
good, as the default of its functions' arguments; then gloo's threads outlive the group and abort the process when one
of them wants the interpreter while it is being closed. So it is imported here, before there is a group.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.distributed.nn.functional
from torch import Tensor, nn

from training.errors import ConfigError


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files and messages."""
        return self.rank == 0

    def gather(self, tensor: Tensor) -> Tensor:
        """[B, ..] of each -> [size * B, ..] in order of rank; gradients flow into the own rows."""
        if self.size == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor.detach().contiguous())
        parts[self.rank] = tensor
        return torch.cat(parts)

    def gather_all(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """`gather` for each."""
        return {name: self.gather(tensor) for name, tensor in tensors.items()}

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, for all; without gradient."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def own_rows(self, tensor: Tensor) -> Tensor:
        """[size * B, ..] -> [B, ..]: this process's part of what was sampled for all."""
        return tensor.chunk(self.size)[self.rank]

    def agree(self, values: list[float]) -> list[float]:
        """The leading process's numbers, for all: clocks differ."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return shared.tolist()

    def least(self, values: list[int]) -> list[int]:
        """The minimum of every number over all processes, for all."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MIN)
        return shared.tolist()

    def average_gradients(self, module: nn.Module) -> None:
        """Average the gradients of a module of which every process has a copy."""
        if self.size == 1:
            return
        for parameter in module.parameters():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= self.size


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Join the processes that torchrun started, or be the only one.

    Args:
        device: cpu, cuda, or auto for a GPU when there is one.

    Raises:
        ConfigError: device is cuda and there is no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch finds no GPU; set device=cpu or install a CUDA build of torch")
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if not dist.is_torchelastic_launched():
        yield World(torch.device(kind))
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        place = torch.device(kind, dist.get_node_local_rank()) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            torch.cuda.set_device(place)
        yield World(place, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
