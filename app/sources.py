"""Where dictionary videos come from: a folder with a list of its entries, or a plain one.

A folder with entries.csv or entries.jsonl holds what that file lists, see `entries_file`. In a plain folder the place
of a video gives its gloss: directly in the folder it has its file name, without the suffix, as gloss; in a sub-folder
it has the name of the folder it lies in. So `house.mp4` is one video of house, and `house/anna.mp4` and
`house/ben.mp4` are two.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from app import entries_file
from app.entries_file import RowError
from app.errors import SourceError
from app.progress import Skipped
from index.entries import Entry

VIDEO_SUFFIX = re.compile(r"\.(3gp|avi|flv|gif|m4v|mkv|mov|mp4|mpe?g|mts|ogv|ts|webm|wmv)", re.IGNORECASE)


@dataclass(frozen=True)
class SourceClip:
    """A dictionary entry and the file that shows it."""

    entry: Entry
    path: Path
    line: int | None = None
    """Of the entries file, where it is listed in one."""


@dataclass(frozen=True)
class Scan:
    """What a folder holds."""

    clips: tuple[SourceClip, ...]
    """In the order of the entries file, or of their paths."""
    skipped: tuple[Skipped, ...]
    """Rows, or videos that are there, that can't be taken. Hidden files and other kinds of files are not mentioned."""


def scan(folder: Path) -> Scan:
    """List the clips of a dictionary folder.

    Links to files are followed as long as they stay inside the folder; links to folders are not followed.

    Raises:
        SourceError: it is no folder that can be read, or its entries file can't be used at all.
    """
    try:
        root = folder.resolve(strict=True)
        listing = entries_file.find(root)
        paths = [] if listing else sorted(_videos(root))
    except (OSError, RuntimeError) as error:
        raise SourceError(f"the dictionary folder {folder} can't be read: {error}") from error
    return _listed(root, listing) if listing else _plain(root, paths)


def _listed(root: Path, listing: Path) -> Scan:
    """What the entries file lists and the folder holds."""
    clips, skipped = [], []
    line_of_id: dict[str, int] = {}
    for row in entries_file.read(listing):
        try:
            if row.problem:
                raise RowError(row.problem)
            entry = entries_file.entry_of(row.values)
            if entry.id in line_of_id:
                raise RowError(f"the id {entry.id!r} is that of line {line_of_id[entry.id]} already; ids must differ")
            path = _listed_video(root, entry.video)
        except RowError as error:
            video = str(row.values.get("video") or "").encode(errors="replace").decode()
            skipped.append(Skipped(video[:200], str(error), row.line))
        else:
            line_of_id[entry.id] = row.line
            clips.append(SourceClip(replace(entry, video=path.relative_to(root).as_posix()), path, row.line))
    return Scan(tuple(clips), tuple(skipped))


def _listed_video(root: Path, video: str) -> Path:
    """Where a listed video lies.

    Raises:
        RowError: outside, or nowhere.
    """
    name = PurePosixPath(video)
    if name.is_absolute() or ".." in name.parts:
        raise RowError(f"the path {video!r} leads out of the folder; give it from the folder on")
    # Archives made on a Mac spell accents in two characters; tables mostly in one.
    spellings = [root / unicodedata.normalize(form, video) for form in ("NFC", "NFD")]
    reasons = [_unusable(root, path) for path in spellings]
    if None not in reasons:
        hint = "; put / between folders" if "\\" in video else ""
        raise RowError(f"{reasons[0]}: {video}{hint}")
    return spellings[reasons.index(None)]


def _plain(root: Path, paths: list[Path]) -> Scan:
    """What a folder without an entries file holds."""
    clips, skipped = [], []
    for path in paths:
        name = path.relative_to(root).as_posix()
        if reason := _refusal(root, path, name):
            skipped.append(Skipped(name.encode(errors="replace").decode(), reason))
        else:
            clips.append(SourceClip(Entry(id=name, gloss=gloss_of(root, path), video=name), path))
    return Scan(tuple(clips), tuple(skipped))


def gloss_of(root: Path, path: Path) -> str:
    """The gloss that a video's place in the folder stands for, in Unicode's composed form."""
    name = path.stem if path.parent == root else path.parent.name
    return unicodedata.normalize("NFC", name).strip()


def _videos(folder: Path) -> Iterator[Path]:
    """Everything that is not hidden and looks like a video, and links to folders."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _videos(path)
        elif path.is_dir() or VIDEO_SUFFIX.fullmatch(path.suffix):
            yield path


def _refusal(root: Path, path: Path, name: str) -> str | None:
    """Why a path of a plain folder is not taken, or None where it is."""
    if path.is_dir():
        return "it is a link to a folder; put the folder itself here"
    if reason := _unusable(root, path):
        return reason
    if not _is_text(name):
        return "its name is not valid UTF-8; rename it"
    if entries_file.holds_control_characters(name):
        return "its name holds a control character or a line break; rename it"
    return None if gloss_of(root, path) else "its name leaves no gloss; rename it"


def _unusable(root: Path, path: Path) -> str | None:
    """Why a path is not a file inside the folder, or None where it is."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a link that leads to itself
        return "there is no such file, or it is a link that leads nowhere"
    if not target.is_relative_to(root):
        return "it is a link that leads out of the folder; put the file itself here"
    return None if target.is_file() else "it is not a file"


def _is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; Python keeps other bytes of a file name as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
