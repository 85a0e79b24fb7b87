"""What the commands of this package share: options, errors in one line, and a subcommand for every preset.

Nothing here needs torch: a recogniser names signs where torch is not installed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Protocol

import typer

from model.errors import ModelError
from training.errors import TrainingError

Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field; an unknown one lists all.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in the output folder, if any.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@contextmanager
def refusals(status: int = 1) -> Iterator[None]:
    """Print errors that are raised on purpose in one line, and exit with the status."""
    try:
        yield
    except (TrainingError, ModelError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(status) from error


class Train(Protocol):
    """Trains from a preset and prints the result."""

    def __call__(self, preset: str, assignments: list[str], *, resume: bool, as_json: bool) -> None:
        """Train; errors are printed by the caller."""


def add_presets(app: typer.Typer, presets: Mapping[str, str], train: Train) -> None:
    """Give an application a command that trains for every preset.

    Args:
        app: gets the commands.
        presets: names, with their help.
        train: called by the commands.
    """
    for name, about in presets.items():
        app.command(name, help=about)(_training_command(name, train))


class _Command(Protocol):
    def __call__(self, *, assignments: list[str] | None, resume: bool, as_json: bool) -> None: ...


def _training_command(preset: str, train: Train) -> _Command:
    def command(*, assignments: Assignments = None, resume: Resume = False, as_json: AsJson = False) -> None:
        with refusals():
            train(preset, assignments or [], resume=resume, as_json=as_json)

    return command
