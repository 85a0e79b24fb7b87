"""Clips with landmarks into shards for pretraining: signer-centred squares with their poses.

    python -m training.shards write LIST OUT [--poses DIR]    LIST is a manifest (.csv) or a folder of videos
    python -m training.shards check OUT                       reads every sample of every shard
    python -m training.shards leaks ONE OTHER                 videos that are in both; each a manifest or a shard folder

Writing goes on where it stopped: clips that lie in a finished shard are left alone, so a data set grows by running the
same command on a longer list. A clip that can't be used is named in the report and tried again by the next run.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.encoder import Frames
from model.errors import ModelError, NoSignerError
from model.skeleton.landmarks import Landmarks, Observed, observe
from model.skeleton.normal import normalise
from model.skeleton.rotations import Reals
from model.video import VideoLimits, open_frames
from training.batch import Failure, Report, failure, run
from training.commands import refusals
from training.crops import Square, signer_square
from training.data.manifest import ListedClip, clips_of_folder, read_manifest
from training.data.shard_files import (
    Form,
    SampleFacts,
    ShardSample,
    ShardWriter,
    check_shard,
    find_shards,
    form_fields,
    index_path,
    read_form,
    read_index,
    read_sample,
    write_whole,
)
from training.errors import ManifestError, ShardError, TrainingError
from training.landmarks import check_length, read_landmarks
from training.prior_table import NUM_FRAMES
from training.priors import read_body, standard_body, write_body

LIMITS = VideoLimits(max_duration_s=4 * 3600.0, max_bytes=64 * 10**9)
MAX_SIDE = 1080
"""Shorter side of the frames that squares are cut from, pixels."""
BODY_CLIPS = 1000
"""From how many clips, spread over the list, the standard body is measured."""
MIN_SEEN = 0.5
"""A stretch in which a body is found in a smaller share of the frames is left out."""


@dataclass(frozen=True)
class ShardTask:
    """One shard to be written."""

    path: Path
    clips: tuple[ListedClip, ...]


def write_shards(
    clips: Sequence[ListedClip], out: Path, *, form: Form, body: Path | None, clips_per_shard: int, workers: int
) -> Report:
    """Write every clip that is in no finished shard of a folder yet; the report is also left there.

    Raises:
        ShardError: the folder holds shards of another form or on another body.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, form, body, clips)
    done, damaged = _finished(out)
    todo = [clip for clip in clips if clip.key not in done]
    first = 1 + max((int(path.stem) for path in out.glob("*.tar") if path.stem.isdigit()), default=-1)
    tasks = [
        ShardTask(out / f"{first + number:06d}.tar", tuple(todo[start : start + clips_per_shard]))
        for number, start in enumerate(range(0, len(todo), clips_per_shard))
    ]
    failed: list[Failure] = []
    lost = run(
        tasks,
        partial(_write_shard, form=form),
        name=lambda task: task.path.name,
        workers=workers,
        phase="shards",
        on_result=lambda _, failures: failed.extend(failures),
    )
    num_lost = sum(len(task.clips) for task in tasks if task.path.name in {one.name for one in lost})
    report = Report(len(todo) - len(failed) - num_lost, len(clips) - len(todo), (*damaged, *lost, *failed))
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
                damaged.append(failure(shard.name, error))
    return done, damaged


def _claim(out: Path, form: Form, body: Path | None, clips: Sequence[ListedClip]) -> None:
    """Write down what all shards here have in common, or make sure that it is the same."""
    if (out / "data.json").exists():
        there = read_form(out)
        if there != form:
            raise ShardError(
                f"{out} holds shards of {form_fields(there)}, asked for {form_fields(form)}; choose another"
            )
        if body is not None and not np.allclose(read_body(body).lengths, read_body(out / "body.json").lengths):
            raise ShardError(f"the shards in {out} are on another body than {body}; choose another folder")
        return
    standard = read_body(body) if body is not None else standard_body(_observed(clips))
    write_body(out / "body.json", standard)
    write_whole(out / "data.json", json.dumps(form_fields(form)) + "\n")


