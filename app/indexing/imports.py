"""Writes entries files for published data sets: WLASL, ASL Citizen, a Signbank's CSV export.

Each reader knows the layout of one data set, and yields its clips and what it leaves out, with the reason. Videos are
neither changed nor copied: rows have their paths relative to the entries file.
"""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from app.errors import SourceError
from app.indexing import entries_file
from app.indexing.entries_file import COLUMNS, EntryRow
from app.indexing.sources import VIDEO_SUFFIX
from app.progress import SkippedVideo

ASL = "ase"
"""ISO 639-3 of American Sign Language."""
SIGNBANK_ID = "signbank id"
SIGNBANK_GLOSS = re.compile(r"annotation id gloss\b.*")
SIGNBANK_LANGUAGES = ("sign languages", "signlanguages")
SIGNBANK_TAGS = ("semantic field", "tags")
SIGNBANK_VIDEO = re.compile(r".*-(\d+)")
"""A Signbank keeps the video of a gloss as `<gloss>-<id>.mp4`; other perspectives have more behind the id."""


@dataclass(frozen=True)
class DatasetClip:
    """One clip of a data set."""

    path: Path
    values: Mapping[str, str]
    """The other columns of its row in the entries file."""


DatasetReader = Callable[[Path], Iterator[DatasetClip | SkippedVideo]]


@dataclass(frozen=True)
class ImportResult:
    """Counts of a written entries file, and what was left out of it."""

    num_entries: int
    num_signs: int
    skipped: tuple[SkippedVideo, ...]


def wlasl(source: Path) -> Iterator[DatasetClip | SkippedVideo]:
    """WLASL: `WLASL_v0.3.json` beside `videos/<video_id>.mp4`.

    The frame numbers in the JSON refer to the original downloads; the files in videos/ are already trimmed to them.

    Raises:
        SourceError: there is no such JSON, or it is of another layout.
    """
    listing = max(source.glob("WLASL_v*.json"), default=None)
    if listing is None:
        raise SourceError(f"{source} has no WLASL_v*.json; give the folder that holds it and videos/")
    for gloss, instance in _wlasl_instances(listing):
        video_id = str(instance.get("video_id", ""))
        path = source / "videos" / f"{video_id}.mp4"
        if not path.is_file():
            yield SkippedVideo(
                f"videos/{video_id}.mp4", "there is no such file; many WLASL videos are gone from the web"
            )
            continue
        values = {
            "id": f"wlasl-{video_id}",
            "gloss": gloss,
            "signer": f"wlasl-{instance['signer_id']}" if "signer_id" in instance else "",
            "language": ASL,
            "tags": str(instance.get("split", "")),
            "url": str(instance.get("url", "")),
            "licence": "C-UDA-1.0",
        }
        yield DatasetClip(path, values)


