"""The loop with the smallest method there is: one weight that goes to 3."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.pretrain.runs import ALONE, Recorder
from training.errors import DivergedError
from training.fit.loop import Clock, Method, fit
from training.fit.optimiser import ScheduledOptimiser
from training.fit.schedule import Progress


@dataclass(frozen=True)
class Config:
    output: Path = Path("runs/none")
    seed: int = 0
    steps: int = 6
    minutes: float = math.inf
    log_every: int = 1
    save_every: int = 100


class State:
    def __init__(self, **changes: Any) -> None:
        self.config = Config(**changes)
        self.network = nn.Linear(1, 1, bias=False)
        sgd = torch.optim.SGD([{"params": list(self.network.parameters()), "rate_scale": 1.0}], lr=1.0)
        self.optimisers = (ScheduledOptimiser(sgd, lambda _: 0.1),)
        self.step, self.elapsed_s, self.best_score, self.clip_norm = 0, 0.0, None, 100.0
        self.saved: list[str] = []

    def save_last(self) -> None:
        self.saved.append(f"last {self.step}")

    def save_best(self) -> None:
        self.saved.append(f"best {self.step}")


def towards(state: State, poison_at: int = 1000) -> Callable[[int, Progress], dict[str, Tensor]]:
    def add_gradients(part: int, progress: Progress) -> dict[str, Tensor]:
        loss = (state.network.weight - 3.0).square().sum() * (math.nan if progress.step == poison_at else 1.0)
        loss.backward()
        return {"total": loss.detach(), "part": torch.tensor(float(part))}

    return add_gradients


def run(state: State, method: Method, **how: Any) -> Recorder:
    callbacks = Recorder()
    fit(state, method, Clock(state.elapsed_s), ALONE, callbacks=callbacks, **how)
    return callbacks


def test_it_trains_for_so_many_steps_reports_the_mean_of_all_parts_and_saves() -> None:
    state = State(save_every=4)
    callbacks = run(state, Method(towards(state), num_parts=2))
    assert [report.step for report in callbacks.reports] == [1, 2, 3, 4, 5, 6]
    assert all(report.terms["part"] == 0.5 for report in callbacks.reports)
    assert callbacks.reports[-1].terms["total"] < 0.1 * callbacks.reports[0].terms["total"]
    assert callbacks.reports[-1].done == 1.0
    assert state.saved == ["last 4", "last 6"]


def test_every_step_is_guarded_whether_it_is_reported_or_not() -> None:
    state = State(log_every=100)
    with pytest.raises(DivergedError, match=r"step 3 diverged: total is nan.*nothing was saved yet"):
        run(state, Method(towards(state, poison_at=2)))
    assert state.step == 2
    assert state.network.weight.isfinite().all()
    assert not state.saved


def test_after_a_step_averages_see_its_weights_and_the_number_of_steps_before() -> None:
    state, seen = State(steps=3), []
    run(
        state,
        Method(towards(state), after_step=lambda: seen.append((state.step, float(state.network.weight.detach())))),
    )
    assert [step for step, _ in seen] == [0, 1, 2]
    assert seen[-1][1] == float(state.network.weight.detach())


def test_it_stops_after_the_step_in_which_it_is_asked_to_and_saves() -> None:
    state = State()
    asked = iter([False, True])
    run(state, Method(towards(state)), stop=lambda: next(asked))
    assert state.saved == ["last 2"]


def test_a_run_whose_time_is_over_takes_no_step() -> None:
    state = State(minutes=1.0)
    state.elapsed_s = 60.5
    callbacks = run(state, Method(towards(state)))
    assert state.step == 0
    assert not callbacks.reports
    assert state.saved == ["last 0"]


@dataclass
class Scores:
    values: list[float] = field(default_factory=lambda: [0.2, 0.1, 0.7])

    def __call__(self) -> dict[str, float]:
        return {"score": self.values.pop(0), "other": 1.0}


def test_the_best_of_all_validations_is_kept() -> None:
    state = State()
    callbacks = run(state, Method(towards(state), validate=Scores(), validate_every=2))
    assert callbacks.scores == [(2, 0.2, True), (4, 0.1, False), (6, 0.7, True)]
    assert state.saved == ["best 2", "best 6", "last 6"]
    assert state.best_score == 0.7
    assert state.network.training
