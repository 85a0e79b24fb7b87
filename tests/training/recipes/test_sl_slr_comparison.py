"""The comparison: every row runs, is kept, and is told as it is."""

import json
from pathlib import Path

import pytest

from tests.training.sl_slr.conftest import write_landmarks
from tests.training.sl_slr.runs import run_config
from training.errors import ResumeError
from training.recipes.sl_slr_comparison import (
    BASELINE,
    COMPARED_METHODS,
    PAPERS_ROW,
    RIVALS,
    ClipSets,
    MethodResult,
    as_markdown,
    check_same_clips,
    compare_with_rivals,
    measure_baseline,
    real_clips,
    run_method,
    split_cast,
    summarise,
)
from training.sl_slr.sequences import Sequence61


@pytest.fixture
def sets(performed: tuple[Sequence61, ...], tmp_path: Path) -> ClipSets:
    first, others = split_cast(performed, 1)
    folders = [write_landmarks(tmp_path / name, "one__1", "two__2") for name in ("a", "b")]
    return ClipSets(first, others, first, others, real_clips(folders))


def test_every_row_is_measured_and_kept(sets: ClipSets, tmp_path: Path) -> None:
    config = run_config(tmp_path, steps=2)
    results = [run_method(method, 0, config, tmp_path, sets) for method in COMPARED_METHODS]
    assert [result.name for result in results] == [method.name for method in COMPARED_METHODS]
    assert all(
        result.steps == (0 if method.untrained else 2) for method, result in zip(COMPARED_METHODS, results, strict=True)
    )
    done = tmp_path / "0-0" / "outcome.json"
    stored = json.loads(done.read_text())
    stored["steps"] = 77
    done.write_text(json.dumps(stored))
    assert run_method(COMPARED_METHODS[0], 0, config, tmp_path, sets).steps == 77
    with pytest.raises(ResumeError, match="batch_size was 4 and is 5"):
        run_method(COMPARED_METHODS[0], 0, run_config(tmp_path, steps=2, batch_size=5), tmp_path, sets)


def test_two_folders_alike_are_found_in_each_other(sets: ClipSets, tmp_path: Path) -> None:
    figures = measure_baseline(tmp_path, sets).figures
    assert measure_baseline(tmp_path, ClipSets((), (), (), ())).figures == figures
    assert figures["real ASL, R@1"] == 100.0
    assert figures["linear, 100% of labels"] > 50.0


def test_a_folder_of_outcomes_on_other_clips_is_refused(tmp_path: Path) -> None:
    check_same_clips(tmp_path, 20, [Path("here/a"), Path("here/b")])
    check_same_clips(tmp_path, 20, [Path("elsewhere/a"), Path("elsewhere/b")])
    with pytest.raises(ResumeError, match=r"'signs': 20.*'signs': 30"):
        check_same_clips(tmp_path, 30, [Path("here/a"), Path("here/b")])


def result(name: str, seed: int, value: float) -> MethodResult:
    return MethodResult(name, seed, 10, 1.0, None, {"linear": value}, {})


def test_rows_are_told_by_mean_and_spread_over_seeds() -> None:
    rows = summarise([result("a", 0, 1.0), result("a", 1, 3.0), result("b", 0, 5.0)])
    assert rows == {"a": {"linear": (2.0, 1.0)}, "b": {"linear": (5.0, 0.0)}}


@pytest.mark.parametrize(("best", "word"), [(50.0, "leads"), (60.5, "is level"), (70.0, "is behind")])
def test_the_verdict_is_beyond_the_spread_or_none(best: float, word: str) -> None:
    rows = {PAPERS_ROW: {"linear": (60.0, 1.0)}} | {name: {"linear": (40.0, 0.0)} for name in RIVALS}
    rows[RIVALS[1]] = {"linear": (best, 1.0)}
    (line,) = compare_with_rivals(rows)
    assert f"SL-SLR {word} (60.0 against {best:.1f} of {RIVALS[1]}" in line


def test_the_report_has_a_row_for_everything(sets: ClipSets, tmp_path: Path) -> None:
    config = run_config(tmp_path)
    results = [result(method.name, seed, 10.0 + seed) for seed in range(2) for method in COMPARED_METHODS] + [
        result(BASELINE, 0, 9.0)
    ]
    report = as_markdown(results, config, sets, 3)
    for method in COMPARED_METHODS:
        assert f"| {method.name} | 10.5 ± 0.5 |" in report
    assert f"| {BASELINE} | 9.0 |" in report
    assert "2 seeds" in report
    assert "Collapsed: no run." in report
    assert "- linear: SL-SLR is level" in report


def test_one_seed_gives_no_verdict(sets: ClipSets, tmp_path: Path) -> None:
    report = as_markdown([result(method.name, 0, 10.0) for method in COMPARED_METHODS], run_config(tmp_path), sets, 3)
    assert "there is no verdict" in report
    assert "SL-SLR is" not in report


def test_a_collapsed_run_is_named_in_the_report(sets: ClipSets, tmp_path: Path) -> None:
    results = [result(method.name, 0, 1.0) for method in COMPARED_METHODS]
    results[0] = MethodResult(PAPERS_ROW, 0, 10, 1.0, 7, {"linear": 1.0}, {})
    assert f"Collapsed: {PAPERS_ROW}, seed 0, step 7." in as_markdown(results, run_config(tmp_path), sets, 3)
