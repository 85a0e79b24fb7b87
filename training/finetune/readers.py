"""LabelledClips clips in training, validation and test, of the data sets that recognition is measured on.

reader         what lies in the folder, as published
entries        entries.csv of ours (id, gloss, video, ...), or that file itself, with a column `split`
wlasl          WLASL_v*.json beside videos/ID.mp4
asl-citizen    splits/train.csv, val.csv, test.csv beside videos/
nmfs-csl       uni_trainlist01.csv, uni_testlist01.csv (clip, label) beside jpg_video/CLIP/, with a picture per frame

Paths count from the folder. Videos of WLASL are expected to be trimmed to the sign, as its download script leaves them.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.listing.manifest import ListedClip
from training.errors import ManifestError

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = {TRAIN: TRAIN, "training": TRAIN, VAL: VAL, "dev": VAL, "validation": VAL, TEST: TEST, "testing": TEST}
"""Names of splits in the files of data sets."""
MAX_NAMED = 5
"""Items that a message names; the others are counted."""

SplitClip = tuple[str, ListedClip]
"""A split as the file names it, and a clip."""


@dataclass(frozen=True)
class LabelledClips:
    """Clips with a label, by split."""

    glosses: tuple[str, ...]
    """The classes, in the order of the list: every gloss with a training clip."""
    splits: Mapping[str, tuple[ListedClip, ...]]
    """By `train`, `val`, `test`; only clips whose files exist."""
    warnings: tuple[str, ...]
    """What is missing, in sentences."""

    def clips(self, split: str) -> tuple[ListedClip, ...]:
        """Of one split; none where it has none."""
        return self.splits.get(split, ())


def read_labelled(reader: str, where: Path, num_signs: int = 0) -> LabelledClips:
    """Read and check a data set.

    Args:
        reader: a name of `READERS`.
        where: its folder.
        num_signs: only the first glosses of the list; 0: all.

    Raises:
        ManifestError: it is of another form, a clip is in two splits, or there is no training clip.
    """
    if reader not in READERS:
        raise ManifestError(f"reader is {reader!r}; allowed are {', '.join(READERS)}")
    listed = [(_split(name, where), clip) for name, clip in READERS[reader](where)]
    glosses = list(dict.fromkeys(clip.gloss for _, clip in listed))
    if num_signs:
        glosses = glosses[:num_signs]
        listed = [(split, clip) for split, clip in listed if clip.gloss in set(glosses)]
    _refuse_leaks(where, listed)
    there = [(split, clip) for split, clip in listed if clip.video.exists()]
    splits = {name: tuple(clip for split, clip in there if split == name) for name in (TRAIN, VAL, TEST)}
    trained = {clip.gloss for clip in splits[TRAIN]}
    if not trained:
        raise ManifestError(
            f"{where} lists {len(listed)} clips, {len(there)} of them there, and none of these is in the split {TRAIN}"
        )
    classes = tuple(gloss for gloss in glosses if gloss in trained)
    gone = [str(clip.video) for _, clip in listed if not clip.video.exists()]
    return LabelledClips(classes, splits, tuple(_warnings(gone, glosses, splits)))


def _warnings(gone: Sequence[str], glosses: Sequence[str], splits: Mapping[str, Sequence[ListedClip]]) -> Iterator[str]:
    """The gaps of a data set."""
    having = {name: {clip.gloss for clip in clips} for name, clips in splits.items()}
    if gone:
        yield f"{len(gone)} clips are listed whose files are not there: {_named(gone)}"
    anywhere = set().union(*having.values())
    if empty := [gloss for gloss in glosses if gloss not in anywhere]:
        yield f"{len(empty)} labels have no clip at all and are left out: {_named(empty)}"
    if untrained := [gloss for gloss in glosses if gloss in anywhere - having[TRAIN]]:
        yield (
            f"{len(untrained)} labels have no training clip; their clips in other splits count as misses:"
            f" {_named(untrained)}"
        )
    for name in (VAL, TEST):
        without = [gloss for gloss in glosses if gloss in having[TRAIN] - having[name]]
        if having[name] and without:
            yield f"the split {name} has no clip of {len(without)} of {len(having[TRAIN])} labels: {_named(without)}"


def _refuse_leaks(where: Path, listed: Iterable[tuple[str, ListedClip]]) -> None:
    """Refuse clips that are in several splits.

    Raises:
        ManifestError: there are some: counted, the first named.
    """
    splits_of: dict[str, set[str]] = {}
    for split, clip in listed:
        for key in (clip.video_id, str(clip.video)):
            splits_of.setdefault(key, set()).add(split)
    both = {
        clip.video_id: clip for split, clip in listed if len(splits_of[clip.video_id] | splits_of[str(clip.video)]) > 1
    }
    if both:
        first = [
            f"{key} ({', '.join(sorted(splits_of[key] | splits_of[str(clip.video)]))})" for key, clip in both.items()
        ]
        raise ManifestError(
            f"{where}: {len(both)} clips are in more than one split: {_named(first)}; training clips must not be"
            " tested on, so leave each in one"
        )


def _split(name: str, where: Path) -> str:
    if name.strip().lower() not in SPLITS:
        raise ManifestError(f"{where}: a split is {name!r}; allowed are {', '.join(SPLITS)}")
    return SPLITS[name.strip().lower()]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def entries(where: Path) -> Iterator[SplitClip]:
    """Our own list; `python -m app import` writes it of other data sets, the split goes into a column of its own.

    Raises:
        ManifestError: it can't be read, or has no split.
    """
    path = where / "entries.csv" if where.is_dir() else where
    for number, row in _rows(path, ("id", "gloss", "video", "split")):
        try:
            start_s, end_s = float(row.get("start_s") or 0.0), float(row["end_s"]) if row.get("end_s") else None
        except ValueError as error:
            raise ManifestError(f"{path}, line {number}: {error}; start_s and end_s are seconds") from error
        video = path.parent / row["video"]
        yield row["split"], ListedClip(row["id"], video, video, row["gloss"], row.get("signer") or "", start_s, end_s)


def wlasl(where: Path) -> Iterator[SplitClip]:
    """WLASL; the first 100, 300, 1000 glosses of its list are its smaller versions.

    Raises:
        ManifestError: there is no such list, or it is of another layout.
    """
    listing = max(where.glob("WLASL_v*.json"), default=None)
    if listing is None:
        raise ManifestError(f"{where} has no WLASL_v*.json; give the folder that holds it and videos/")
    try:
        for sign in json.loads(listing.read_bytes()):
            for one in sign["instances"]:
                video = where / "videos" / f"{one['video_id']}.mp4"
                yield one["split"], _listed(str(one["video_id"]), video, sign["gloss"], str(one.get("signer_id", "")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ManifestError(
            f"{listing} is not WLASL's list of glosses with their instances: {type(error).__name__} {error}"
        ) from error


def asl_citizen(where: Path) -> Iterator[SplitClip]:
    """ASL Citizen.

    Raises:
        ManifestError: a table is missing or of another layout.
    """
    for split in (TRAIN, VAL, TEST):
        for _, row in _rows(where / "splits" / f"{split}.csv", ("Participant ID", "Video file", "Gloss")):
            name = row["Video file"]
            yield split, _listed(Path(name).stem, where / "videos" / name, row["Gloss"], row["Participant ID"])


def nmfs_csl(where: Path) -> Iterator[SplitClip]:
    """NMFs-CSL with its one split by signers. Labels are what its lists say, numbers in the published ones.

    Raises:
        ManifestError: a list is missing or of another layout.
    """
    for split in (TRAIN, TEST):
        path = where / f"uni_{split}list01.csv"
        for number, row in enumerate(_lines(path), start=1):
            if len(row) != 2:
                raise ManifestError(f"{path}, line {number} has {len(row)} columns; clip and label were expected")
            yield split, _listed(row[0], where / "jpg_video" / row[0], row[1].strip(), "")


READERS: Mapping[str, Callable[[Path], Iterator[SplitClip]]] = {
    "entries": entries,
    "wlasl": wlasl,
    "asl-citizen": asl_citizen,
    "nmfs-csl": nmfs_csl,
}


def _listed(identity: str, video: Path, gloss: str, signer: str) -> ListedClip:
    return ListedClip(identity, video, video, gloss, signer)


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Numbered rows of a table with a head, every one as long as the head."""
    lines = _lines(path)
    head = next(lines, [])
    if missing := [column for column in needed if column not in head]:
        raise ManifestError(f"{path} has the columns {', '.join(head)}; {', '.join(missing)} is missing")
    for number, line in enumerate(lines, start=2):
        row = dict(zip(head, line, strict=False))
        if empty := [column for column in needed if not row.get(column)]:
            raise ManifestError(f"{path}, line {number}: {', '.join(empty)} is empty")
        yield number, row


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from (line for line in csv.reader(file) if line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} can't be read: {error}") from error
