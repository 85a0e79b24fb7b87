"""The description of the HTTP API: `python -m app.http.openapi`. The repository keeps it in docs/openapi.json."""

import json
from pathlib import Path
from typing import Annotated

import typer

from app.http.application import create_app
from app.settings import Settings


def described() -> str:
    """The OpenAPI document of all routes, as JSON."""
    return json.dumps(create_app(Settings()).openapi(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main(*, write: Annotated[Path | None, typer.Option(help="Write it to this file instead.")] = None) -> None:
    """Print the OpenAPI document."""
    if write is None:
        typer.echo(described(), nl=False)
    else:
        write.write_text(described(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
