"""The clips of a data set: a folder of videos, or a CSV with the place of each clip and the video it is from."""

import csv
import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from training.errors import ManifestError

VIDEO_SUFFIX = re.compile(r"\.(3gp|avi|flv|gif|m4v|mkv|mov|mp4|mpe?g|mts|ogv|ts|webm|wmv)", re.IGNORECASE)
KEY_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class ListedClip:
    """A clip: a time range of a video, with its landmarks."""

    video_id: str
    """Of the recording. Two clips cut from one recording share it, and must never be in training and test."""
    video: Path
    landmarks: Path
    """.npz of the whole video."""
    gloss: str = ""
    signer: str = ""
    start_s: float = 0.0
    end_s: float | None = None
    """None: to the video's end."""

    @property
    def key(self) -> str:
        """A name for files and tar members, the same on every run: the video's id, made fit, and a hash."""
        place = f"{self.video_id}\0{self.video.name}\0{self.start_s}\0{self.end_s}"
        return f"{KEY_UNFIT.sub('_', self.video_id)[:60]}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def find_videos(folder: Path) -> list[Path]:
    """The videos of a folder and its sub-folders by path, hidden ones left out.

    Raises:
        ManifestError: there is none, or the folder can't be read.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder} is not a folder; name one with videos")
    videos = sorted(
        path
        for path in folder.rglob("*")
        if VIDEO_SUFFIX.fullmatch(path.suffix)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not videos:
        raise ManifestError(f"there is no video in {folder}")
    return videos


def clips_of_folder(videos: Path, landmarks: Path) -> list[ListedClip]:
    """Every video of a folder as one clip; its path below the folder is its video id.

    Args:
        videos: the folder.
        landmarks: where `python -m training.data pose` wrote their landmarks.

    Raises:
        ManifestError: there is no video.
    """
    clips = []
    for video in find_videos(videos):
        place = video.relative_to(videos)
        gloss = place.stem if place.parent == Path() else place.parent.name
        clips.append(ListedClip(place.as_posix(), video, landmarks / place.parent / f"{place.name}.npz", gloss))
    return clips


def read_manifest(path: Path) -> list[ListedClip]:
    """The clips of a CSV with the columns of `ListedClip`; paths count from the CSV's folder.

    Raises:
        ManifestError: the file can't be read, a column is missing or unknown, or a clip is listed twice.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            _check_columns(path, rows.fieldnames or ())
            clips = [_clip(path, number, row) for number, row in enumerate(rows, start=2)]
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} can't be read: {error}") from error
    seen: set[str] = set()
    for clip in clips:
        if clip.key in seen:
            raise ManifestError(f"{path} lists {clip.video} from {clip.start_s} s twice; every clip may be there once")
        seen.add(clip.key)
    return clips


def write_manifest(path: Path, clips: Iterable[ListedClip]) -> None:
    """Write what `read_manifest` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [field.name for field in fields(ListedClip)])
        rows.writeheader()
        rows.writerows(asdict(clip) for clip in clips)


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    known = {field.name for field in fields(ListedClip)}
    missing, unknown = {"video_id", "video", "landmarks"} - set(columns), set(columns) - known
    if missing or unknown:
        raise ManifestError(
            f"{path} has the columns {', '.join(columns)}; missing are {sorted(missing)}, unknown {sorted(unknown)}; "
            f"known are {', '.join(sorted(known))}"
        )


def _clip(path: Path, number: int, row: dict[str, str]) -> ListedClip:
    try:
        start_s, end_s = float(row.get("start_s") or 0.0), row.get("end_s")
        return ListedClip(
            video_id=row["video_id"],
            video=path.parent / row["video"],
            landmarks=path.parent / row["landmarks"],
            gloss=row.get("gloss") or "",
            signer=row.get("signer") or "",
            start_s=start_s,
            end_s=float(end_s) if end_s else None,
        )
    except (ValueError, TypeError) as error:
        raise ManifestError(
            f"{path}, line {number}: {error}; start_s and end_s are seconds, every column is there"
        ) from error