def _observed(clips: Sequence[ListedClip]) -> Iterator[tuple[Reals, Reals]]:
    """Keypoints and confidence of clips spread over the list; what can't be read is reported when it is written."""
    for row in np.unique(np.linspace(0, len(clips) - 1, min(BODY_CLIPS, len(clips))).round().astype(int)):
        try:
            observed = observe(read_landmarks(clips[row].landmarks))
        except TrainingError:
            continue
        yield observed.keypoints, observed.confidence


def _write_shard(task: ShardTask, form: Form) -> tuple[Failure, ...]:
    """Write one shard; gives the clips that failed."""
    writer = ShardWriter(task.path, form)
    done: list[str] = []
    failed: list[Failure] = []
    try:
        for clip in task.clips:
            try:
                # A clip goes in whole or not at all.
                for sample in list(clip_samples(clip, form)):
                    writer.add(sample)
            except (ModelError, TrainingError) as error:
                failed.append(failure(clip.video_id, error))
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


def clip_samples(clip: ListedClip, form: Form) -> Iterator[ShardSample]:
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
    for number, (start, frames, seen, square) in enumerate(_segments(clip, landmarks, observed, form)):
        found = True
        facts = SampleFacts(
            key=f"{clip.key}-{number:04d}",
            video_id=clip.video_id,
            num_frames=len(frames),
            gloss=clip.gloss,
            signer=clip.signer,
            start_s=round(clip.start_s + start / form.fps, 3),
            video=clip.video.name,
        )
        pixels = square.pixels(seen.project(seen.keypoints), seen.aspect, form.size_px)
        yield ShardSample(facts, frames, normalise(seen.keypoints, seen.confidence), pixels.astype(np.float32))
    if not found:
        raise NoSignerError(
            f"nobody is seen in {MIN_SEEN:.0%} of the frames of any stretch of {form.segment_frames} frames"
        )


def _segments(
    clip: ListedClip, landmarks: Landmarks, observed: Observed, form: Form
) -> Iterator[tuple[int, Frames, Observed, Square]]:
    """Stretches in which somebody is seen: number of the first frame, cut frames, what was observed, where cut."""
    first_row = round(clip.start_s * form.fps)
    rows = landmarks.rows_at(form.fps)
    stop = len(rows) if clip.end_s is None else min(len(rows), round(clip.end_s * form.fps))
    parts: list[Observed | None] = []
    for start in range(first_row, stop, form.segment_frames):
        part = observed.rows(rows[start : min(start + form.segment_frames, stop)])
        parts.append(part if np.isfinite(part.keypoints[:, 0, 0]).mean() >= MIN_SEEN else None)
    if not any(part is not None for part in parts):
        return
    height = landmarks.size[1]
    squares = [None if part is None else signer_square(part, height) for part in parts]
    smallest = min(square.side for square in squares if square is not None)
    side = int(np.ceil(min(MAX_SIDE, form.size_px * min(landmarks.size) / smallest)))
    with open_frames(
        clip.video, fps=form.fps, size=side, limits=LIMITS, start_s=clip.start_s, end_s=clip.end_s, square=False
    ) as stream:
        for number, (seen, square) in enumerate(zip(parts, squares, strict=True)):
            frames = _cut(stream, form.segment_frames, square, form.size_px)
            if seen is not None and square is not None and len(frames) >= min(NUM_FRAMES, len(seen.keypoints)):
                both = min(len(frames), len(seen.keypoints))
                yield number * form.segment_frames, frames[:both], seen.rows(np.arange(both)), square
        for _ in stream:  # what is longer than the landmarks is counted below
            pass
    if clip.start_s == 0 and clip.end_s is None:
        check_length(round(stream.facts.source_fps * stream.facts.duration_s), landmarks)


