"""Drawn pairs on the disk, a file each, so that several runs learn from what was drawn once.

000123.npz      by clip: every array of `Moments`; and which movement it is
programme.json  what they are pairs of; a folder holds pairs of one programme
"""

import dataclasses
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from training.contrast.moments import Moments, arrays
from training.contrast.theatre import NUM_PERFORMERS, Duet, Movement, Programme
from training.data.shard_files import write_whole
from training.errors import DataError

T = TypeVar("T")
Content = Mapping[str, Any]
PROGRAMME = "programme.json"


def open_folder(folder: Path, programme: Programme) -> set[int]:
    """Make a folder of pairs, or take one up.

    Returns:
        the numbers of the pairs that it has.

    Raises:
        DataError: it holds pairs of another programme.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = json.dumps(dataclasses.asdict(programme), default=str, indent=1)
    file = folder / PROGRAMME
    if not file.exists():
        write_whole(file, told)
    elif file.read_text(encoding="utf-8") != told:
        raise DataError(
            f"{folder} holds pairs of another programme, see {file}; give the same options, or another folder"
        )
    for part in folder.glob(".*.part"):
        part.unlink()
    return {int(file.stem) for file in folder.glob("*.npz")}


def write_duet(folder: Path, duet: Duet) -> None:
    """Keep a pair; its file is whole or not there.

    Raises:
        DataError: it can't be written, as where the disk is full; what was kept before stays.
    """
    content = {
        f"{part}/{name}": values for part, clip in enumerate(duet.performances) for name, values in arrays(clip).items()
    }
    part = folder / f".{duet.number:06d}.part"
    try:
        with part.open("wb") as file:
            np.savez(file, name=duet.movement.name, mirrored=duet.movement.mirrored, **content)  # type: ignore[arg-type]
        part.replace(folder / f"{duet.number:06d}.npz")
    except OSError as error:
        raise DataError(
            f"pair {duet.number} can't be written into {folder}: {error}; make room and run the same again"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def find_duets(folder: Path, wanted: Callable[[Movement], bool] = lambda movement: True) -> list[Path]:
    """The files of a folder's pairs, by number, of movements that are wanted.

    Raises:
        DataError: there is none, or a file is damaged.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise DataError(f"{folder} holds no drawn pairs; `python -m training.contrast draw {folder}` draws some")
    return [file for file in files if wanted(read(file, movement_in))]


def shape_of(file: Path) -> tuple[int, int]:
    """Moments of each clip of a pair, and the side of their frames.

    Raises:
        DataError: the file is damaged.
    """
    shape = read(file, lambda content: content["0/frames"].shape)
    return shape[0], shape[2]


def read_duets(files: Sequence[Path]) -> Iterator[Duet]:
    """Pairs out of their files.

    Raises:
        DataError: a file is damaged.
    """
    for file in files:
        yield Duet(int(file.stem), *read(file, lambda content: (movement_in(content), clips_in(content))))


def movement_in(content: Content) -> Movement:
    """What a pair's two clips show."""
    return Movement(str(content["name"]), bool(content["mirrored"]))


def clips_in(content: Content) -> tuple[Moments, Moments]:
    """A pair's two clips."""
    names = [one.name for one in fields(Moments)]
    first, second = (Moments(**{name: content[f"{part}/{name}"] for name in names}) for part in range(NUM_PERFORMERS))
    return first, second


def read(file: Path, wanted: Callable[[Content], T]) -> T:
    """Something out of a pair's file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with file.open("rb") as opened, np.load(opened) as content:
            return wanted(content)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} is no drawn pair: {error}; delete it and draw again") from error
