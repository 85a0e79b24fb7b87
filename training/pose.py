"""Landmarks of clips with MediaPipe Holistic, one .npz per clip.

Command: `python -m training.pose CLIPS OUT`, in the environment of the pose group: MediaPipe needs numpy < 2, which
keeps it apart from training. Clips that have their landmarks are not looked at again, so that an interrupted run goes
on.

    make .venv-pose/.ready
    .venv-pose/bin/python -m training.pose CLIPS OUT

On Debian it needs the packages libgl1 and libegl1.
"""

import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import numpy as np
import typer

from model.cut import MAX_SIDE
from model.encoder import Frames
from model.errors import VideoBrokenError
from model.skeleton.estimator import Opener, Options, landmarks_of, open_mediapipe
from model.skeleton.landmarks import Landmarks
from model.video import VideoLimits
from model.video.container import VideoReader
from model.video.picture import Reducer
from training.batch import Report, run
from training.commands import refusals
from training.data.manifest import find_videos
from training.landmarks import save_landmarks

LIMITS = VideoLimits(max_duration_s=4 * 3600.0, max_bytes=64 * 10**9)


def estimate(video: Path, options: Options, open_estimator: Opener = open_mediapipe) -> Landmarks:
    """Find the landmarks of every picture of a video.

    Args:
        video: the file.
        options: how.
        open_estimator: makes what finds them.

    Raises:
        VideoError: the video can't be read.
        EstimatorError: MediaPipe is not installed here.
        NoSignerError: nobody was found in any picture.
    """
    estimator = open_estimator(options)
    found, times_s, size = [], [], (0, 0)
    try:
        estimator.begin()
        for picture, time_s in _pictures(video):
            times_s.append(time_s)
            size = (picture.shape[1], picture.shape[0])
            found.append(estimator.find(picture))
    finally:
        estimator.close()
    if not times_s:
        raise VideoBrokenError("not one picture could be decoded: record or export the video again")
    fps = 1.0 / float(np.median(np.diff(times_s))) if len(times_s) > 1 else 25.0
    return landmarks_of(found, times_s, fps=float(Fraction(fps).limit_denominator(1001)), size=size)


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


def estimate_folder(clips: Path, out: Path, options: Options, workers: int) -> Report:
    """Find the landmarks of every video of a folder that has none yet; the report is also left in `out`.

    Raises:
        ManifestError: there is no video in the folder.
    """
    videos = find_videos(clips)
    todo = [video for video in videos if not landmarks_path(out, video, clips).exists()]
    failed = run(
        todo,
        partial(_estimate_one, clips=clips, out=out, options=options),
        name=lambda video: video.relative_to(clips).as_posix(),
        workers=workers,
        phase="pose",
    )
    report = Report(len(todo) - len(failed), len(videos) - len(todo), failed)
    out.mkdir(parents=True, exist_ok=True)
    report.write(out / "report.json")
    return report


def _estimate_one(video: Path, clips: Path, out: Path, options: Options) -> None:
    write_landmarks(landmarks_path(out, video, clips), estimate(video, options))


def main(
    clips: Annotated[Path, typer.Argument(help="Folder of videos, sub-folders included.")],
    out: Annotated[Path, typer.Argument(help="Folder for the landmarks, laid out like CLIPS.")],
    *,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each takes about one core.")] = os.cpu_count() or 1,
    complexity: Annotated[int, typer.Option(min=0, max=1, help="Of MediaPipe's pose network.")] = 1,
) -> None:
    """Find the landmarks of every video. Exits with 1 when none could be done."""
    with refusals():
        report = estimate_folder(clips, out, Options(complexity), workers)
    typer.echo("\n".join(report.lines()))
    if report.num_done + report.num_there == 0:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
