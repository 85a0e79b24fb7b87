"""What the commands of the package share."""

import pytest
import typer
from typer.testing import CliRunner

from model.errors import ModelError
from training.commands import add_presets, refusals
from training.errors import ConfigError

Call = tuple[str, list[str], bool, bool]


def application(calls: list[Call]) -> typer.Typer:
    app = typer.Typer()

    def train(preset: str, assignments: list[str], *, resume: bool, as_json: bool) -> None:
        if preset == "impossible":
            raise ConfigError("steps is 0; it must be at least 1")
        calls.append((preset, assignments, resume, as_json))

    add_presets(app, {"small": "For a laptop.", "impossible": "For nobody."}, train)
    return app


def test_every_preset_is_a_command_with_its_own_help() -> None:
    calls: list[Call] = []
    app = application(calls)
    assert "For a laptop." in CliRunner().invoke(app, ["small", "--help"]).output
    done = CliRunner().invoke(app, ["small", "--set", "steps=3", "--set", "seed=1", "--resume", "--json"])
    assert (done.exit_code, calls) == (0, [("small", ["steps=3", "seed=1"], True, True)])


def test_what_training_refuses_is_said_in_a_line() -> None:
    refused = CliRunner().invoke(application([]), ["impossible"])
    assert refused.exit_code == 1
    assert refused.stderr == "error: steps is 0; it must be at least 1\n"


@pytest.mark.parametrize("error", [ConfigError("one"), ModelError("two")])
def test_the_status_is_chosen_and_other_errors_are_defects(error: Exception) -> None:
    with pytest.raises(typer.Exit) as ended, refusals(status=2):
        raise error
    assert ended.value.exit_code == 2
    with pytest.raises(ZeroDivisionError), refusals():
        raise ZeroDivisionError
