"""Reads entries.csv or entries.jsonl, which list the entries of a dictionary: one row per clip.

A row that can't be used is reported with its line number and the reason, and stops nothing else. Exports of
spreadsheets are accepted: a byte order mark, UTF-16, semicolons or tabs between columns, decimal commas, more columns.
"""

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.errors import SourceError
from index.entries import Entry

CSV_NAME = "entries.csv"
JSONL_NAME = "entries.jsonl"
COLUMNS = ("id", "gloss", "video", "signer", "language", "tags", "start_s", "end_s", "url", "licence")
REQUIRED = ("gloss", "video")
MAX_CHARACTERS = 500
"""Of one value. A longer one is no label, or has an unclosed quotation mark."""
MAX_LINES = 20
"""Of one row, with line breaks inside of quotation marks; a longer one has an unclosed quotation mark."""
TAG_SEPARATOR = re.compile(r"[|;,]")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class RowError(ValueError):
    """Why a row can't be used."""


@dataclass(frozen=True)
class EntryRow:
    """One row of an entries file or of another table."""

    line: int
    """Number of its first line, from 1."""
    values: Mapping[str, object]
    """By column name, in lower case."""
    problem: str | None = None
    """Why it can't be read; `values` is empty then."""


def find_entries_file(folder: Path) -> Path | None:
    """The entries file of a folder; None if it has none.

    Raises:
        SourceError: there are two.
    """
    found = [path for name in (CSV_NAME, JSONL_NAME) if (path := folder / name).is_file()]
    if len(found) > 1:
        raise SourceError(f"{folder} holds {CSV_NAME} and {JSONL_NAME}; keep the one that is meant")
    return found[0] if found else None


def read_rows(path: Path) -> Iterator[EntryRow]:
    """The rows of an entries file.

    Raises:
        SourceError: it can't be read at all, or its header lacks a column.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error}") from error
    return read_table(content, path.name, REQUIRED) if path.suffix == ".csv" else _json_rows(content)


def parse_entry(values: Mapping[str, object]) -> Entry:
    """The entry of a row.

    Raises:
        RowError: a value can't be used.
    """
    gloss, video = _text(values, "gloss"), _text(values, "video")
    if gloss is None or video is None:
        raise RowError(f"it has no {'gloss' if gloss is None else 'video'}")
    start_s, end_s = _seconds(values, "start_s"), _seconds(values, "end_s")
    if end_s is not None and end_s <= (start_s or 0.0):
        raise RowError(f"end_s is {end_s:g}, start_s {start_s or 0:g}; end_s must be larger, or empty for the end")
    return Entry(
        id=_id(values) or PurePosixPath(video).as_posix(),
        gloss=gloss,
        video=video,
        signer=_text(values, "signer"),
        language=_text(values, "language"),
        tags=_tags(values.get("tags")),
        start_s=start_s or 0.0,
        end_s=end_s,
        url=_text(values, "url"),
        licence=_text(values, "licence"),
    )


def read_table(content: bytes, name: str, required: Sequence[str]) -> Iterator[EntryRow]:
    """The rows of a CSV table as any spreadsheet exports it.

    Args:
        content: of the file.
        name: of the file, for messages.
        required: names of required columns, in lower case.

    Raises:
        SourceError: a required column is missing.
    """
    lines = list(io.StringIO(_decoded(content), newline=""))  # str.splitlines would split at other characters too
    header = lines[0] if lines else ""
    delimiter = max(",;\t", key=header.count)
    columns = [column.strip().lower() for column in next(csv.reader([header], delimiter=delimiter), [])]
    if missing := [column for column in required if column not in columns]:
        raise SourceError(
            f"{name} has no column {' and no column '.join(missing)}; its first line must name the columns,"
            f" of which {' and '.join(required)} are needed; seen: {', '.join(columns)[:200] or 'nothing'}"
        )
    return _table_rows(lines, columns, delimiter)


def _table_rows(lines: Sequence[str], columns: Sequence[str], delimiter: str) -> Iterator[EntryRow]:
    start = 1
    while start < len(lines):
        # A row may span several lines. After one that can't be parsed, reading continues at its second line.
        reader = csv.reader(lines[start : start + MAX_LINES], delimiter=delimiter, strict=True)
        try:
            cells = next(reader, [])
            num_lines, problem = reader.line_num, _cells_problem(cells, columns)
        except csv.Error as error:
            cells, num_lines, problem = [], 1, f"it is not well-formed CSV: {error}"
        if problem:
            yield EntryRow(start + 1, {}, problem)
        elif any(cell.strip() for cell in cells):
            yield EntryRow(start + 1, dict(zip(columns, cells, strict=False)))
        start += num_lines


def _cells_problem(cells: Sequence[str], columns: Sequence[str]) -> str | None:
    if any(cell.strip() for cell in cells[len(columns) :]):
        return f"it has {len(cells)} values for {len(columns)} columns; put values with separators into quotation marks"
    return None


def _json_rows(content: bytes) -> Iterator[EntryRow]:
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line.decode())
        except UnicodeDecodeError:
            yield EntryRow(number, {}, "it is not valid UTF-8")
        except (ValueError, RecursionError) as error:
            yield EntryRow(number, {}, f"it is not JSON: {error}")
        else:
            if isinstance(values, dict):
                yield EntryRow(number, {name.strip().lower(): value for name, value in values.items()})
            else:
                yield EntryRow(number, {}, "it is not a JSON object")


def _decoded(content: bytes) -> str:
    """The text; bytes that are not UTF-8 become lone surrogates, so that only their rows are lost."""
    if content.startswith(UTF_16):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="surrogateescape")


def holds_control_characters(text: str) -> bool:
    """Whether a text holds control characters, such as line breaks."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def _text(values: Mapping[str, object], column: str) -> str | None:
    """A value as text in Unicode's composed form; None if it is empty."""
    value = values.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowError(f"{column} is {json.dumps(value)[:60]}; it must be text")
    text = unicodedata.normalize("NFC", str(value)).strip()
    if len(text) > MAX_CHARACTERS:
        raise RowError(f"{column} has {len(text)} characters; at most {MAX_CHARACTERS} are taken")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RowError(f"{column} is not valid UTF-8; save the file as UTF-8")
    if holds_control_characters(text):
        raise RowError(f"{column} holds a control character or a line break: {text[:60]!r}")
    return text or None


def _id(values: Mapping[str, object]) -> str | None:
    """The id. It becomes part of a URL, of which browsers and proxies rewrite empty, `.` and `..` segments."""
    identity = _text(values, "id")
    if identity is not None and not {"", ".", ".."}.isdisjoint(identity.split("/")):
        raise RowError(
            f"the id {identity[:60]!r} can't be part of an address: between / there must be more than nothing, . or .."
        )
    return identity


def _seconds(values: Mapping[str, object], column: str) -> float | None:
    value = values.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        seconds = float(value.replace(",", ".") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        raise RowError(f"{column} is {str(value)[:60]!r}; it must be a number of seconds") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise RowError(f"{column} is {seconds:g}; it must be 0 or more seconds")
    return seconds


def _tags(value: object) -> tuple[str, ...]:
    """Tags from a list, or from text with |, ; or , between them; each once, in order."""
    parts: Iterable[object] = value if isinstance(value, list) else TAG_SEPARATOR.split(str(value or ""))
    tags = (_text({"tags": part}, "tags") for part in parts)
    return tuple(dict.fromkeys(tag for tag in tags if tag))
