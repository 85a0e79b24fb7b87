"""A deeper network out of a trained one, which begins by computing what that one computes.

The blocks that a stage has more than before come last in it, with nothing in the last layer of both of their branches:
what comes in goes on unchanged until they have learned something. After Chen et al., "Net2Net", ICLR 2016.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from model.config import EncoderConfig

DEPTHS = {"backbone.blocks.": "stages", "hands.backbone.blocks.": "hand_stages"}
"""What may grow, by the names of its weights."""
SILENT = ("attn.proj.", "mlp.fc2.")
"""Last layers of a block's branches."""


def is_deeper(after: EncoderConfig, before: EncoderConfig) -> bool:
    """Whether two geometries differ in nothing but blocks, of which the second has no more in any stage."""
    pairs = [(getattr(before, name), getattr(after, name)) for name in DEPTHS.values()]
    if any(len(few) != len(many) or any(a > b for a, b in zip(few, many, strict=True)) for few, many in pairs):
        return False
    return dataclasses.replace(before, stages=after.stages, hand_stages=after.hand_stages) == after


def grown(
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
        for old, new in numbers(getattr(before, name), getattr(after, name)):
            ours = f"{blocks}{new}."
            for part in [key.removeprefix(ours) for key in fresh if key.startswith(ours)]:
                found[ours + part] = begun(part, fresh[ours + part]) if old is None else state[f"{blocks}{old}.{part}"]
    return found


def numbers(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[tuple[int | None, int]]:
    """Of every block of the deeper network: its number in the other one, None where it is new, and its own."""
    old = new = 0
    for few, many in zip(before, after, strict=True):
        for place in range(many):
            yield (old + place if place < few else None), new + place
        old, new = old + few, new + many


def begun(part: str, fresh: Tensor) -> Tensor:
    """A weight of a new block, which at first adds nothing to what comes in."""
    return torch.zeros_like(fresh) if part.startswith(SILENT) else fresh.clone()
