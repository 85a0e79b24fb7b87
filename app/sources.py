"""Where dictionary videos come from: a plain folder.

The rule for glosses: a video directly in the folder has its file name, without the suffix, as gloss; a video in a
sub-folder has the name of the folder it lies in. So `house.mp4` is one video of house, and `house/anna.mp4` and
`house/ben.mp4` are two.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import SourceError
from app.progress import Skipped
from index.dictionary import Entry

VIDEO_SUFFIX = re.compile(r"\.(3gp|avi|flv|gif|m4v|mkv|mov|mp4|mpe?g|mts|ogv|ts|webm|wmv)", re.IGNORECASE)


@dataclass(frozen=True)
class SourceClip:
    """A dictionary entry and the file that shows it."""

    entry: Entry
    path: Path


@dataclass(frozen=True)
class Scan:
    """What a folder holds."""

    clips: tuple[SourceClip, ...]
    """In the order of their paths."""
    skipped: tuple[Skipped, ...]
    """Videos that are there and can't be taken. Hidden files and files of other kinds are not mentioned."""


def scan(folder: Path) -> Scan:
    """List the videos of a plain folder, sub-folders included.

    Links to files are followed as long as they stay inside the folder; links to folders are not followed.

    Raises:
        SourceError: it is no folder that can be read.
    """
    try:
        root = folder.resolve(strict=True)
        paths = sorted(_videos(root))
    except OSError as error:
        raise SourceError(f"the dictionary folder {folder} can't be read: {error}") from error
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
    """Why a path of the folder is not taken, or None where it is."""
    if path.is_dir():
        return "it is a link to a folder; put the folder itself here"
    try:
        target = path.resolve(strict=True)
    except OSError:
        return "it is a link to nothing"
    if not target.is_relative_to(root):
        return "it is a link that leads out of the folder; put the file itself here"
    if not target.is_file():
        return "it is not a file"
    if not _is_text(name):
        return "its name is not valid UTF-8; rename it"
    return None if gloss_of(root, path) else "its name leaves no gloss; rename it"


def _is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; Python keeps other bytes of a file name as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
