import itertools
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from model.checkpoint import load_tensors, read_checkpoint
from tests.model.test_hands import looking_closer
from tests.training.contrast.stage import SIZE_PX, duet, some_moments, write_shard
from tests.training.synth.conftest import gl  # noqa: F401
from training.assignments import override
from training.contrast.__main__ import app, read_clips
from training.contrast.course import STATE, Course, begin, centre_heads, follow, go_on, part_done, teach
from training.contrast.drawn import write_duet
from training.contrast.judge import judge, make_exam
from training.contrast.lesson import Lesson
from training.contrast.moments import COLUMNS
from training.contrast.pool import Pool, make_rows
from training.contrast.real import read_real
from training.contrast.steps import hand_losses, pose_terms, step_losses
from training.contrast.theatre import Movement
from training.errors import ConfigError, DataError, DivergedError
from training.fit.distributed import World
from training.prior_table import PRIORS

CPU = torch.device("cpu")
ALONE = World(CPU)
LESSON = Lesson(
    seconds=math.inf, encoder=replace(looking_closer(), drop_path=0.0), num_real=2, num_rendered=3, num_windows=2
)


@pytest.fixture
def pool() -> Pool:
    pool = Pool(make_rows(6 + 4 * 6, SIZE_PX, CPU), num_moments=3, num_pairs=4)
    for number in range(2):
        pool.keep(some_moments(20 * number), Movement(f"real {number}", mirrored=False))
    for number in range(4):
        pool.add(duet(number, f"drawn {number}", 60 + 30 * number))
    return pool


def losses(course: Course, pool: Pool, lesson: Lesson = LESSON) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    draw = pool.draw(2, 3, 2, np.random.default_rng(0))
    return step_losses(course.learner, lesson, pool.rows, draw, torch.Generator().manual_seed(0))


def test_the_total_is_the_weighted_sum_of_its_terms(pool: Pool) -> None:
    course = begin(LESSON, ALONE)
    total, terms = losses(course, pool)
    priors = dict(zip((f"prior/{prior.name}" for prior in PRIORS), LESSON.losses.weights, strict=True))
    others = {"activity": 0.2, "variance": 1.0, "covariance": 0.004, "hands": 1.0, "contrast": 1.0, "closeup": 2.0}
    expected = sum(weight * float(terms[name]) for name, weight in (priors | others).items())
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)


def test_every_weight_of_the_network_learns(pool: Pool) -> None:
    course = begin(LESSON, ALONE)
    losses(course, pool)[0].backward()
    idle = [name for name, one in course.learner.network.named_parameters() if one.grad is None or not one.grad.any()]
    # What residual branches begin with is zero, and hides what comes before it.
    assert all(".refine." in name for name in idle), idle


