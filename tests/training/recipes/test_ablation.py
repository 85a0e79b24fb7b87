import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from index.metrics import retrieval_metrics
from tests.fakes import FakeEncoder
from training.pretrain.config import override, small
from training.recipes.ablation import ROWS, AblationResult, ConstantActivity, as_markdown, listed, main


def test_every_row_is_a_setting_of_the_run() -> None:
    configs = [override(small(), row.settings) for row in ROWS]
    assert [len(config.losses.priors) for config in configs] == [3, 9, 9, 9, 9]
    assert [config.mask > 0 for config in configs] == [True, False, True, True, True]
    assert [config.losses.variance for config in configs] == [0, 0, 0, 1, 1]
    assert [config.losses.adversarial for config in configs] == [0, 0, 0, 0, 2]


def test_an_average_counts_every_window() -> None:
    encoder = FakeEncoder()
    windows = np.zeros((2, *encoder.info.config.window_size, 3), np.uint8)
    assert (ConstantActivity(encoder).encode(windows).activity == 1).all()


def test_guessing_stands_under_the_rows() -> None:
    found = retrieval_metrics([0, 0, 1])
    table = as_markdown([AblationResult("angles", 3, 1.0, found, found, 45.1)], "python", small(), num_signs=2)
    row, guessing = table.splitlines()[-2:]
    assert row == "| angles | 3 | 87.7 / 66.7 / 100.0 | 87.7 / 66.7 / 100.0 | 45.1 |"
    assert guessing == "| guessing | | 81.5 / 50.0 / 100.0 | 81.5 / 50.0 / 100.0 | |"  # (1 + 1 / log2 3) / 2


@pytest.mark.slow
def test_the_command_writes_the_table_and_keeps_the_rows_that_are_done(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    few = ["--steps", "2", "--signs", "3", "--signers", "1", "--set", "data.sources=generated:4"]
    table = tmp_path / "table.md"
    result = CliRunner().invoke(app, [str(tmp_path / "out"), *few, "--write", str(table), "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["name"] for row in rows] == [row.name for row in ROWS]
    assert all(row["steps"] == 2 and 0 < row["weighted"]["dcg"] <= 100 for row in rows)
    assert table.read_text().count("\n| ") == len(ROWS) + 2
    assert len(list(listed(tmp_path / "out" / "clips" / "queries"))) == 3
    again = CliRunner().invoke(app, [str(tmp_path / "out"), *few, "--json"])
    assert json.loads(again.stdout) == rows
