"""Writing shards of clips with landmarks: signer-centred squares with their poses.

Writing resumes where it stopped: clips in a finished shard are skipped, so a data set grows by running the same command
on a longer list. A clip that can't be used is named in the report and tried again by the next run.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from model.encoder import Frames
from model.errors import ModelError, NoSignerError
from model.skeleton.landmarks import Landmarks, ObservedKeypoints, observe
from model.skeleton.normalisation import normalise
from model.skeleton.rotations import Reals
from model.video import VideoLimits, open_frames
from training.atomic import write_atomically
from training.data.listing.manifest import ListedClip
from training.data.poses.crops import CropSquare, signer_square
from training.data.poses.landmarks import check_length, read_landmarks
from training.data.priors.standard_body import read_body, standard_body, write_body
from training.data.priors.table import NUM_FRAMES
from training.data.shards.files import (
    SampleInfo,
    ShardFormat,
    ShardSample,
    ShardWriter,
    check_shard,
    index_path,
    read_format,
)
from training.errors import ShardError, TrainingError
from training.parallel import Failure, WorkReport, failure_of, run_parallel

LIMITS = VideoLimits(max_duration_s=4 * 3600.0, max_bytes=64 * 10**9)
MAX_SIDE = 1080
"""Shorter side of the frames that squares are cut from, pixels."""
BODY_CLIPS = 1000
"""From how many clips, spread over the list, the standard body is measured."""
MIN_SEEN = 0.5
"""A segment in which a body is found in a smaller share of the frames is left out."""


@dataclass(frozen=True)
class ShardTask:
    """One shard to be written."""

    path: Path
    clips: tuple[ListedClip, ...]


def write_shards(
    clips: Sequence[ListedClip],
    out: Path,
    *,
    shard_format: ShardFormat,
    body: Path | None,
    clips_per_shard: int,
    workers: int,
) -> WorkReport:
    """Write every clip that is in no finished shard of a folder yet; the report is also left there.

    Raises:
        ShardError: the folder holds shards of another form or on another body.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, shard_format, body, clips)
    done, damaged = _finished(out)
    todo = [clip for clip in clips if clip.key not in done]
    first = 1 + max((int(path.stem) for path in out.glob("*.tar") if path.stem.isdigit()), default=-1)
    tasks = [
        ShardTask(out / f"{first + number:06d}.tar", tuple(todo[start : start + clips_per_shard]))
        for number, start in enumerate(range(0, len(todo), clips_per_shard))
    ]
    failed: list[Failure] = []
    lost = run_parallel(
        tasks,
        partial(_write_shard, shard_format=shard_format),
        name=lambda task: task.path.name,
        workers=workers,
        phase="shards",
        on_result=lambda _, failures: failed.extend(failures),
    )
    num_lost = sum(len(task.clips) for task in tasks if task.path.name in {one.name for one in lost})
    report = WorkReport(len(todo) - len(failed) - num_lost, len(clips) - len(todo), (*damaged, *lost, *failed))
    report.write(out / "report.json")
    return report


def _finished(out: Path) -> tuple[set[str], list[Failure]]:
    """Keys of the clips that lie in whole shards, and the shards that are damaged: their clips are written again."""
    done: set[str] = set()
    damaged = []
    for shard in sorted(out.glob("*.tar")):
        if index_path(shard).exists():
            try:
                done.update(check_shard(shard).clips)
            except ShardError as error:
                damaged.append(failure_of(shard.name, error))
    return done, damaged


def _claim(out: Path, shard_format: ShardFormat, body: Path | None, clips: Sequence[ListedClip]) -> None:
    """Write down what all shards here have in common, or make sure that it is the same."""
    if (out / "data.json").exists():
        existing = read_format(out)
        if existing != shard_format:
            raise ShardError(
                f"{out} holds shards of {asdict(existing)}, requested {asdict(shard_format)}; choose another"
            )
        if body is not None and not np.allclose(read_body(body).lengths, read_body(out / "body.json").lengths):
            raise ShardError(f"the shards in {out} are on another body than {body}; choose another folder")
        return
    standard = read_body(body) if body is not None else standard_body(_observed(clips))
    write_body(out / "body.json", standard)
    write_atomically(out / "data.json", json.dumps(asdict(shard_format)) + "\n")


def _observed(clips: Sequence[ListedClip]) -> Iterator[tuple[Reals, Reals]]:
    """Keypoints and confidence of clips spread over the list; what can't be read is reported when it is written."""
    for row in np.unique(np.linspace(0, len(clips) - 1, min(BODY_CLIPS, len(clips))).round().astype(int)):
        try:
            observed = observe(read_landmarks(clips[row].landmarks))
        except TrainingError:
            continue
        yield observed.keypoints, observed.confidence


