"""Training: exact resume, guards, and what methods do to their momentum network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.sl_slr.runs import CollapseRecorder, batches_of, run_config, train, train_state
from training.errors import DivergedError, ResumeError
from training.fit.files import LAST
from training.sl_slr.batches import Batches
from training.sl_slr.config import Data, Losses, Network, SlSlrConfig, Views
from training.sl_slr.corpus import Corpus
from training.sl_slr.loop import notice_collapse
from training.sl_slr.objective import METHODS, make_views
from training.sl_slr.state import SlSlrState, make_state, open_run, read_trained

CPU = torch.device("cpu")


def one_step(corpus: Corpus, config: SlSlrConfig) -> tuple[SlSlrState, SlSlrState]:
    """A run before its first step, and the same run after it."""
    return make_state(config, CPU), train(corpus, replace(config, steps=1))[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(method: str, corpus: Corpus, tmp_path: Path) -> None:
    whole = run_config(tmp_path / "whole", method=method)
    one, _ = train(corpus, whole)
    halved = run_config(tmp_path / "halved", method=method)
    steps = iter(range(1, 7))
    train(corpus, halved, stop=lambda: next(steps) == 3)
    other, _ = train(corpus, halved)
    assert (one.step, other.step) == (6, 6)
    for mine, theirs in (
        (one.network.state_dict(), other.network.state_dict()),
        (one.networks.momentum_network.state_dict(), other.networks.momentum_network.state_dict()),
        ({"queue": one.networks.queue}, {"queue": other.networks.queue}),
    ):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_run_does_not_overwrite_another(corpus: Corpus, tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=1)
    train(corpus, config)
    with pytest.raises(ResumeError, match="holds a run already"):
        open_run(config, CPU, resume=False)
    with pytest.raises(ResumeError, match="seed was 0 and is 1"):
        open_run(replace(config, seed=1), CPU, resume=True)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "last.pt")
    with pytest.raises(ResumeError, match=r"is no run of training\.sl_slr"):
        read_trained(tmp_path / "last.pt")


def test_a_trained_network_comes_back_with_its_provenance(corpus: Corpus, tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=2, data=Data(sources=("poses:/home/somebody/clips",), num_frames=8))
    run, _ = train(corpus, config)
    found = read_trained(tmp_path / LAST)
    ours, theirs = run.network.state_dict(), found.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert "2 of 2 steps" in found.provenance
    assert "somebody" not in found.provenance
    assert not found.network.training


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(corpus: Corpus, tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=2)
    train(corpus, config)
    before = (tmp_path / "last.pt").read_bytes()
    run = open_run(config, CPU, resume=True)
    run.config = replace(config, steps=4)
    with torch.no_grad():
        run.network.encoder.head[1].weight.fill_(torch.nan)
    with pytest.raises(DivergedError, match=r"step 3 diverged: views is nan.*last\.pt holds the run before"):
        train_state(run, corpus, CollapseRecorder())
    assert (tmp_path / "last.pt").read_bytes() == before


def test_minutes_end_a_run(corpus: Corpus, tmp_path: Path) -> None:
    run = open_run(run_config(tmp_path, minutes=1e-9), CPU, resume=False)
    run.elapsed_s = 1.0
    assert train_state(run, corpus, CollapseRecorder()).step == 0


def test_a_collapse_is_reported_once(tmp_path: Path) -> None:
    run, recorder = make_state(run_config(tmp_path), CPU), CollapseRecorder()
    for step, spread in ((5, 0.0), (21, 0.5), (22, 0.01), (23, 0.01)):
        notice_collapse(run, step, spread, recorder.on_collapse)
    assert recorder.collapses == [22]
    assert run.collapsed_at == 22


def test_two_terms_alone_collapse_and_the_run_says_so(corpus: Corpus, tmp_path: Path) -> None:
    """Without normalised projections both terms are least where all projections are the same."""
    config = run_config(
        tmp_path,
        steps=400,
        batch_size=8,
        network=Network(width=8, depth=1, heads=2, dim=8, projection=4, hidden=8, normed=False),
        losses=Losses(collapse_spread=0.2),
        log_every=100,
    )
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=1e-2, weight_decay=0.5))
    recorder = CollapseRecorder()
    run = train_state(make_state(config, CPU), corpus, recorder, stop=lambda: bool(recorder.collapses))
    assert run.collapsed_at is not None
    assert recorder.collapses == [run.collapsed_at]


@pytest.mark.parametrize("method", ["moco", "byol"])
def test_the_momentum_network_follows(method: str, corpus: Corpus, tmp_path: Path) -> None:
    config = run_config(tmp_path, method=method, losses=Losses(queue=8, momentum=0.9))
    before, after = one_step(corpus, config)
    weights = (before.networks.momentum_network, after.network, after.networks.momentum_network)
    for start, current, momentum in zip(*(network.parameters() for network in weights), strict=True):
        torch.testing.assert_close(momentum, 0.9 * start + 0.1 * current)


@pytest.mark.parametrize("method", ["sl-slr", "simclr"])
def test_without_a_momentum_network_none_moves(method: str, corpus: Corpus, tmp_path: Path) -> None:
    before, after = one_step(corpus, run_config(tmp_path, method=method))
    pairs = zip(*(run.networks.momentum_network.parameters() for run in (before, after)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_mocos_queue_holds_the_newest_keys_first(corpus: Corpus, tmp_path: Path) -> None:
    before, after = (run.networks.queue for run in one_step(corpus, run_config(tmp_path, method="moco")))
    assert torch.equal(after[4:], before[:4])
    torch.testing.assert_close(after.norm(dim=1), torch.ones(8))
    assert not torch.equal(after[:4], before[:4])


def test_sl_slr_alone_shuffles(corpus: Corpus, tmp_path: Path) -> None:
    still = Views(turn_deg=0.0, size=0.0, noise=0.0, hand_lost=0.0, pace=0.0)
    for method, shuffle, expected in (("sl-slr", True, True), ("sl-slr", False, False), ("byol", True, False)):
        config = run_config(tmp_path, method=method, views=replace(still, shuffle=shuffle))
        batch = batches_of(corpus, config).at(0)
        views = make_views(batch, config, torch.Generator().manual_seed(0))
        assert torch.equal(views.clip[0], batch.keypoints[0])
        assert (not torch.equal(views.first[0], batch.keypoints[1])) == expected
        assert torch.equal(views.first[0][:, 3:5], batch.keypoints[1][:, 3:5])


def test_partners_are_of_the_same_sign_by_another_signer(corpus: Corpus) -> None:
    data = Data(sources=("lexicon:3x3",), num_frames=8, partners="signer", cut="window")
    drawn = Batches(corpus, data, 8, 0)
    assert not torch.equal(drawn.at(0).keypoints[0], drawn.at(0).keypoints[2])
    assert torch.equal(drawn.at(0).keypoints[0], drawn.at(0).keypoints[1])
    chosen = [drawn._item(4, np.random.default_rng(seed)) for seed in range(20)]
    assert {item[2][0] for item in chosen} == {3, 5}


def test_sources_are_drawn_by_their_weight(corpus: Corpus) -> None:
    mixed = Corpus(corpus.clips, (0,) * 8 + (1,), (1.0, 3.0))
    drawn = Batches(mixed, Data(num_frames=8), 400, 0)
    last = torch.from_numpy(corpus.clips[8].keypoints[0])
    first_frames = drawn.at(0).keypoints[0][:, 0].flatten(1)
    share = float((first_frames == last.flatten()).all(dim=1).float().mean())
    assert share == pytest.approx(0.75, abs=0.07)


def test_the_loss_goes_down(corpus: Corpus, tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=60, batch_size=8, method="simclr", log_every=10)
    _, recorder = train(corpus, config)
    assert recorder.reports[-1].terms["contrast"] < 0.8 * recorder.reports[0].terms["contrast"]
    assert recorder.reports[-1].done == 1.0