def test_heads_begin_with_the_mean_pose(pool: Pool) -> None:
    course = begin(LESSON, ALONE)
    centre_heads(course, pool.rows)
    head = course.learner.network.cls_head.head("left_pose").bias
    values, known = (part[..., COLUMNS["left_pose"]].flatten(0, 1) for part in (pool.rows.targets, pool.rows.known))
    assert torch.allclose(head, 2 * (values.float() * known).sum(0) / known.sum(0), atol=1e-3)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every step takes a second."""
    monkeypatch.setattr("training.contrast.course.time", SimpleNamespace(perf_counter=itertools.count().__next__))


@pytest.mark.usefixtures("seconds")
def test_learning_brings_the_same_movement_together(pool: Pool) -> None:
    lesson = replace(LESSON, seconds=12.0, learning_rate=3e-3)
    course = begin(lesson, ALONE)
    told: list[dict[str, float]] = []
    teach(course, lesson, pool, watch=told.append, watch_every=1)
    assert course.step == len(told) == 12
    assert course.num_windows == course.step * 5 * 2 * 2
    assert told[-1]["total"] < told[0]["total"]
    assert course.elapsed_s == 12.0


def test_a_loss_that_is_no_number_stops_the_run(pool: Pool) -> None:
    course = begin(LESSON, ALONE)
    with torch.no_grad():
        course.learner.network.encoder.fc[1].weight.fill_(math.nan)
    with pytest.raises(DivergedError, match="lower the learning rate"):
        teach(course, replace(LESSON, seconds=60.0), pool, watch=lambda _: None)


@pytest.mark.usefixtures("seconds")
def test_single_hands_may_be_learned_first_and_nothing_else_meanwhile(pool: Pool) -> None:
    lesson = replace(LESSON, seconds=8.0, hands_first=0.5, hands_moments=6)
    course = begin(lesson, ALONE)
    before = {name: value.clone() for name, value in course.learner.network.state_dict().items()}
    told: list[dict[str, float]] = []
    changed: list[set[str]] = []

    def watch(terms: dict[str, float]) -> None:
        told.append(terms)
        now = course.learner.network.state_dict()
        changed.append({name for name, value in before.items() if not torch.equal(now[name], value)})

    teach(course, lesson, pool, watch=watch, watch_every=1)
    assert ["contrast" in terms for terms in told] == 4 * [False] + 4 * [True]
    assert told[3]["closeup"] < told[0]["closeup"]
    assert changed[4]
    assert all("hands.backbone" in name for name in changed[4]), "after four steps of single hands"
    assert any("cls_head" in name for name in changed[7])


@pytest.mark.usefixtures("seconds")
def test_what_sees_the_frame_may_stay_as_it_is(pool: Pool) -> None:
    lesson = replace(LESSON, seconds=3.0, frame=False)
    course = begin(lesson, ALONE)
    before = {name: value.clone() for name, value in course.learner.network.state_dict().items()}
    teach(course, lesson, pool, watch=lambda _: None)
    same = {name for name, value in course.learner.network.state_dict().items() if torch.equal(before[name], value)}
    frame = {name for name in before if name.startswith("encoder.backbone.")}
    assert frame <= same
    assert "encoder.fc.1.weight" not in same
    assert any("hands.backbone" in name for name in before.keys() - same)


def test_each_part_of_a_run_has_its_own_learning_rates() -> None:
    assert [part_done(share, 0.5) for share in (0.0, 0.25, 0.5, 0.75)] == [0.0, 0.5, 0.0, 0.5]
    assert part_done(0.3, 0.0) == 0.3


def test_moments_without_hands_teach_none_of_them(pool: Pool) -> None:
    course = begin(LESSON, ALONE)
    rows = pool.rows.at(torch.arange(4))
    rows.hands.fill_(torch.nan)
    loss, _ = hand_losses(course.learner, LESSON, rows, torch.Generator())
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert all(one.grad is not None and not one.grad.any() for one in course.learner.reader.parameters())


def test_a_run_begins_with_the_weights_of_another(pool: Pool, tmp_path: Path) -> None:
    first = begin(replace(LESSON, seed=3), ALONE)
    torch.save(first.checkpoint(finished="nothing"), tmp_path / "first.pt")
    course = begin(LESSON, ALONE, tmp_path / "first.pt")
    for one, two in zip(first.average.parameters(), course.learner.network.parameters(), strict=True):
        assert torch.equal(one, two)
    assert first.is_new
    assert not course.is_new
    assert course.provenance.startswith("random weights; training.contrast, 0 steps")
    with pytest.raises(ConfigError, match="another encoder"):
        begin(replace(LESSON, encoder=replace(LESSON.encoder, activity_hidden=7)), ALONE, tmp_path / "first.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "else.pt")
    with pytest.raises(ConfigError, match="no checkpoint of a training run"):
        begin(LESSON, ALONE, tmp_path / "else.pt")


@pytest.mark.usefixtures("seconds")
def test_a_last_step_that_is_no_number_is_not_kept_either(pool: Pool) -> None:
    course = begin(LESSON, ALONE)
    course.step = 1  # of which nobody is told
    with torch.no_grad():
        course.learner.network.encoder.fc[1].weight.fill_(math.nan)
    with pytest.raises(DivergedError, match="step"):
        teach(course, replace(LESSON, seconds=1.0), pool, watch=lambda _: None)


def test_the_average_follows_the_weights() -> None:
    course = begin(LESSON, ALONE)
    before = course.average.encoder.fc[1].weight.clone()
    with torch.no_grad():
        course.learner.network.encoder.fc[1].weight.add_(1.0)
    course.step = 10_000
    follow(course, 0.9)
    assert torch.allclose(course.average.encoder.fc[1].weight, before + 0.1, atol=1e-6)


def test_a_run_goes_on_where_it_stopped(pool: Pool, tmp_path: Path) -> None:
    course = begin(LESSON, ALONE)
    losses(course, pool)[0].backward()
    course.optimiser.step()
    follow(course, 0.5)
    course.step, course.elapsed_s, course.num_windows = 7, 3.5, 99
    torch.save(course.checkpoint(), tmp_path / "last.pt")
    other = begin(replace(LESSON, seed=5), ALONE)
    go_on(other, load_tensors(tmp_path / "last.pt"))
    assert (other.step, other.elapsed_s, other.num_windows) == (7, 3.5, 99)
    for ours, theirs in (
        (course.learner.network, other.learner.network),
        (course.average, other.average),
        (course.learner.reader, other.learner.reader),
    ):
        for one, two in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert torch.equal(one, two)
    ours, theirs = (one.optimiser.state_dict()["state"][0]["exp_avg"] for one in (course, other))
    assert torch.equal(ours, theirs)


def test_encoders_without_a_closer_look_are_refused() -> None:
    with pytest.raises(ConfigError, match="take encoder=compact"):
        begin(replace(LESSON, encoder=replace(looking_closer(), hand_px=0)), ALONE)


def test_unknown_settings_are_refused_with_those_that_are_known() -> None:
    assert override(LESSON, ["num_real=3", "encoder.hand_px=32"]).encoder.hand_px == 32
    with pytest.raises(ConfigError, match="temperature"):
        override(LESSON, ["warmth=1"])


def test_unknown_places_of_hands_cost_nothing(pool: Pool) -> None:
    course = begin(LESSON, ALONE)
    rows = pool.rows.at(torch.arange(4))
    with torch.no_grad():
        prediction = course.learner.network(torch.zeros(4, 3, 2, SIZE_PX, SIZE_PX))
    nowhere = torch.full((4, 2, 3), torch.nan)
    assert float(pose_terms(prediction, rows, nowhere, LESSON.losses)["hands"]) == 0.0
    assert float(pose_terms(prediction, rows, rows.hands, LESSON.losses)["hands"]) > 0.0


def test_clips_are_judged_across_signers_by_their_rank(tmp_path: Path) -> None:
    names = {"ann/A__1": 20, "ann/B__1": 90, "ben/A__2": 20, "ben/B__2": 90}
    clips = list(read_real(write_shard(tmp_path / "held", names), None, threads=1))
    course = begin(LESSON, ALONE)
    course.average.eval()
    found = judge(course, make_exam(clips, CPU))
    assert found["ann@1"] == found["ben@1"] == 100.0, "clips of one gloss are the same pictures here"
    assert found["ann@5"] == 100.0
    assert -1.0 <= found["cosine"] <= 1.0


SETTINGS = {
    "hand_px": 16, "hand_stem": "4", "hand_stages": "1,1", "image_size": 64, "patch_stride": "2,8,8", "stem": "4,6",
    "embed_dim": 8, "stages": "1,1",
}  # fmt: skip
"""Every one in turn makes a geometry that can be."""


def words(real: Path, out: Path, **encoder: object) -> list[str]:
    fields = [f"encoder.{key}={value}" for key, value in (SETTINGS | encoder).items()]
    settings = [word for one in (*fields, "num_real=2", "num_rendered=2", "num_windows=2") for word in ("--set", one)]
    rest = "--minutes 0.03 --processes 1 --pairs 2 --draw-s 100 --moments 2 --device cpu --judge-every-s 1"
    return ["learn", str(real), "--out", str(out), "--validation", str(real), *rest.split(), *settings]


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write_shard(tmp_path / "real", {"ann/A__1": 20, "ann/B__1": 90, "ben/A__2": 30, "ben/B__2": 80})


@pytest.mark.gl
def test_the_command_draws_learns_and_leaves_an_encoder(gl: None, real: Path, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "last.pt"
    result = CliRunner().invoke(app, words(real, out))
    assert result.exit_code == 0, result.output
    assert "of 4 real clips, 2 pairs by synthetic signers" in result.output
    content = load_tensors(out)
    assert STATE not in content
    assert "4 real clips, 2 pairs by synthetic signers" in content["provenance"]
    assert read_checkpoint(out).config.hand_px == 16
    again = CliRunner().invoke(app, words(real, out))
    assert again.exit_code == 1
    assert "is finished" in again.output


def drawn_pairs(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        write_duet(folder, duet(number, f"drawn {number}", 40 + 8 * number, count=2))
    return folder


def test_what_was_drawn_before_is_learned_from_by_two_processes_or_one(tmp_path: Path) -> None:
    drawn = ["--drawn", str(drawn_pairs(tmp_path / "pairs", 6))]
    real = write_shard(tmp_path / "shared out", {"ann/A__1": 20, "ann/C__1": 90, "ben/A__12": 30, "ben/D__1": 80})
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    given = [*words(real, tmp_path / "two.pt"), *drawn, "--set", "hands_first=0.4"]
    done = subprocess.run(
        [*torchrun, "-m", "training.contrast", *given], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    content = load_tensors(tmp_path / "two.pt")
    assert "4 real clips, 6 pairs by synthetic signers" in content["provenance"]
    assert read_checkpoint(tmp_path / "two.pt").config.hand_px == 16
    alone = CliRunner().invoke(app, [*words(real, tmp_path / "one.pt"), *drawn])
    assert alone.exit_code == 0, alone.output
    assert "of 4 real clips, 6 pairs by synthetic signers" in alone.output


def test_a_process_without_clips_of_its_own_is_refused(real: Path, tmp_path: Path) -> None:
    drawn = ["--drawn", str(drawn_pairs(tmp_path / "pairs", 6))]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "training.contrast", *words(real, tmp_path / "two.pt"), *drawn],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode != 0
    assert "one of 2 processes has no real clips of its own" in done.stderr
    assert not (tmp_path / "two.pt").exists()


def test_several_processes_want_what_was_drawn_before(real: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --drawn PAIRS"):
        read_clips(real, SIZE_PX, 4, None, (2, 2), World(CPU, 0, 2))


def test_a_process_without_a_drawn_pair_keeps_no_room_for_one(real: Path, tmp_path: Path) -> None:
    ours = World(CPU, 1, 2)  # the first four pairs are the other one's
    pool = read_clips(real, SIZE_PX, 4, drawn_pairs(tmp_path / "pairs", 4), (4000, 14), ours)
    assert pool.room == 0
    assert len(pool.rows.frames) == 0


def test_pairs_of_another_size_are_refused(real: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"64 pixels a side, the clips in .* 128"):
        read_clips(real, 128, 4, drawn_pairs(tmp_path / "pairs", 2), (2, 2), ALONE)


@pytest.mark.gl
def test_a_run_for_which_nothing_was_drawn_says_so(gl: None, real: Path, tmp_path: Path) -> None:  # noqa: F811
    given = words(real, tmp_path / "last.pt")
    given[given.index("--draw-s") + 1] = "0.001"
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 1
    assert "no pair was drawn" in result.output


def test_an_encoder_of_another_size_than_the_clips_is_refused(real: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, words(real, tmp_path / "last.pt", image_size=128))
    assert result.exit_code == 1
    assert "128 pixels" in result.output
    assert not (tmp_path / "last.pt").exists()
