"""Landmarks of clips with MediaPipe Holistic, one .npz per clip.

`python -m training.data pose` runs it, in the environment of the pose group: MediaPipe needs numpy < 2, which keeps it
apart from training. Clips that have landmarks are skipped, so that an interrupted run resumes.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from model.clip_stream import MAX_SIDE
from model.encoder import Frames
from model.errors import VideoBrokenError
from model.skeleton.estimator import EstimatorFactory, MediaPipeOptions, open_mediapipe, stack_landmarks
from model.skeleton.landmarks import Landmarks
from model.video import VideoLimits
from model.video.container import VideoReader
from model.video.picture import Reducer
from training.atomic import write_atomically
from training.data.listing.manifest import find_videos
from training.data.poses.landmarks import save_landmarks
from training.parallel import WorkReport, run_parallel

LIMITS = VideoLimits(max_duration_s=4 * 3600.0, max_bytes=64 * 10**9)


def estimate(video: Path, options: MediaPipeOptions, open_estimator: EstimatorFactory = open_mediapipe) -> Landmarks:
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
        estimator.start_clip()
        for picture, time_s in _pictures(video):
            times_s.append(time_s)
            size = (picture.shape[1], picture.shape[0])
            found.append(estimator.find(picture))
    finally:
        estimator.close()
    if not times_s:
        raise VideoBrokenError("not one picture could be decoded: record or export the video again")
    fps = 1.0 / float(np.median(np.diff(times_s))) if len(times_s) > 1 else 25.0
    return stack_landmarks(found, times_s, fps=float(Fraction(fps).limit_denominator(1001)), size=size)


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
    content = io.BytesIO()
    save_landmarks(content, landmarks)
    write_atomically(path, content.getvalue())


def landmarks_path(folder: Path, video: Path, root: Path) -> Path:
    """File of a video's landmarks: its path below `root`, with .npz behind its whole name."""
    relative = video.relative_to(root)
    return folder / relative.parent / f"{relative.name}.npz"


def estimate_folder(clips: Path, out: Path, options: MediaPipeOptions, workers: int) -> WorkReport:
    """Find the landmarks of every video of a folder that has none yet; the report is also left in `out`.

    Raises:
        ManifestError: there is no video in the folder.
    """
    videos = find_videos(clips)
    todo = [video for video in videos if not landmarks_path(out, video, clips).exists()]
    failed = run_parallel(
        todo,
        partial(_estimate_one, clips=clips, out=out, options=options),
        name=lambda video: video.relative_to(clips).as_posix(),
        workers=workers,
        phase="pose",
    )
    report = WorkReport(len(todo) - len(failed), len(videos) - len(todo), failed)
    out.mkdir(parents=True, exist_ok=True)
    report.write(out / "report.json")
    return report


def _estimate_one(video: Path, clips: Path, out: Path, options: MediaPipeOptions) -> None:
    write_landmarks(landmarks_path(out, video, clips), estimate(video, options))
