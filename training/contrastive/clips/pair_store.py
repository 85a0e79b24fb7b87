"""Rendered pairs on the disk, a file each, so that several runs train on the same pairs.

000123.npz      by clip: every array of `ClipWindows`; and the movement
programme.json  the config of the renderer; a folder holds pairs of one config
"""

import dataclasses
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from training.atomic import write_atomically
from training.contrastive.clips.pair_renderer import NUM_PERFORMERS, Movement, PairRendererConfig, PositivePair
from training.contrastive.clips.windows import ClipWindows, arrays
from training.errors import DataError

T = TypeVar("T")
Content = Mapping[str, Any]
CONFIG_FILE = "programme.json"
NAMES_IN_FILE = {"num_windows": "num_moments", "motion_variation": "manners"}
"""Fields of the config that have other names in the file, from earlier versions."""


def open_folder(folder: Path, config: PairRendererConfig) -> set[int]:
    """Make a folder of pairs, or reopen one.

    Returns:
        The numbers of the pairs that it has.

    Raises:
        DataError: it holds pairs of another config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {NAMES_IN_FILE.get(name, name): value for name, value in dataclasses.asdict(config).items()}
    text = json.dumps(settings, default=str, indent=1)
    file = folder / CONFIG_FILE
    if not file.exists():
        write_atomically(file, text)
    elif file.read_text(encoding="utf-8") != text:
        raise DataError(f"{folder} holds pairs of other settings, see {file}; give the same options, or another folder")
    for part in folder.glob(".*.part"):
        part.unlink()
    return {int(file.stem) for file in folder.glob("*.npz")}


def write_pair(folder: Path, pair: PositivePair) -> None:
    """Write a pair; its file is complete or does not exist.

    Raises:
        DataError: it can't be written, as when the disk is full; earlier files stay.
    """
    content = {
        f"{number}/{name}": values for number, clip in enumerate(pair.clips) for name, values in arrays(clip).items()
    }
    part = folder / f".{pair.number:06d}.part"
    try:
        with part.open("wb") as file:
            np.savez(file, name=pair.movement.name, mirrored=pair.movement.mirrored, **content)  # type: ignore[arg-type]
        part.replace(folder / f"{pair.number:06d}.npz")
    except OSError as error:
        raise DataError(
            f"pair {pair.number} can't be written into {folder}: {error}; make room and run the same again"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def find_pairs(folder: Path, wanted: Callable[[Movement], bool] = lambda movement: True) -> list[Path]:
    """The files of a folder's pairs in the order of their numbers, of the movements that are wanted.

    Raises:
        DataError: there is none, or a file is damaged.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise DataError(
            f"{folder} holds no rendered pairs; render some with `python -m training.contrastive render-pairs {folder}`"
        )
    return [file for file in files if wanted(read(file, movement_in))]


def shape_of(file: Path) -> tuple[int, int]:
    """Windows of each clip of a pair, and the side of their frames.

    Raises:
        DataError: the file is damaged.
    """
    shape = read(file, lambda content: content["0/frames"].shape)
    return shape[0], shape[2]


def read_pairs(files: Sequence[Path]) -> Iterator[PositivePair]:
    """Read pairs from their files.

    Raises:
        DataError: a file is damaged.
    """
    for file in files:
        yield PositivePair(int(file.stem), *read(file, lambda content: (movement_in(content), clips_in(content))))


def movement_in(content: Content) -> Movement:
    """The movement of a pair."""
    return Movement(str(content["name"]), bool(content["mirrored"]))


def clips_in(content: Content) -> tuple[ClipWindows, ClipWindows]:
    """A pair's two clips."""
    names = [one.name for one in fields(ClipWindows)]
    first, second = (
        ClipWindows(**{name: content[f"{part}/{name}"] for name in names}) for part in range(NUM_PERFORMERS)
    )
    return first, second


def read(file: Path, wanted: Callable[[Content], T]) -> T:
    """Read something from a pair's file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with file.open("rb") as opened, np.load(opened) as content:
            return wanted(content)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} is no rendered pair: {error}; delete it and render it again") from error
