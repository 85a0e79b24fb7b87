import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model.network.checkpoint import load_tensors
from tests.model.network.test_hands import looking_closer
from tests.training.contrastive.made_up import ALONE, CPU, made_up_pool, run_config
from tests.training.pretrain.runs import Recorder
from training.contrastive.clips.windows import COLUMNS
from training.contrastive.config import ContrastiveConfig
from training.contrastive.loop import centre_heads, train_contrastive
from training.contrastive.state import ContrastiveState, is_finished, make_state, resume_run, start_run
from training.errors import DivergedError, ResumeError
from training.fit.files import LAST


def train(config: ContrastiveConfig, **how: Any) -> tuple[ContrastiveState, Recorder]:
    callbacks = Recorder()
    return train_contrastive(start_run(config, CPU), made_up_pool(), ALONE, callbacks=callbacks, **how), callbacks


def after(steps: int) -> Callable[[], bool]:
    """Asks to stop after so many steps."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= steps


def weights(state: ContrastiveState) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.network.network.state_dict().items()}


def test_training_brings_the_same_movement_together(tmp_path: Path) -> None:
    state, callbacks = train(run_config(tmp_path, steps=12, learning_rate=3e-3))
    assert state.step == len(callbacks.reports) == 12
    assert state.num_windows == 12 * 5 * 2 * 2
    assert callbacks.reports[-1].terms["total"] < callbacks.reports[0].terms["total"]


def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(tmp_path: Path) -> None:
    encoder = replace(looking_closer(), drop_path=0.3)
    whole, reported = train(run_config(tmp_path / "whole", encoder=encoder, hands_first=0.4, hands_windows=6))
    config = run_config(tmp_path / "parts", encoder=encoder, hands_first=0.4, hands_windows=6)
    train(config, stop=after(2))
    resumed, callbacks = resume_run(config, CPU), Recorder()
    assert resumed.step == 2
    train_contrastive(resumed, made_up_pool(), ALONE, callbacks=callbacks)
    assert [one.terms for one in callbacks.reports] == [one.terms for one in reported.reports[2:]]
    ours, theirs = (load_tensors(state.config.output / LAST) for state in (resumed, whole))
    for part in ("model", "network", "reader"):
        assert all(torch.equal(ours[part][name], theirs[part][name]) for name in theirs[part]), part
    assert ours["num_windows"] == theirs["num_windows"]


def test_a_run_whose_time_is_over_takes_no_step_when_it_is_resumed(tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=10_000, minutes=1.0)
    state = start_run(config, CPU)
    state.step, state.elapsed_s = 3, 61.0
    state.save_last()
    assert is_finished(config)
    before = weights(state)
    again = train_contrastive(resume_run(config, CPU), made_up_pool(), ALONE, callbacks=Recorder())
    assert again.step == 3
    assert all(torch.equal(value, before[name]) for name, value in weights(again).items())


def test_a_loss_that_is_not_finite_stops_the_run_before_the_step(tmp_path: Path) -> None:
    config = run_config(tmp_path, log_every=1000)
    state = start_run(config, CPU)
    state.step = 1  # no step that is reported
    with torch.no_grad():
        state.network.network.encoder.fc[1].weight.fill_(math.nan)
    before = weights(state)
    with pytest.raises(DivergedError, match=r"step 2 diverged: .*total is nan.* lower the learning rate"):
        train_contrastive(state, made_up_pool(), ALONE, callbacks=Recorder())
    assert state.step == 1
    now = weights(state)
    assert all(torch.equal(now[name].nan_to_num(), before[name].nan_to_num()) for name in before)
    assert not (tmp_path / LAST).exists()


def test_single_hands_may_be_trained_first_and_nothing_else_meanwhile(tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=8, hands_first=0.5, hands_windows=6)
    state = start_run(config, CPU)
    before = weights(make_state(config, CPU))
    changed: list[set[str]] = []

    class Watching(Recorder):
        def on_step(self, report: Any) -> None:
            super().on_step(report)
            now = weights(state)
            changed.append({name for name in before if not torch.equal(now[name], before[name])})

    callbacks = Watching()
    centred = "cls_head.dict_component_projections"
    train_contrastive(state, made_up_pool(), ALONE, callbacks=callbacks)
    terms = [report.terms for report in callbacks.reports]
    assert ["contrast" in one for one in terms] == 4 * [False] + 4 * [True]
    assert terms[3]["single_hands"] < terms[1]["single_hands"]
    single = {name for name in changed[3] if not name.startswith(centred)}
    assert single
    assert all("hands.backbone" in name for name in single), "after four steps of single hands"
    assert any("cls_head.latent" in name for name in changed[7])


def test_the_backbone_may_stay_as_it_is(tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=3, freeze_backbone=True)
    state = start_run(config, CPU)
    before = weights(state)
    train_contrastive(state, made_up_pool(), ALONE, callbacks=Recorder())
    same = {name for name, value in weights(state).items() if torch.equal(before[name], value)}
    assert {name for name in before if name.startswith("encoder.backbone.")} <= same
    assert "encoder.fc.1.weight" not in same
    assert any("hands.backbone" in name for name in before.keys() - same)
    assert not state.network.network.encoder.backbone.training


def test_heads_start_with_the_mean_pose() -> None:
    state, pool = make_state(run_config(), CPU), made_up_pool()
    centre_heads(state, pool.rows, ALONE)
    head = state.network.network.cls_head.head("left_pose").bias
    values, known = (part[..., COLUMNS["left_pose"]].flatten(0, 1) for part in (pool.rows.targets, pool.rows.known))
    assert torch.allclose(head, 2 * (values.float() * known).sum(0) / known.sum(0), atol=1e-3)


def test_a_run_does_not_overwrite_another_nor_resume_one_of_other_settings(tmp_path: Path) -> None:
    train(run_config(tmp_path, steps=1))
    with pytest.raises(ResumeError, match="holds a run already"):
        start_run(run_config(tmp_path), CPU)
    with pytest.raises(ResumeError, match=r"learning_rate was 0\.0012 and is 1\.0"):
        resume_run(run_config(tmp_path, steps=1, learning_rate=1.0), CPU)
    moved = run_config(tmp_path, steps=1, minutes=3.0)
    moved = replace(moved, render=replace(moved.render, first_cast=9, max_pairs=7))
    assert resume_run(moved, CPU).step == 1
