"""All settings as tables: for docs/operations.md, and with the values in use for an operator."""

import re
from collections.abc import Iterator
from pathlib import Path

from app.settings import Settings

START, END = "<!-- settings: `make settings` writes this table from app/settings.py -->", "<!-- end of settings -->"
"""What stands around the table in a document."""


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{Settings.model_config.get('env_prefix', '')}{name.upper()}"


def values_in_use(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Variable, value and whether it was set, of every setting. Secrets are masked."""
    for name in Settings.model_fields:
        value = getattr(settings, name)
        yield variable(name), "not set" if value is None else str(value), name in settings.model_fields_set


def markdown() -> str:
    """The table of variables, defaults and meanings."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "not set" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{variable(name)}` | {default} | {field.description} |")
    return "\n".join(rows)


def with_table(document: str) -> str:
    """A document with the table of today between its markers."""
    return re.sub(
        f"{re.escape(START)}.*{re.escape(END)}", lambda _: f"{START}\n\n{markdown()}\n\n{END}", document, flags=re.S
    )


def write_table(path: Path) -> None:
    """Bring the table in a document up to date."""
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
