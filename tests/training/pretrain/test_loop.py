from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.config import compact
from model.network.checkpoint import load_tensors, read_checkpoint
from tests.model.micro import micro
from tests.training.pretrain.runs import ALONE, Poisoned, Recorder, clips, run_config
from training.data.priors.table import PRIORS
from training.data.windows.loading import load_batches
from training.data.windows.samples import Sample
from training.errors import DivergedError, ResumeError, SampleError
from training.fit.files import BEST, LAST
from training.fit.loop import step_seed
from training.pretrain.config import OptimiserConfig, PretrainConfig
from training.pretrain.loop import hand_places, pretrain
from training.pretrain.masking import choose_visible
from training.pretrain.network import PretrainNetwork
from training.pretrain.state import PretrainState, resume_run, start_run
from training.pretrain.validation import held_out


def train(config: PretrainConfig, **how: Any) -> tuple[PretrainState, Recorder]:
    callbacks = Recorder()
    run = pretrain(start_run(config, ALONE.device), clips(), ALONE, callbacks=callbacks, **how)
    return run, callbacks


def after(steps: int) -> Callable[[], bool]:
    """Asks to stop after so many steps."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= steps


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_interrupted_run_ends_bit_for_bit_like_an_uninterrupted_one(tmp_path: Path, accumulate: int) -> None:
    encoder = replace(micro(), drop_path=0.5)
    whole, told = train(run_config(tmp_path / "whole", encoder=encoder, accumulate=accumulate))
    config = run_config(tmp_path / "parts", encoder=encoder, accumulate=accumulate)
    train(config, stop=after(2))
    callbacks = Recorder()
    taken_up = resume_run(config, ALONE.device)
    assert taken_up.step == 2
    parts = pretrain(taken_up, clips(), ALONE, callbacks=callbacks)
    assert parts.step == whole.step == 6
    assert [r.terms for r in callbacks.reports] == [r.terms for r in told.reports[2:]]
    ours, theirs = (load_tensors(run.config.output / LAST) for run in (parts, whole))
    for part in ("model", "discriminator", "optimiser", "adversary_optimiser"):
        assert same(ours[part], theirs[part]), part


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    told = [train(run_config(tmp_path / str(seed), seed=seed, steps=2))[1].reports[-1].terms for seed in (0, 1)]
    assert told[0]["total"] != told[1]["total"]


def test_accumulated_batches_count_like_one_in_the_priors(tmp_path: Path) -> None:
    alike = {"augmented": False, "mask": 0.0, "steps": 1, "encoder": replace(micro(), drop_path=0.0)}
    _, whole = train(run_config(tmp_path / "a", batch_size=8, **alike))
    _, parts = train(run_config(tmp_path / "b", batch_size=4, accumulate=2, **alike))
    for name, value in whole.reports[0].terms.items():
        if name.startswith("prior/"):  # means over known elements, of which batches have a little more or less
            assert parts.reports[0].terms[name] == pytest.approx(value, rel=0.02)


def test_half_precision_gives_the_same_losses_roughly_and_weights_in_full(tmp_path: Path) -> None:
    full, half = (
        train(run_config(tmp_path / precision, precision=precision, steps=2)) for precision in ("fp32", "bf16")
    )
    for name, value in full[1].reports[0].terms.items():
        assert half[1].reports[0].terms[name] == pytest.approx(value, rel=0.1, abs=0.05), name
    assert half[1].reports[0].terms != full[1].reports[0].terms
    assert {p.dtype for p in half[0].network.parameters()} == {torch.float32}


def test_checkpoints_say_where_they_come_from_and_hold_the_encoder_that_was_trained(tmp_path: Path) -> None:
    run, _ = train(run_config(tmp_path, steps=2))
    read = read_checkpoint(tmp_path / LAST)
    assert read.config == micro()
    assert read.trained
    assert read.licence == "Apache-2.0"
    for fact in ("2 of 2 steps", "generated:4", "seed 0", "start random weights", "commit "):
        assert fact in read.provenance
    content = load_tensors(tmp_path / LAST)
    assert content["config"]["data"]["sources"] == ("generated:4",)
    windows = torch.randn(1, 3, 16, 64, 64)
    run.network.eval()
    assert torch.equal(read.network()(windows).features, run.network.encoder(windows).features)


def test_a_new_run_never_overwrites_another(tmp_path: Path) -> None:
    train(run_config(tmp_path, steps=1))
    with pytest.raises(ResumeError, match=r"last\.pt holds a run already; go on with it \(--resume\), or set another"):
        start_run(run_config(tmp_path, steps=1), ALONE.device)


def test_a_run_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    train(run_config(tmp_path, steps=1))
    with pytest.raises(ResumeError, match=r"of another run: batch_size was 4 and is 8; seed was 0 and is 3\. Use"):
        resume_run(run_config(tmp_path, steps=1, seed=3, batch_size=8), ALONE.device)


def test_a_bare_encoder_is_no_run_to_go_on_with(tmp_path: Path) -> None:
    run = start_run(run_config(tmp_path), ALONE.device)
    torch.save(run.checkpoint(), tmp_path / LAST)
    with pytest.raises(ResumeError, match="weights but no run to go on with"):
        resume_run(run.config, ALONE.device)


def test_a_run_can_start_from_another_runs_weights_and_keeps_their_licence(tmp_path: Path) -> None:
    first = start_run(run_config(tmp_path / "a", seed=5), ALONE.device)
    torch.save(first.checkpoint() | {"licence": "CC BY-NC-SA 4.0"}, tmp_path / "theirs.pt")
    second = start_run(run_config(tmp_path / "b", start_from=str(tmp_path / "theirs.pt")), ALONE.device)
    assert same(second.network.state_dict(), first.network.state_dict())
    assert second.checkpoint()["licence"] == "CC BY-NC-SA 4.0"
    assert "theirs.pt" in second.checkpoint()["provenance"]


def test_a_run_that_diverges_stops_before_the_step_and_says_which_loss(tmp_path: Path) -> None:
    config = run_config(tmp_path, save_every=1, augmented=False)
    run = start_run(config, ALONE.device)
    with pytest.raises(DivergedError, match=r"step 3 diverged: prior/body_pose is inf.*last\.pt holds the run before"):
        pretrain(run, Poisoned(good=4), ALONE, callbacks=Recorder())
    assert all(bool(p.isfinite().all()) for p in run.network.parameters())
    assert load_tensors(tmp_path / LAST)["step"] == 2


def test_the_best_weights_are_kept_apart(tmp_path: Path) -> None:
    scores = iter([0.1, 0.7, 0.4])
    seen: list[PretrainNetwork] = []

    def validate(network: PretrainNetwork) -> float:
        assert not network.training
        seen.append(network)
        return next(scores)

    run, callbacks = train(run_config(tmp_path, validate_every=2), validate=validate)
    assert callbacks.scores == [(2, 0.1, True), (4, 0.7, True), (6, 0.4, False)]
    assert run.network.training
    assert load_tensors(tmp_path / BEST)["step"] == 4
    assert load_tensors(tmp_path / BEST)["score"] == 0.7
    assert load_tensors(tmp_path / LAST)["step"] == 6
    assert resume_run(run.config, ALONE.device).best_score == 0.7


def test_a_time_budget_ends_a_run_and_its_learning_rate(tmp_path: Path) -> None:
    run, callbacks = train(run_config(tmp_path, steps=10_000, minutes=0.01))
    assert 0 < run.step < 1000
    assert run.elapsed_s >= 0.6
    assert callbacks.reports[-1].learning_rate < 0.5 * max(report.learning_rate for report in callbacks.reports)
    assert load_tensors(tmp_path / LAST)["step"] == run.step
    again = pretrain(resume_run(run.config, ALONE.device), clips(), ALONE, callbacks=Recorder())
    assert again.step == run.step


def test_broken_clips_are_told_and_the_run_goes_on(tmp_path: Path) -> None:
    class Holed:
        def pair(self, number: int) -> tuple[Sample, Sample]:
            if number == 3:
                raise SampleError("clip 3 is cut short")
            return clips().pair(number)

    callbacks = Recorder()
    run = pretrain(start_run(run_config(tmp_path, steps=3), ALONE.device), Holed(), ALONE, callbacks=callbacks)
    assert run.step == 3
    assert callbacks.reasons == ["clip 3 is cut short"]


def test_the_pose_is_learned(tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=60, batch_size=8, mask=0.0, augmented=False)
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=3e-3, weight_decay=0, layer_decay=1))
    _, callbacks = train(config)
    first, last = (
        np.mean([r.terms["priors"] for r in part]) for part in np.split(np.array(callbacks.reports), [3, 57])[::2]
    )
    assert last < 0.7 * first


def test_held_out_windows_score_by_their_prior_loss(tmp_path: Path) -> None:
    network = start_run(run_config(tmp_path), ALONE.device).network.eval()
    validate = held_out(clips(), 4, run_config(tmp_path))
    assert validate(network) == validate(network) < 0
    torch.nn.init.normal_(network.cls_head.latent_proj[2].weight, std=10)  # type: ignore[arg-type]
    assert validate(network) < 2 * held_out(clips(), 4, run_config(tmp_path))(PretrainNetwork(micro()).eval())


def test_visible_units_are_a_fair_choice_without_repetition() -> None:
    config = replace(run_config(Path()), mask=0.75)
    units = config.encoder.num_units
    windows = torch.zeros(500, *config.encoder.window_size, 3, dtype=torch.uint8)
    visible = choose_visible(config, windows, torch.rand(500, units, generator=torch.Generator().manual_seed(0)))
    assert visible is not None
    assert visible.shape == (500, units // 4)
    assert all(len(set(row.tolist())) == units // 4 for row in visible)
    counts = visible.flatten().bincount(minlength=units)
    assert 90 < counts.min() <= counts.max() < 160


def test_only_units_in_which_something_moves_are_visible_where_that_is_asked_for() -> None:
    config = replace(run_config(Path()), mask=0.5, moving=0.25)
    units_t, units_h, units_w = config.encoder.unit_grid
    windows = torch.zeros(4, *config.encoder.window_size, 3, dtype=torch.uint8)
    unit_px = config.encoder.image_size // units_w
    windows[:, ::2, :unit_px, :unit_px] = 200
    visible = choose_visible(config, windows, torch.rand(4, config.encoder.num_units))
    assert visible is not None
    moving = set(range(0, units_t * units_h * units_w, units_h * units_w))
    assert all(set(row.tolist()) <= moving or moving <= set(row.tolist()) for row in visible)


def test_moments_are_hidden_as_a_whole_where_that_is_asked_for() -> None:
    config = replace(run_config(Path()), mask=0.5, hide="moments")
    units_t = config.encoder.unit_grid[0]
    windows = torch.zeros(6, *config.encoder.window_size, 3, dtype=torch.uint8)
    visible = choose_visible(config, windows, torch.rand(6, config.encoder.num_units))
    assert visible is not None
    per_moment = config.encoder.num_units // units_t
    assert all(len(set((row // per_moment).tolist())) == -(-units_t // 2) for row in visible)


def test_seeds_differ_by_step_and_process() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(3) for step in range(50) for rank in (-1, 0, 1)}
    assert len(seeds) == 3 * 50 * 3


def test_heads_can_begin_with_the_mean_pose(tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=1, centred_on=8, optimiser=OptimiserConfig(warmup_steps=10**9))
    run = pretrain(start_run(config, ALONE.device), clips(), ALONE, callbacks=Recorder())
    batches = load_batches(clips(), 16)
    batch = next(batches)
    for prior in PRIORS:
        known, targets = batch.masks[prior.name], batch.targets[prior.name]
        for column in (0, prior.dim - 1):
            mean = targets[..., column][known[..., column]].mean() * prior.psi
            assert run.network.cls_head.head(prior.name).bias[column].item() == pytest.approx(mean.item(), abs=1e-4)


def test_an_encoder_that_looks_closer_learns_where_the_hands_are(tmp_path: Path) -> None:
    encoder = replace(compact(), image_size=64, hand_px=32, embed_dim=16, num_frames=2)
    whole = clips()

    class WithHands:
        def pair(self, number: int) -> tuple[Sample, Sample]:
            places = np.full((16, 2, 3), 0.25, np.float32)
            places[:, 1] = (0.8, 0.6, 0.25)
            first, second = whole.pair(number)
            return replace(first, hands=places), replace(second, hands=places)

    config = run_config(tmp_path, encoder=encoder, steps=40, mask=0.0, augmented=False)
    callbacks = Recorder()
    pretrain(start_run(config, ALONE.device), WithHands(), ALONE, callbacks=callbacks)
    assert callbacks.reports[-1].terms["hands"] < 0.5 * callbacks.reports[0].terms["hands"]


def test_hands_are_told_not_always_and_not_exactly(tmp_path: Path) -> None:
    config = run_config(tmp_path, encoder=compact(), teacher_forcing=0.75, teacher_forcing_noise=0.1)
    places = torch.rand(2000, 2, 3)
    places[0] = torch.nan
    told = hand_places(config, places, ALONE, torch.Generator().manual_seed(0))
    assert told is not None
    silent = told.isnan().any(dim=(1, 2))
    assert silent[0]
    assert 0.2 < silent.float().mean() < 0.3
    assert (told - places)[~silent].std() == pytest.approx(0.1, rel=0.1)
    assert hand_places(run_config(tmp_path), places, ALONE, torch.Generator()) is None


def test_an_encoder_of_two_frames_learns_from_the_middle_of_windows(tmp_path: Path) -> None:
    encoder = replace(micro(), num_frames=2)
    config = run_config(tmp_path, encoder=encoder, steps=2, moving=0.5, mask=0.25)
    callbacks = Recorder()
    pretrain(start_run(config, ALONE.device), clips(), ALONE, callbacks=callbacks)
    assert all(np.isfinite(report.terms["total"]) for report in callbacks.reports)
