"""The comparison: every row runs, is kept, and is told as it is."""

import json
from pathlib import Path

import pytest

from tests.training.sl_slr.conftest import write_landmarks
from tests.training.sl_slr.runs import run_config
from training.errors import ResumeError
from training.sl_slr.compare import (
    ARMS,
    BY_HAND,
    PAPERS_ROW,
    RIVALS,
    Outcome,
    Sets,
    as_markdown,
    claim,
    real_clips,
    run_arm,
    run_by_hand,
    split_cast,
    summarise,
    verdict,
)
from training.sl_slr.sequences import Sequence61


@pytest.fixture
def sets(performed: tuple[Sequence61, ...], tmp_path: Path) -> Sets:
    first, others = split_cast(performed, 1)
    folders = [write_landmarks(tmp_path / name, "one__1", "two__2") for name in ("a", "b")]
    return Sets(first, others, first, others, real_clips(folders))


def test_every_row_is_measured_and_kept(sets: Sets, tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=2)
    outcomes = [run_arm(arm, 0, config, tmp_path, sets) for arm in ARMS]
    assert [outcome.name for outcome in outcomes] == [arm.name for arm in ARMS]
    assert all(outcome.steps == (0 if arm.untrained else 2) for arm, outcome in zip(ARMS, outcomes, strict=True))
    done = tmp_path / "0-0" / "outcome.json"
    stored = json.loads(done.read_text())
    stored["steps"] = 77
    done.write_text(json.dumps(stored))
    assert run_arm(ARMS[0], 0, config, tmp_path, sets).steps == 77
    with pytest.raises(ResumeError, match="batch_size was 4 and is 5"):
        run_arm(ARMS[0], 0, run_config(tmp_path, steps=2, batch_size=5), tmp_path, sets)


def test_two_folders_alike_are_found_in_each_other(sets: Sets, tmp_path: Path) -> None:
    figures = run_by_hand(tmp_path, sets).figures
    assert run_by_hand(tmp_path, Sets((), (), (), ())).figures == figures
    assert figures["real ASL, R@1"] == 100.0
    assert figures["linear, 100% of labels"] > 50.0


def test_a_folder_of_outcomes_on_other_clips_is_refused(tmp_path: Path) -> None:
    claim(tmp_path, 20, [Path("here/a"), Path("here/b")])
    claim(tmp_path, 20, [Path("elsewhere/a"), Path("elsewhere/b")])
    with pytest.raises(ResumeError, match=r"'signs': 20.*'signs': 30"):
        claim(tmp_path, 30, [Path("here/a"), Path("here/b")])


def outcome(name: str, seed: int, value: float) -> Outcome:
    return Outcome(name, seed, 10, 1.0, None, {"linear": value}, {})


def test_rows_are_told_by_mean_and_spread_over_seeds() -> None:
    rows = summarise([outcome("a", 0, 1.0), outcome("a", 1, 3.0), outcome("b", 0, 5.0)])
    assert rows == {"a": {"linear": (2.0, 1.0)}, "b": {"linear": (5.0, 0.0)}}


@pytest.mark.parametrize(("best", "word"), [(50.0, "leads"), (60.5, "is level"), (70.0, "is behind")])
def test_the_verdict_is_beyond_the_spread_or_none(best: float, word: str) -> None:
    rows = {PAPERS_ROW: {"linear": (60.0, 1.0)}} | {name: {"linear": (40.0, 0.0)} for name in RIVALS}
    rows[RIVALS[1]] = {"linear": (best, 1.0)}
    (line,) = verdict(rows)
    assert f"SL-SLR {word} (60.0 against {best:.1f} of {RIVALS[1]}" in line


def test_the_report_has_a_row_for_everything(sets: Sets, tmp_path: Path) -> None:
    config = run_config(tmp_path)
    outcomes = [outcome(arm.name, seed, 10.0 + seed) for seed in range(2) for arm in ARMS] + [outcome(BY_HAND, 0, 9.0)]
    report = as_markdown(outcomes, config, sets, 3)
    for arm in ARMS:
        assert f"| {arm.name} | 10.5 ± 0.5 |" in report
    assert f"| {BY_HAND} | 9.0 |" in report
    assert "2 seeds" in report
    assert "Collapsed: no run." in report
    assert "- linear: SL-SLR is level" in report


def test_one_seed_gives_no_verdict(sets: Sets, tmp_path: Path) -> None:
    report = as_markdown([outcome(arm.name, 0, 10.0) for arm in ARMS], run_config(tmp_path), sets, 3)
    assert "there is no verdict" in report
    assert "SL-SLR is" not in report


def test_a_collapsed_run_is_named_in_the_report(sets: Sets, tmp_path: Path) -> None:
    outcomes = [outcome(arm.name, 0, 1.0) for arm in ARMS]
    outcomes[0] = Outcome(PAPERS_ROW, 0, 10, 1.0, 7, {"linear": 1.0}, {})
    assert f"Collapsed: {PAPERS_ROW}, seed 0, step 7." in as_markdown(outcomes, run_config(tmp_path), sets, 3)
