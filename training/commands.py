"""What the commands of this package have in common: a refusal in one line, and a subcommand for every preset.

Nothing here needs torch: a recogniser names signs where there is none.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Protocol

import typer

from model.errors import ModelError
from training.errors import TrainingError


@contextmanager
def refusals(status: int = 1) -> Iterator[None]:
    """Say what is wrong in a line and end with the status, wherever the block raises what is raised on purpose."""
    try:
        yield
    except (TrainingError, ModelError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(status) from error


class Train(Protocol):
    """Trains from a preset and says what came of it."""

    def __call__(self, preset: str, assignments: list[str], *, resume: bool, as_json: bool) -> None:
        """Do it; what is wrong may be raised."""


def add_presets(app: typer.Typer, presets: Mapping[str, str], train: Train) -> None:
    """Give an application a command that trains for every preset.

    Args:
        app: gets the commands.
        presets: names, with what their help says.
        train: does it.
    """
    for name, about in presets.items():
        app.command(name, help=about)(_training_command(name, train))


class _Command(Protocol):
    def __call__(self, *, assignments: list[str] | None, resume: bool, as_json: bool) -> None: ...


def _training_command(preset: str, train: Train) -> _Command:
    def command(
        *,
        assignments: Annotated[
            list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field; an unknown one lists all.")
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on with the run in the output folder, if any.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    ) -> None:
        with refusals():
            train(preset, assignments or [], resume=resume, as_json=as_json)

    return command