def _write_shard(task: ShardTask, shard_format: ShardFormat) -> tuple[Failure, ...]:
    """Write one shard; gives the clips that failed."""
    writer = ShardWriter(task.path, shard_format)
    done: list[str] = []
    failed: list[Failure] = []
    try:
        for clip in task.clips:
            try:
                # A clip goes in whole or not at all.
                for sample in list(clip_samples(clip, shard_format)):
                    writer.add(sample)
            except (ModelError, TrainingError) as error:
                failed.append(failure_of(clip.video_id, error))
            else:
                done.append(clip.key)
        if done:
            writer.finish(done, failed)
        else:
            writer.discard()
    except BaseException:
        writer.discard()
        raise
    return tuple(failed)


def clip_samples(clip: ListedClip, shard_format: ShardFormat) -> Iterator[ShardSample]:
    """Cut a clip into samples.

    Raises:
        VideoError: the video can't be read.
        LandmarksError: the landmarks can't.
        LengthMismatchError: they are of another clip.
        NoSignerError: nobody is seen for long enough.
    """
    landmarks = read_landmarks(clip.landmarks)
    observed = observe(landmarks)
    found = False
    for number, (start, frames, seen, square) in enumerate(_segments(clip, landmarks, observed, shard_format)):
        found = True
        info = SampleInfo(
            key=f"{clip.key}-{number:04d}",
            video_id=clip.video_id,
            num_frames=len(frames),
            gloss=clip.gloss,
            signer=clip.signer,
            start_s=round(clip.start_s + start / shard_format.fps, 3),
            video=clip.video.name,
        )
        pixels = square.pixels(seen.project(seen.keypoints), seen.aspect, shard_format.size_px)
        yield ShardSample(info, frames, normalise(seen.keypoints, seen.confidence), pixels.astype(np.float32))
    if not found:
        raise NoSignerError(
            f"nobody is seen in {MIN_SEEN:.0%} of the frames of any segment of {shard_format.segment_frames} frames"
        )


def _segments(
    clip: ListedClip, landmarks: Landmarks, observed: ObservedKeypoints, shard_format: ShardFormat
) -> Iterator[tuple[int, Frames, ObservedKeypoints, CropSquare]]:
    """Segments in which somebody is seen: number of the first frame, cropped frames, what was observed, the crop."""
    first_row = round(clip.start_s * shard_format.fps)
    rows = landmarks.rows_at(shard_format.fps)
    stop = len(rows) if clip.end_s is None else min(len(rows), round(clip.end_s * shard_format.fps))
    parts: list[ObservedKeypoints | None] = []
    for start in range(first_row, stop, shard_format.segment_frames):
        part = observed.rows(rows[start : min(start + shard_format.segment_frames, stop)])
        parts.append(part if np.isfinite(part.keypoints[:, 0, 0]).mean() >= MIN_SEEN else None)
    if not any(part is not None for part in parts):
        return
    height = landmarks.size[1]
    squares = [None if part is None else signer_square(part, height) for part in parts]
    smallest = min(square.side for square in squares if square is not None)
    side = int(np.ceil(min(MAX_SIDE, shard_format.size_px * min(landmarks.size) / smallest)))
    with open_frames(
        clip.video, fps=shard_format.fps, size=side, limits=LIMITS, start_s=clip.start_s, end_s=clip.end_s, square=False
    ) as stream:
        for number, (seen, square) in enumerate(zip(parts, squares, strict=True)):
            frames = _crop(stream, shard_format.segment_frames, square, shard_format.size_px)
            if seen is not None and square is not None and len(frames) >= min(NUM_FRAMES, len(seen.keypoints)):
                both = min(len(frames), len(seen.keypoints))
                yield number * shard_format.segment_frames, frames[:both], seen.rows(np.arange(both)), square
        for _ in stream:  # what is longer than the landmarks is counted below
            pass
    if clip.start_s == 0 and clip.end_s is None:
        check_length(round(stream.info.source_fps * stream.info.duration_s), landmarks)


def _crop(stream: Iterator[Frames], count: int, square: CropSquare | None, size_px: int) -> Frames:
    """The next frames, cropped; none where nobody is seen."""
    cropped = []
    for _, frame in zip(range(count), stream, strict=False):
        if square is not None:
            cropped.append(square.crop(frame, size_px))
    return np.stack(cropped) if cropped else np.empty((0, size_px, size_px, 3), np.uint8)