def _wlasl_instances(listing: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each gloss with each of its instances."""
    try:
        for sign in json.loads(listing.read_bytes()):
            for instance in sign["instances"]:
                yield sign["gloss"], instance
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceError(
            f"{listing} is not WLASL's list of glosses with their instances: {type(error).__name__} {error}"
        ) from error


def asl_citizen(source: Path) -> Iterator[DatasetClip | SkippedVideo]:
    """ASL Citizen: `splits/train.csv`, `val.csv`, `test.csv` beside `videos/`. Glosses come from the tables only.

    Raises:
        SourceError: there is no such table, or it is of another layout.
    """
    tables = sorted((source / "splits").glob("*.csv"))
    if not tables:
        raise SourceError(f"{source} has no splits/*.csv; give the folder that holds splits/ and videos/")
    for table in tables:
        for row in _table(table, ("participant id", "video file", "gloss")):
            name = _cell(row, "video file")
            path = source / "videos" / name
            if row.problem or not name or not path.is_file():
                yield SkippedVideo(f"videos/{name}", row.problem or "there is no such file", row.line)
                continue
            values = {
                "id": f"aslcitizen-{path.stem}",
                "gloss": _cell(row, "gloss"),
                "signer": _cell(row, "participant id"),
                "language": ASL,
                "tags": table.stem,
            }
            yield DatasetClip(path, values)


def signbank(source: Path) -> Iterator[DatasetClip | SkippedVideo]:
    """A Signbank's CSV export with its videos anywhere below the same folder, named `<gloss>-<id>.mp4`.

    The gloss is that of the first column `Annotation ID Gloss (...)`; semantic fields and tags become tags.

    Raises:
        SourceError: there is not exactly one table, or it is of another layout.
    """
    tables = [path for path in sorted(source.glob("*.csv")) if path.name != entries_file.CSV_NAME]
    if len(tables) != 1:
        raise SourceError(f"{source} holds {len(tables)} CSV files; it should hold one, the export")
    videos = _signbank_videos(source)
    for row in _table(tables[0], (SIGNBANK_ID,)):
        identity, gloss = _cell(row, SIGNBANK_ID), _signbank_gloss(row)
        path = videos.get(identity)
        if reason := row.problem or (
            "it has no gloss" if not gloss else "" if path else f"no video ends in -{identity}"
        ):
            yield SkippedVideo(gloss or identity, reason, row.line)
        elif path is not None:
            values = {
                "id": f"signbank-{identity}",
                "gloss": gloss,
                "language": next((value for name in SIGNBANK_LANGUAGES if (value := _cell(row, name))), ""),
                "tags": "|".join(value for name in SIGNBANK_TAGS if (value := _cell(row, name))).replace(",", "|"),
            }
            yield DatasetClip(path, values)


def _signbank_videos(source: Path) -> Mapping[str, Path]:
    """The main video of each gloss id."""
    paths = sorted(path for path in source.rglob("*") if VIDEO_SUFFIX.fullmatch(path.suffix))
    return {found[1]: path for path in paths if (found := SIGNBANK_VIDEO.fullmatch(path.stem))}


def _signbank_gloss(row: EntryRow) -> str:
    """The gloss of the first language that has one."""
    glosses = (_cell(row, column) for column in row.values if SIGNBANK_GLOSS.fullmatch(column))
    return next((gloss for gloss in glosses if gloss), "")


class DatasetLayout(StrEnum):
    """Layouts of data sets that can be imported."""

    WLASL = "wlasl"
    ASL_CITIZEN = "asl-citizen"
    SIGNBANK = "signbank"


READERS: Mapping[DatasetLayout, DatasetReader] = {
    DatasetLayout.WLASL: wlasl,
    DatasetLayout.ASL_CITIZEN: asl_citizen,
    DatasetLayout.SIGNBANK: signbank,
}


def write_entries(reader: DatasetReader, source: Path, target: Path) -> ImportResult:
    """Write the entries file of a data set, whole or not at all.

    Args:
        reader: for its layout.
        source: its folder.
        target: a .csv or .jsonl in a folder that contains the videos, such as `entries.csv` in the data set's folder.

    Raises:
        SourceError: the data set is of another layout, the target can't be used, or there is nothing to write.
    """
    if target.suffix not in (".csv", ".jsonl"):
        raise SourceError(f"{target} is neither .csv nor .jsonl; the name says which is written")
    folder = target.parent.resolve()
    rows, skipped = [], []
    for clip in reader(source.resolve()):
        if isinstance(clip, SkippedVideo):
            skipped.append(clip)
        elif not clip.path.is_relative_to(folder):
            raise SourceError(
                f"the videos lie in {clip.path.parent}, not below {folder}; write to {source / entries_file.CSV_NAME}"
            )
        else:
            rows.append({**clip.values, "video": clip.path.relative_to(folder).as_posix()})
    if not rows:
        first = f"; first: {skipped[0].video}: {skipped[0].reason}" if skipped else ""
        raise SourceError(f"{source} gave no entry, {len(skipped)} left out{first}")
    _write(rows, target)
    return ImportResult(len(rows), len({row["gloss"] for row in rows}), tuple(skipped))


def _write(rows: Sequence[Mapping[str, str]], target: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            if target.suffix == ".csv":
                table = csv.DictWriter(file, COLUMNS, restval="")
                table.writeheader()
                table.writerows(rows)
            else:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SourceError(f"{target} can't be written: {error}") from error


def _table(path: Path, required: Sequence[str]) -> Iterator[EntryRow]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error}") from error
    return entries_file.read_table(content, path.name, required)


def _cell(row: EntryRow, column: str) -> str:
    return str(row.values.get(column) or "").strip()
