"""Commands of the data path, from videos to shards.

    python -m training.data pose CLIPS OUT                        landmarks of videos, with MediaPipe
    python -m training.data priors measure LANDMARKS... --out F   the standard body of a data set
    python -m training.data priors errors LANDMARKS...            how far it is from what was observed
    python -m training.data priors show CLIP OUT.png|mp4          the skeleton over the frames
    python -m training.data shards write LIST OUT [--poses DIR]   LIST is a manifest (.csv) or a folder of videos
    python -m training.data shards check OUT                      reads every sample of every shard
    python -m training.data shards leaks ONE OTHER                videos that are in both

`pose` runs in the environment of the pose group (`make .venv-pose/.ready`): MediaPipe needs numpy < 2, which keeps it
apart from training. On Debian it needs the packages libgl1 and libegl1.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from training.commands import refusals
from training.data.prior_commands import app as priors
from training.data.shard_commands import app as shards

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(priors, name="priors")
app.add_typer(shards, name="shards")


@app.command()
def pose(
    clips: Annotated[Path, typer.Argument(help="Folder of videos, sub-folders included.")],
    out: Annotated[Path, typer.Argument(help="Folder for the landmarks, laid out like CLIPS.")],
    *,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each takes about one core.")] = os.cpu_count() or 1,
    complexity: Annotated[int, typer.Option(min=0, max=1, help="Of MediaPipe's pose network.")] = 1,
) -> None:
    """Estimate the landmarks of every video. Exits with 1 when none could be done."""
    from model.skeleton.estimator import MediaPipeOptions
    from training.data.poses.estimate import estimate_folder

    with refusals():
        report = estimate_folder(clips, out, MediaPipeOptions(complexity), workers)
    typer.echo("\n".join(report.lines()))
    if report.num_done + report.num_there == 0:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
