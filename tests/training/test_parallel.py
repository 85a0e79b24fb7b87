import os
from pathlib import Path

import pytest

from training.parallel import WorkReport, run_parallel


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_is_named_and_the_rest_is_done(tmp_path: Path, workers: int) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name * 3)
    sizes: dict[str, int] = {}
    failed = run_parallel(
        [tmp_path / name for name in ("a", "gone", "b")],
        os.path.getsize,
        name=lambda path: path.name,
        workers=workers,
        phase="sizes",
        on_result=lambda path, result: sizes.update({path.name: result}),
    )
    assert sizes == {"a": 3, "b": 3}
    assert [(one.name, one.kind) for one in failed] == [("gone", "FileNotFoundError")]


def test_a_defect_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        run_parallel([0], lambda number: 1 // number, name=str, workers=1, phase="divide")


def test_a_report_counts_by_kind_and_lists_every_failure(tmp_path: Path) -> None:
    failed = run_parallel(
        [tmp_path / "x", tmp_path / "y"], os.path.getsize, name=lambda p: p.name, workers=1, phase="sizes"
    )
    lines = WorkReport(5, 2, failed).lines()
    assert lines[0] == "5 done, 2 were there, 2 failed (2 FileNotFoundError)"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["x", "y"]
    WorkReport(5, 2, failed).write(tmp_path / "report.json")
    assert '"num_done": 5' in (tmp_path / "report.json").read_text()
