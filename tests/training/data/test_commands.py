"""The commands of the data path are one application."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from training.data.__main__ import app


@pytest.mark.parametrize("command", ["pose", "priors measure", "priors errors", "priors show", "shards leaks"])
def test_every_command_is_there_and_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0, result.output


def test_a_folder_without_videos_is_refused_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["pose", str(tmp_path), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert f"error: there is no video in {tmp_path}" in result.output
