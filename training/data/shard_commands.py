"""Commands around shards: write, check, leaks. `python -m training.data shards` offers them."""

import os
from pathlib import Path
from typing import Annotated

import typer

from training.commands import refusals
from training.data.listing.manifest import ListedClip, clips_of_folder, read_manifest
from training.data.shards.files import ShardFormat, check_shard, find_shards, read_format, read_index, read_sample
from training.errors import ManifestError, ShardError
from training.parallel import Failure, failure_of

app = typer.Typer(help="Clips with landmarks as shards for training.", no_args_is_help=True)


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
    return {sample.info.video_id for shard in find_shards(path) for sample in read_index(shard).samples}


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
    from training.data.shards.write import write_shards

    with refusals():
        listed = read_list(clips, poses)
        for other in apart_from or ():
            if shared := sorted({clip.video_id for clip in listed} & video_ids(other)):
                raise ManifestError(
                    f"{len(shared)} videos are also in {other}: {', '.join(shared[:20])}; take them out"
                )
        report = write_shards(
            listed, out, shard_format=ShardFormat(size_px), body=body, clips_per_shard=clips_per_shard, workers=workers
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
        read_format(folder)
        for shard in find_shards(folder):
            try:
                samples = check_shard(shard).samples
            except ShardError as error:
                failed.append(failure_of(shard.name, error))
                continue
            for sample in samples:
                try:
                    read_sample(shard, sample, 0, sample.info.num_frames)
                except ShardError as error:
                    failed.append(failure_of(sample.info.key, error))
                else:
                    num_samples += 1
                    num_frames += sample.info.num_frames
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
