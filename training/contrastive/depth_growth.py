"""A deeper network from a trained one, which at first computes the same.

The new blocks of a stage come last in it; the last layer of both of their branches is zero, so that they are the
identity until they are trained. After Chen et al., "Net2Net", ICLR 2016.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from model.config import EncoderConfig

DEPTHS = {"backbone.blocks.": "stages", "hands.backbone.blocks.": "hand_stages"}
"""The fields of the geometry that may differ, by the names of their weights."""
ZEROED = ("attn.proj.", "mlp.fc2.")
"""Last layers of a block's branches."""


def is_deeper(after: EncoderConfig, before: EncoderConfig) -> bool:
    """Whether two geometries differ in nothing but blocks, and the second has no more of them in any stage."""
    pairs = [(getattr(before, name), getattr(after, name)) for name in DEPTHS.values()]
    if any(len(few) != len(many) or any(a > b for a, b in zip(few, many, strict=True)) for few, many in pairs):
        return False
    return dataclasses.replace(before, stages=after.stages, hand_stages=after.hand_stages) == after


def deepened(
    state: Mapping[str, Tensor], before: EncoderConfig, after: EncoderConfig, fresh: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The weights of a trained network as those of a deeper one.

    Args:
        state: the trained network's, under the published names.
        before: its geometry.
        after: the deeper one's, which `is_deeper`.
        fresh: random weights of the deeper one.
    """
    found = {key: value for key, value in state.items() if not key.startswith(tuple(DEPTHS))}
    for blocks, name in DEPTHS.items():
        for old, new in block_numbers(getattr(before, name), getattr(after, name)):
            ours = f"{blocks}{new}."
            for part in [key.removeprefix(ours) for key in fresh if key.startswith(ours)]:
                found[ours + part] = (
                    initial_weight(part, fresh[ours + part]) if old is None else state[f"{blocks}{old}.{part}"]
                )
    return found


def block_numbers(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[tuple[int | None, int]]:
    """For every block of the deeper network its number in the other one, None where it is new, and its own."""
    old = new = 0
    for few, many in zip(before, after, strict=True):
        for offset in range(many):
            yield (old + offset if offset < few else None), new + offset
        old, new = old + few, new + many


def initial_weight(part: str, fresh: Tensor) -> Tensor:
    """A weight of a new block, which at first is the identity."""
    return torch.zeros_like(fresh) if part.startswith(ZEROED) else fresh.clone()
