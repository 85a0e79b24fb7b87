"""Scans a folder of dictionary videos: one with an entries file, or a plain one.

A folder with entries.csv or entries.jsonl holds what that file lists, see `entries_file`. In a plain folder the path
of a video gives its gloss: the file name without suffix for a video directly in the folder, the name of the sub-folder
for one in a sub-folder. So `house.mp4` is one video of house, and `house/anna.mp4` and
`house/ben.mp4` are two.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from app.errors import SourceError
from app.indexing import entries_file
from app.indexing.entries_file import RowError
from app.progress import SkippedVideo
from index.entries import Entry

VIDEO_SUFFIX = re.compile(r"\.(3gp|avi|flv|gif|m4v|mkv|mov|mp4|mpe?g|mts|ogv|ts|webm|wmv)", re.IGNORECASE)


@dataclass(frozen=True)
class SourceClip:
    """A dictionary entry and the file that shows it."""

    entry: Entry
    path: Path
    line: int | None = None
    """Of the entries file, if there is one."""


@dataclass(frozen=True)
class FolderScan:
    """The content of a dictionary folder."""

    clips: tuple[SourceClip, ...]
    """In the order of the entries file, or of their paths."""
    skipped: tuple[SkippedVideo, ...]
    """Rows or videos that can't be used. Hidden files and other kinds of files are not mentioned."""


def scan(folder: Path) -> FolderScan:
    """List the clips of a dictionary folder.

    Links to files inside the folder are followed; links to folders are not.

    Raises:
        SourceError: the folder can't be read, or its entries file can't be used at all.
    """
    try:
        root = folder.resolve(strict=True)
        listing = entries_file.find_entries_file(root)
        paths = [] if listing else sorted(_video_paths(root))
    except (OSError, RuntimeError) as error:
        raise SourceError(f"the dictionary folder {folder} can't be read: {error}") from error
    return _scan_listed(root, listing) if listing else _scan_plain(root, paths)


def _scan_listed(root: Path, listing: Path) -> FolderScan:
    """The entries of an entries file whose videos exist."""
    clips, skipped = [], []
    line_of_id: dict[str, int] = {}
    for row in entries_file.read_rows(listing):
        try:
            if row.problem:
                raise RowError(row.problem)
            entry = entries_file.parse_entry(row.values)
            if entry.id in line_of_id:
                raise RowError(f"the id {entry.id!r} is that of line {line_of_id[entry.id]} already; ids must differ")
            path = _resolve_listed(root, entry.video)
        except RowError as error:
            video = str(row.values.get("video") or "").encode(errors="replace").decode()
            skipped.append(SkippedVideo(video[:200], str(error), row.line))
        else:
            line_of_id[entry.id] = row.line
            clips.append(SourceClip(replace(entry, video=path.relative_to(root).as_posix()), path, row.line))
    return FolderScan(tuple(clips), tuple(skipped))


def _resolve_listed(root: Path, video: str) -> Path:
    """The path of a listed video.

    Raises:
        RowError: it is outside of the folder, or does not exist.
    """
    name = PurePosixPath(video)
    if name.is_absolute() or ".." in name.parts:
        raise RowError(f"the path {video!r} leads out of the folder; give it from the folder on")
    # macOS stores accents decomposed (NFD), tables mostly have them composed (NFC).
    spellings = [root / unicodedata.normalize(form, video) for form in ("NFC", "NFD")]
    reasons = [_why_unusable(root, path) for path in spellings]
    if None not in reasons:
        hint = "; put / between folders" if "\\" in video else ""
        raise RowError(f"{reasons[0]}: {video}{hint}")
    return spellings[reasons.index(None)]


def _scan_plain(root: Path, paths: list[Path]) -> FolderScan:
    """The videos of a folder without an entries file."""
    clips, skipped = [], []
    for path in paths:
        name = path.relative_to(root).as_posix()
        if reason := _why_skipped(root, path, name):
            skipped.append(SkippedVideo(name.encode(errors="replace").decode(), reason))
        else:
            clips.append(SourceClip(Entry(id=name, gloss=gloss_of(root, path), video=name), path))
    return FolderScan(tuple(clips), tuple(skipped))


def gloss_of(root: Path, path: Path) -> str:
    """The gloss that the path of a video stands for, in Unicode's composed form."""
    name = path.stem if path.parent == root else path.parent.name
    return unicodedata.normalize("NFC", name).strip()


def _video_paths(folder: Path) -> Iterator[Path]:
    """All files that are not hidden and have the suffix of a video, and links to folders."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _video_paths(path)
        elif path.is_dir() or VIDEO_SUFFIX.fullmatch(path.suffix):
            yield path


def _why_skipped(root: Path, path: Path, name: str) -> str | None:
    """Why a path of a plain folder is skipped; None if it is not."""
    if path.is_dir():
        return "it is a link to a folder; put the folder itself here"
    if reason := _why_unusable(root, path):
        return reason
    if not _is_text(name):
        return "its name is not valid UTF-8; rename it"
    if entries_file.holds_control_characters(name):
        return "its name holds a control character or a line break; rename it"
    return None if gloss_of(root, path) else "its name leaves no gloss; rename it"


def _why_unusable(root: Path, path: Path) -> str | None:
    """Why a path is not a file inside the folder; None if it is."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a link that leads to itself
        return "there is no such file, or it is a link that leads nowhere"
    if not target.is_relative_to(root):
        return "it is a link that leads out of the folder; put the file itself here"
    return None if target.is_file() else "it is not a file"


def _is_text(name: str) -> bool:
    """Whether a file name is valid UTF-8; Python represents other bytes as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
