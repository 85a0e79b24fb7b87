"""What recipes share: options, Markdown tables, and how a report is printed and written."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from training.atomic import write_atomically

Assets = Annotated[Path | None, typer.Option(help="Bodies of people; mannequins if left out.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field of every run; may be repeated.")
]
Write = Annotated[Path | None, typer.Option(help="Write the report to this Markdown file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of the report.")]


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["|" + "|".join(f" {cell} " if cell != "" else " " for cell in cells) + "|" for cells in (columns, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(columns), *lines[1:]])


def markdown(*paragraphs: str) -> str:
    """Paragraphs with an empty line between them."""
    return "\n\n".join(paragraphs) + "\n"


def options(assignments: Sequence[str] | None, assets: Path | None) -> str:
    """The options of a command that every recipe has, as they are repeated in its report; folders are left out."""
    return "".join(f" --set {one}" for one in assignments or ()) + (" --assets BODIES" if assets else "")


def publish(report: str, figures: object, write: Path | None, *, as_json: bool) -> None:
    """Write a report where a file is given, and print it or its figures."""
    if write is not None:
        write_atomically(write, report)
    typer.echo(json.dumps(figures) if as_json else report)
