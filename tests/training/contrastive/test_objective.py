"""What a step computes, in one process and in several."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.contrastive.made_up import ALONE, CPU, SIZE_PX, made_up_pool, positive_pair, run_config
from training.contrastive.augment import AugmentConfig, change_light
from training.contrastive.clips.clip_pool import ClipPool, make_table
from training.contrastive.objective import pose_terms, single_hand_loss, step_losses
from training.contrastive.state import ContrastiveState, make_state
from training.data.priors.table import PRIORS
from training.fit.distributed import World
from training.pretrain.config import Losses


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
    make_state(run_config(), CPU)
    assert compiled == []
    model = make_state(run_config(compile=True), CPU).network
    assert compiled == [model.network.forward, model.reader.forward, change_light]


def test_gradients_averaged_over_two_processes_are_those_of_one_with_both_batches() -> None:
    losses = Losses(weights=(0.0,) * 9, adversarial=0.0, activity=0.0, hands=0.0)
    config = run_config(losses=losses, hand_weight=0.0, teacher_forcing=0.0, augment=AugmentConfig(repeated=0.0))
    pool = ClipPool(make_table(4 * 6, SIZE_PX, CPU), num_windows=3, max_pairs=4)
    for number in range(4):
        pool.add_pair(positive_pair(number, f"rendered {number}", 60 + 30 * number))
    draw = pool.sample(0, 4, 2, np.random.default_rng(0))
    halves = [replace(draw, rows=draw.rows[part], movements=draw.movements[part]) for part in (slice(2), slice(2, 4))]

    def gradients(world: World, part) -> Tensor:
        state = make_state(config, CPU)
        with pytest.MonkeyPatch.context() as patch:
            # Augmentation is sampled for a whole batch: left out, so that halves see what the whole sees.
            patch.setattr("training.contrastive.objective.augment", lambda frames, *_: frames.movedim(-1, 1))
            step_losses(state.network, config, pool.rows, part, torch.Generator().manual_seed(0), world)[0].backward()
        weights = state.network.network.encoder.parameters()
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


def losses_of(state: ContrastiveState, pool: ClipPool) -> tuple[Tensor, dict[str, Tensor]]:
    sample = pool.sample(2, 3, 2, np.random.default_rng(0))
    return step_losses(state.network, state.config, pool.rows, sample, torch.Generator().manual_seed(0), ALONE)


def test_the_total_is_the_weighted_sum_of_its_terms() -> None:
    state = make_state(run_config(), CPU)
    total, terms = losses_of(state, made_up_pool())
    priors = dict(zip((f"prior/{prior.name}" for prior in PRIORS), state.config.losses.weights, strict=True))
    others = {"activity": 0.2, "variance": 1.0, "covariance": 0.004, "hands": 1.0, "contrast": 1.0, "single_hands": 2.0}
    expected = sum(weight * float(terms[name]) for name, weight in (priors | others).items())
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)


def test_every_weight_of_the_network_learns() -> None:
    state = make_state(run_config(), CPU)
    losses_of(state, made_up_pool())[0].backward()
    idle = [name for name, one in state.network.network.named_parameters() if one.grad is None or not one.grad.any()]
    # What residual branches begin with is zero, and hides what comes before it.
    assert all(".refine." in name for name in idle), idle


def test_windows_without_hands_teach_none_of_them() -> None:
    state = make_state(run_config(), CPU)
    rows = made_up_pool().rows.at(torch.arange(4))
    rows.hands.fill_(torch.nan)
    loss, _ = single_hand_loss(state.network, state.config, rows, torch.Generator())
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert all(one.grad is not None and not one.grad.any() for one in state.network.reader.parameters())


def test_unknown_places_of_hands_cost_nothing() -> None:
    state = make_state(run_config(), CPU)
    rows = made_up_pool().rows.at(torch.arange(4))
    with torch.no_grad():
        prediction = state.network.network(torch.zeros(4, 3, 2, SIZE_PX, SIZE_PX))
    nowhere = torch.full((4, 2, 3), torch.nan)
    assert float(pose_terms(prediction, rows, nowhere, state.config.losses)["hands"]) == 0.0
    assert float(pose_terms(prediction, rows, rows.hands, state.config.losses)["hands"]) > 0.0
