"""The commands: `python -m training.closeup cut SHARDS.. --out CROPS`, `python -m training.closeup learn CROPS..`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training.closeup.course import Course, Lesson, begin, is_finished, teach
from training.closeup.crops import Crops, read_crops, write_crops
from training.closeup.learn import validate
from training.commands import refusals
from training.errors import ConfigError
from training.fit.distributed import World, join_world
from training.fit.files import write_whole
from training.priors import read_body

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console(stderr=True)
COLUMNS = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))


@app.command()
def cut(
    shards: Annotated[list[Path], typer.Argument(help="Folders of shards.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder to write, 125 KB a hand.")],
    body: Annotated[Path | None, typer.Option(help="The standard body; that of the first folder if not given.")] = None,
    stride: Annotated[int, typer.Option(min=1, help="Frames from one pair of frames to the next.")] = 2,
) -> None:
    """Cut the hands out of shards."""
    with refusals():
        standard = read_body(body or shards[0] / "body.json")
        with Progress(*COLUMNS, TimeRemainingColumn(), console=console) as progress:
            task = progress.add_task("clips", total=0)
            num = write_crops(
                shards,
                out,
                standard,
                stride=stride,
                told=lambda done, total: progress.update(task, completed=done, total=total),
            )
    typer.echo(f"{num} hands in {out}")


@app.command()
def learn(
    crops: Annotated[list[Path], typer.Argument(help="Folders of hands to learn from, as `cut` writes them.")],
    *,
    out: Annotated[Path, typer.Option(help="Checkpoint to write; what an earlier attempt left there goes on.")],
    shares: Annotated[str, typer.Option(help="Share of every folder, as 0.6,0.4; empty: as many as they have.")] = "",
    validation: Annotated[list[Path] | None, typer.Option(help="Folders of hands to judge by.")] = None,
    start_from: Annotated[Path | None, typer.Option(help="A pretraining run's checkpoint; empty: new weights.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Of learning, earlier attempts included.")] = 45.0,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="The highest.")] = 1e-3,
    batch: Annotated[int, typer.Option(min=2, help="Hands a step and process.")] = 128,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between two savings.")] = 500,
    seed: Annotated[int, typer.Option(help="Draws everything.")] = 0,
) -> None:
    """Teach the closer look of an encoder on hands alone. Start it with torchrun for several processes."""
    with refusals():
        if is_finished(out):
            typer.echo(f"{out} is finished; to begin anew, delete it or write to another file")
            return
        course = begin(out, start_from, seed)
        given = [read_crops(folder) for folder in crops]
        held = {folder.name: read_crops(folder) for folder in validation or []}
        lesson = Lesson(given, mixture(given, shares), 60 * minutes, learning_rate, batch, seed)
        with join_world("cpu") as world:
            watch_over(course, lesson, world, held, out, save_every)
            if world.leads:
                names = ", ".join(folder.name for folder in crops)
                write_whole(course.checkpoint(finished=f"hands of {names}, {batch * world.size} a step"), out)
                typer.echo(f"{out}: {course.step} steps in {course.elapsed_s:.0f} s")


def watch_over(
    course: Course, lesson: Lesson, world: World, held: dict[str, Crops], out: Path, save_every: int
) -> None:
    """Teach under the eyes of a person, who sees how hands that are not learned from are read."""
    with Progress(*COLUMNS, TextColumn("{task.fields[told]}"), console=console, disable=not world.leads) as progress:
        task = progress.add_task("seconds", total=lesson.seconds, told="")

        def watch(loss: float, cosine: float) -> None:
            told = f"step {course.step} loss {loss:.3f} cosine {cosine:.3f}"
            progress.update(task, completed=course.elapsed_s, told=told)
            if world.leads and course.step % save_every == 0:
                write_whole(course.checkpoint(), out)
                progress.console.print(judged(course, held), markup=False)

        teach(course, lesson, world, watch)
        if world.leads:
            progress.console.print(judged(course, held), markup=False)


def judged(course: Course, held: dict[str, Crops]) -> str:
    """How well hands that are not learned from are read."""
    size_px = course.reader.backbone.config.image_size
    found = [f"{name} {validate(course.reader, crops, size_px):.3f}" for name, crops in held.items()]
    return f"step {course.step}, {course.elapsed_s:.0f} s: mean cosine of bones {', '.join(found) or 'not asked for'}"


def mixture(crops: list[Crops], shares: str) -> np.ndarray:
    """How often every folder is drawn from.

    Raises:
        ConfigError: not as many numbers as folders.
    """
    try:
        parts = np.array([float(part) for part in shares.split(",")] if shares else [len(some) for some in crops])
    except ValueError as error:
        raise ConfigError(f"shares are {shares!r}; write numbers as in 0.6,0.4") from error
    if len(parts) != len(crops) or (parts <= 0).any():
        raise ConfigError(f"shares are {shares!r} for {len(crops)} folders; give each a number above 0")
    return np.asarray(parts / parts.sum())


if __name__ == "__main__":
    app()
