"""Landmarks of clips with MediaPipe Holistic, one .npz per clip.

Command: `python -m training.pose CLIPS OUT`, in the environment of the pose group: MediaPipe needs numpy < 2, which
keeps it apart from training. Clips that have their landmarks are not looked at again, so that an interrupted run goes
on.

    UV_PROJECT_ENVIRONMENT=.venv-pose uv sync --no-default-groups --group pose
    .venv-pose/bin/python -m training.pose CLIPS OUT

On Debian it needs the packages libgl1 and libegl1.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Protocol, cast

import numpy as np
import typer

from model.encoder import Frames
from model.errors import NoSignerError, VideoBrokenError
from model.skeleton.kinematics import Reals
from model.skeleton.landmarks import Landmarks
from model.video import VideoLimits
from model.video.container import VideoReader
from model.video.picture import Reducer
from training.batch import Report, run
from training.data.manifest import find_videos
from training.errors import LandmarksError, ManifestError
from training.landmarks import save_landmarks

MAX_SIDE = 720
"""Shorter side, pixels, that larger pictures are reduced to: the estimator's own networks see 256 at most."""
LIMITS = VideoLimits(max_duration_s=4 * 3600.0, max_bytes=64 * 10**9)


class _Landmark(Protocol):
    x: float
    y: float
    z: float
    visibility: float


class _Landmarks(Protocol):
    landmark: Sequence[_Landmark]


class _Found(Protocol):
    pose_landmarks: _Landmarks | None
    pose_world_landmarks: _Landmarks | None
    left_hand_landmarks: _Landmarks | None
    right_hand_landmarks: _Landmarks | None


class _Holistic(Protocol):
    """What is used of MediaPipe, which has no types."""

    def process(self, image: Frames) -> _Found: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Estimator:
    """How landmarks are found."""

    complexity: int = 1
    """Of MediaPipe's pose network: 0, 1 or 2. 2 is not in the wheel."""
    confidence: float = 0.5
    """What the detector and the tracker must reach."""


Opener = Callable[[Estimator], _Holistic]


def estimate(video: Path, estimator: Estimator, open_estimator: Opener | None = None) -> Landmarks:
    """Find the landmarks of every picture of a video.

    Args:
        video: the file.
        estimator: how.
        open_estimator: makes what finds them; None for MediaPipe.

    Raises:
        VideoError: the video can't be read.
        LandmarksError: MediaPipe is not installed here.
        NoSignerError: nobody was found in any picture.
    """
    holistic = (open_estimator or _open_estimator)(estimator)
    rows: dict[str, list[Reals]] = {name: [] for name in ("pose", "world", "left", "right")}
    times_s, size = [], (0, 0)
    try:
        for picture, time_s in _pictures(video):
            times_s.append(time_s)
            size = (picture.shape[1], picture.shape[0])
            found = holistic.process(picture)
            rows["pose"].append(_array(found.pose_landmarks, 33))
            rows["world"].append(_array(found.pose_world_landmarks, 33))
            rows["left"].append(_array(found.left_hand_landmarks, 21))
            rows["right"].append(_array(found.right_hand_landmarks, 21))
    finally:
        holistic.close()
    if not times_s:
        raise VideoBrokenError("not one picture could be decoded: record or export the video again")
    arrays = {name: np.stack(values) for name, values in rows.items()}
    if not np.isfinite(arrays["world"][:, 0, 0]).any():
        raise NoSignerError(f"nobody was found in any of the {len(times_s)} frames")
    times = np.array(times_s)
    fps = 1.0 / float(np.median(np.diff(times))) if len(times) > 1 else 25.0
    return Landmarks(**arrays, fps=float(Fraction(fps).limit_denominator(1001)), size=size, times_s=times)


def _open_estimator(estimator: Estimator) -> "_Holistic":
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        from mediapipe.python.solutions.holistic import Holistic
    except ImportError as error:
        raise LandmarksError(
            f"MediaPipe can't be loaded ({error}); install the pose group in an environment of its own: "
            "UV_PROJECT_ENVIRONMENT=.venv-pose uv sync --no-default-groups --group pose, and on Debian the packages "
            "libgl1 and libegl1"
        ) from error
    with _quiet():
        holistic = Holistic(
            model_complexity=estimator.complexity,
            min_detection_confidence=estimator.confidence,
            min_tracking_confidence=estimator.confidence,
        )
        holistic.process(np.zeros((64, 64, 3), np.uint8))  # its networks are loaded, and talk, at the first picture
    holistic.reset()
    opened: _Holistic = holistic
    return opened


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep C++ libraries from writing to the error stream: MediaPipe's log can't be turned down before it starts."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _pictures(video: Path) -> Iterator[tuple[Frames, float]]:
    """Every picture of a video, upright, with the second from which it is on display."""
    reader = VideoReader(video, LIMITS)
    reducer: Reducer | None = None
    try:
        for shown in reader.pictures():
            if reducer is None:
                side = min(shown.picture.width, shown.picture.height, MAX_SIDE)
                reducer = Reducer(shown.picture, reader.sample_aspect, side)
            yield np.ascontiguousarray(reducer(shown.picture)), shown.start_s
    finally:
        reader.close()


def _array(found: "_Landmarks | None", count: int) -> Reals:
    """[count, 4] x, y, z, visibility; NaN where nothing was found."""
    if found is None:
        return np.full((count, 4), np.nan)
    return np.array([[mark.x, mark.y, mark.z, mark.visibility] for mark in found.landmark])


def write_landmarks(path: Path, landmarks: Landmarks) -> None:
    """Write an .npz that is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
        try:
            save_landmarks(cast(BinaryIO, file), landmarks)
            file.flush()
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def landmarks_path(folder: Path, video: Path, root: Path) -> Path:
    """Where the landmarks of a video lie: its place below `root`, with .npz behind its whole name."""
    relative = video.relative_to(root)
    return folder / relative.parent / f"{relative.name}.npz"


def estimate_folder(clips: Path, out: Path, estimator: Estimator, workers: int) -> Report:
    """Find the landmarks of every video of a folder that has none yet; the report is also left in `out`.

    Raises:
        ManifestError: there is no video in the folder.
    """
    videos = find_videos(clips)
    todo = [video for video in videos if not landmarks_path(out, video, clips).exists()]
    failed = run(
        todo,
        partial(_estimate_one, clips=clips, out=out, estimator=estimator),
        name=lambda video: video.relative_to(clips).as_posix(),
        workers=workers,
        phase="pose",
    )
    report = Report(len(todo) - len(failed), len(videos) - len(todo), failed)
    out.mkdir(parents=True, exist_ok=True)
    report.write(out / "report.json")
    return report


def _estimate_one(video: Path, clips: Path, out: Path, estimator: Estimator) -> None:
    write_landmarks(landmarks_path(out, video, clips), estimate(video, estimator))


def main(
    clips: Annotated[Path, typer.Argument(help="Folder of videos, sub-folders included.")],
    out: Annotated[Path, typer.Argument(help="Folder for the landmarks, laid out like CLIPS.")],
    *,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each takes about one core.")] = os.cpu_count() or 1,
    complexity: Annotated[int, typer.Option(min=0, max=1, help="Of MediaPipe's pose network.")] = 1,
) -> None:
    """Find the landmarks of every video. Exits with 1 when none could be done."""
    try:
        report = estimate_folder(clips, out, Estimator(complexity), workers)
    except ManifestError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo("\n".join(report.lines()))
    if report.num_done + report.num_there == 0:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
