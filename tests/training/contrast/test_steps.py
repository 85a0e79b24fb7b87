"""Two processes learn as one with both batches would, from what they compare with each other's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.model.test_hands import looking_closer
from tests.training.contrast.stage import SIZE_PX, duet
from training.contrast.course import begin
from training.contrast.lesson import Lesson
from training.contrast.looks import shaded
from training.contrast.pool import Pool, make_rows
from training.contrast.steps import step_losses
from training.fit.distributed import World
from training.pretrain.config import Losses

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Beside(World):
    """One of two processes, which knows what the other one hands it."""

    other: tuple[Tensor, ...] = ()

    def gather(self, tensor: Tensor) -> Tensor:
        theirs = next(one for one in self.other if one.shape == tensor.shape and one.dtype == tensor.dtype)
        return torch.cat([tensor, theirs] if self.rank == 0 else [theirs, tensor])


@contextmanager
def handed(world: World) -> Iterator[list[Tensor]]:
    """What a process hands to others."""
    kept: list[Tensor] = []

    def gather(self: World, tensor: Tensor) -> Tensor:
        kept.append(tensor.detach())
        return tensor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "gather", gather)
        yield kept


def test_a_step_is_compiled_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    lesson = Lesson(1.0, encoder=looking_closer())
    begin(lesson, World(CPU))
    assert compiled == []
    learner = begin(replace(lesson, compile=True), World(CPU)).learner
    assert compiled == [learner.network.forward, learner.reader.forward, shaded]


def test_gradients_averaged_over_two_processes_are_those_of_one_with_both_batches() -> None:
    losses = Losses(weights=(0.0,) * 9, adversarial=0.0, activity=0.0, hands=0.0)
    lesson = Lesson(1.0, encoder=replace(looking_closer(), drop_path=0.0), losses=losses, closeup=0.0, told=0.0)
    lesson = replace(lesson, looks=replace(lesson.looks, repeated=0.0))
    pool = Pool(make_rows(4 * 6, SIZE_PX, CPU), num_moments=3, num_pairs=4)
    for number in range(4):
        pool.add(duet(number, f"drawn {number}", 60 + 30 * number))
    draw = pool.draw(0, 4, 2, np.random.default_rng(0))
    halves = [replace(draw, rows=draw.rows[part], movements=draw.movements[part]) for part in (slice(2), slice(2, 4))]

    def gradients(world: World, part) -> Tensor:
        course = begin(lesson, world)
        with pytest.MonkeyPatch.context() as patch:
            # Looks are drawn for a whole batch: left out, so that halves see what the whole sees.
            patch.setattr("training.contrast.steps.changed", lambda frames, *_: frames.movedim(-1, 1))
            step_losses(course.learner, lesson, pool.rows, part, torch.Generator().manual_seed(0))[0].backward()
        weights = course.learner.network.encoder.parameters()
        return torch.cat([(torch.zeros_like(one) if one.grad is None else one.grad).flatten() for one in weights])

    whole = gradients(World(CPU), draw)
    given = []
    for half in halves:
        with handed(World(CPU)) as kept:
            gradients(World(CPU), half)
        given.append(tuple(kept))
    ours = [gradients(Beside(CPU, rank, 2, given[1 - rank]), half) for rank, half in enumerate(halves)]
    mean = (ours[0] + ours[1]) / 2
    assert whole.abs().max() > 1e-3
    assert torch.allclose(mean, whole, atol=1e-4 * float(whole.abs().max()))
    assert not torch.allclose(ours[0], whole, atol=1e-2 * float(whole.abs().max()))