def _cut(stream: Iterator[Frames], count: int, square: Square | None, size_px: int) -> Frames:
    """The next frames, cut; none where nobody is seen."""
    cut = []
    for _, frame in zip(range(count), stream, strict=False):
        if square is not None:
            cut.append(square.cut(frame, size_px))
    return np.stack(cut) if cut else np.empty((0, size_px, size_px, 3), np.uint8)


# ------------------------------------------------------------------------------------------------------------ commands

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


def read_list(path: Path, poses: Path | None) -> list[ListedClip]:
    """The clips of a manifest, or of a folder of videos.

    Raises:
        ManifestError: it is neither, or the landmarks' folder is missing.
    """
    if path.suffix == ".csv":
        return read_manifest(path)
    if poses is None:
        raise ManifestError(f"{path} is a folder; say with --poses where the landmarks of its videos are")
    return clips_of_folder(path, poses)


def video_ids(path: Path) -> set[str]:
    """The videos of a manifest or of a folder of shards.

    Raises:
        ManifestError, ShardError: it can't be read.
    """
    if path.suffix == ".csv":
        return {clip.video_id for clip in read_manifest(path)}
    return {place.facts.video_id for shard in find_shards(path) for place in read_index(shard).places}


@app.command("write")
def write_command(
    clips: Annotated[Path, typer.Argument(help="Manifest (.csv) or folder of videos.")],
    out: Annotated[Path, typer.Argument(help="Folder for the shards.")],
    *,
    poses: Annotated[Path | None, typer.Option(help="Landmarks of the videos of a folder.")] = None,
    body: Annotated[Path | None, typer.Option(help="Standard body; the clips' median if left out.")] = None,
    apart_from: Annotated[
        list[Path] | None, typer.Option(help="Manifest or shards that may share no video with these, e.g. the test's.")
    ] = None,
    clips_per_shard: Annotated[int, typer.Option(min=1)] = 256,
    size_px: Annotated[int, typer.Option(min=32, help="Side of a frame.")] = 256,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
) -> None:
    """Write shards of all clips that lie in none yet. Exits with 1 when none could be done."""
    with refusals():
        listed = read_list(clips, poses)
        for other in apart_from or ():
            if shared := sorted({clip.video_id for clip in listed} & video_ids(other)):
                raise ManifestError(
                    f"{len(shared)} videos are also in {other}: {', '.join(shared[:20])}; take them out"
                )
        report = write_shards(
            listed, out, form=Form(size_px), body=body, clips_per_shard=clips_per_shard, workers=workers
        )
    typer.echo("\n".join(report.lines()))
    if report.num_done + report.num_there == 0:
        raise typer.Exit(1)


@app.command("check")
def check_command(folder: Annotated[Path, typer.Argument(help="Folder of shards.")]) -> None:
    """Read every sample of every shard. Exits with 1 when something is damaged."""
    failed: list[Failure] = []
    num_samples = num_frames = 0
    with refusals():
        read_form(folder)
        for shard in find_shards(folder):
            try:
                places = check_shard(shard).places
            except ShardError as error:
                failed.append(failure(shard.name, error))
                continue
            for place in places:
                try:
                    read_sample(shard, place, 0, place.facts.num_frames)
                except ShardError as error:
                    failed.append(failure(place.facts.key, error))
                else:
                    num_samples += 1
                    num_frames += place.facts.num_frames
    typer.echo(f"{num_samples} samples, {num_frames} frames can be read; {len(failed)} failures")
    for one in failed:
        typer.echo(f"  {one.name}: {one.reason}")
    if failed:
        raise typer.Exit(1)


@app.command("leaks")
def leaks_command(
    one: Annotated[Path, typer.Argument(help="Manifest (.csv) or folder of shards.")],
    other: Annotated[Path, typer.Argument(help="Likewise.")],
) -> None:
    """List the videos that are in both. Exits with 1 when there are any."""
    with refusals(status=2):
        shared = sorted(video_ids(one) & video_ids(other))
    typer.echo(f"{len(shared)} videos are in both")
    for video in shared:
        typer.echo(f"  {video}")
    if shared:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
