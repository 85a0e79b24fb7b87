"""Lists of signed sentences: folders of videos, our lists, and the data sets of sign language translation.

reader         what lies in the folder, as published
videos         any videos; the path below the folder is the name
phoenix14t     annotations/manual/PHOENIX-2014-T.SPLIT.corpus.csv, features/fullFrame-210x260px/SPLIT/NAME/*.png
csl-daily      sentence_label/csl2020ct_v2.pkl and split_1.txt, sentence/frames_512x512/NAME/*.jpg
FILE.csv       name, video (or folder of pictures, from the CSV's folder), and optional split, signer, gloss, text
"""

import csv
import io
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.listing.manifest import find_videos
from training.errors import ManifestError

READERS = ("videos", "phoenix14t", "csl-daily")
PICTURES = (".png", ".jpg", ".jpeg")
COLUMNS = ("name", "video", "split", "signer", "gloss", "text")


@dataclass(frozen=True)
class Sentence:
    """A signed sentence and its labels."""

    name: str
    source: Path
    """A video, or a folder with a picture per frame."""
    split: str = "all"
    signer: str = ""
    gloss: str = ""
    text: str = ""


def read_sentences(where: Path, reader: str) -> list[Sentence]:
    """The sentences of a folder or list.

    Raises:
        ManifestError: it is of another form, a name comes twice, or frames or videos are missing; the first are named.
    """
    if where.suffix == ".csv":
        found = read_list(where)
    elif reader == "videos":
        found = [Sentence(str(path.relative_to(where).with_suffix("")), path) for path in find_videos(where)]
    elif reader == "phoenix14t":
        found = read_phoenix14t(where)
    elif reader == "csl-daily":
        found = read_csl_daily(where)
    else:
        raise ManifestError(f"reader is {reader!r}; there are {', '.join(READERS)}, or give a .csv")
    _check(where, found)
    return found


def read_list(path: Path) -> list[Sentence]:
    """A CSV of ours."""
    rows = _rows(path, ",")
    if unknown := sorted({column for row in rows for column in row} - set(COLUMNS)):
        raise ManifestError(f"{path} has columns {', '.join(unknown)}; known are {', '.join(COLUMNS)}")
    return [
        Sentence(row["name"], path.parent / row["video"], row.get("split") or "all", *_said(row, path, number))
        for number, row in enumerate(rows, start=2)
    ]


def _said(row: Mapping[str, str], path: Path, number: int) -> tuple[str, str, str]:
    if not row.get("name") or not row.get("video"):
        raise ManifestError(f"{path}, line {number}: name or video is empty")
    return row.get("signer") or "", row.get("gloss") or "", row.get("text") or ""


def read_phoenix14t(root: Path) -> list[Sentence]:
    """PHOENIX-2014-T, all splits in the folder."""
    annotations = sorted((root / "annotations" / "manual").glob("PHOENIX-2014-T.*.corpus.csv"))
    if not annotations:
        raise ManifestError(f"{root} has no annotations/manual/PHOENIX-2014-T.SPLIT.corpus.csv; is it PHOENIX-2014-T?")
    found = []
    for path in annotations:
        split = path.name.split(".")[1]
        frames = root / "features" / "fullFrame-210x260px" / split
        for row in _rows(path, "|", needed=("name", "speaker", "orth", "translation")):
            found.append(
                Sentence(row["name"], frames / row["name"], split, row["speaker"], row["orth"], row["translation"])
            )
    return found


def read_csl_daily(root: Path) -> list[Sentence]:
    """CSL-Daily with its first split; what is in no split is left out, as its authors do."""
    path = root / "sentence_label" / "csl2020ct_v2.pkl"
    try:
        splits = {row["name"]: row["split"] for row in _rows(root / "sentence_label" / "split_1.txt", "|")}
        info = PlainUnpickler(io.BytesIO(path.read_bytes())).load()["info"]
        return [
            Sentence(
                item["name"],
                root / "sentence" / "frames_512x512" / item["name"],
                splits[item["name"]],
                str(item["signer"]),
                " ".join(item["label_gloss"]),
                "".join(item["label_char"]),
            )
            for item in info
            if item["name"] in splits
        ]
    except (OSError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise ManifestError(f"{path} is not the label file of CSL-Daily ({error!r})") from error


class PlainUnpickler(pickle.Unpickler):
    """Reads pickles of plain data, and nothing that would run code."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 pickle's own signature
        """Refuse every class and function.

        Raises:
            UnpicklingError: always.
        """
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; plain data was expected")


def _rows(path: Path, delimiter: str, needed: Iterable[str] = ("name",)) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "|" else 0)
            rows = list(reader)
            columns = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} can't be read: {error}") from error
    if missing := [column for column in needed if column not in columns]:
        raise ManifestError(f"{path} has columns {', '.join(columns)}; {', '.join(missing)} is missing")
    return rows


def _check(where: Path, found: list[Sentence]) -> None:
    if not found:
        raise ManifestError(f"{where} lists nothing")
    names: dict[str, str] = {}
    for sentence in found:
        if sentence.name in names:
            also = "" if names[sentence.name] == sentence.split else f", in {names[sentence.name]} and {sentence.split}"
            raise ManifestError(f"{where} lists {sentence.name} twice{also}; names must differ")
        names[sentence.name] = sentence.split
