"""Learn to look up: `python -m training.contrast REAL --out last.pt --motions POSES --assets BODIES --minutes 8`.

REAL is a folder of shards of real clips, as `training.shards write` makes them. Pairs of the same movement by two
synthetic signers are drawn first, by processes of their own, and kept where they are learned from. Not while the
network learns: on one GPU, beside fifteen processes that drew, it took one step a second instead of six.
"""

import itertools
import os
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from model.checkpoint import load_tensors
from training.assignments import override
from training.commands import refusals
from training.contrast.course import Course, Lesson, begin, centre_heads, go_on, is_finished, teach
from training.contrast.judge import Exam, judge, make_exam
from training.contrast.pool import Pool, make_rows, moment_bytes
from training.contrast.real import num_moments, read_real
from training.contrast.theatre import NUM_PERFORMERS, Programme
from training.contrast.troupe import Troupe
from training.data.shard_files import read_form
from training.errors import ConfigError, DataError
from training.fit.distributed import join_world
from training.fit.files import write_whole
from training.priors import read_body
from training.synth.shards import find_motions

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)
COLUMNS = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
SHOWN = ("total", "contrast", "found", "cosine", "hands", "activity", "prior/body_pose", "grad_norm")


@app.command()
def main(
    real: Annotated[Path, typer.Argument(help="Folder of shards of real clips.")],
    *,
    out: Annotated[Path, typer.Option(help="Checkpoint to write; what an earlier attempt left there goes on.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Of learning, earlier attempts included.")] = 8.0,
    motions: Annotated[list[Path] | None, typer.Option(help="Landmarks of the real clips, to re-enact.")] = None,
    assets: Annotated[Path | None, typer.Option(help="Folder of bodies; without it mannequins perform.")] = None,
    validation: Annotated[Path | None, typer.Option(help="Folder of shards to judge by.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="That draw.")] = max(1, (os.cpu_count() or 2) - 1),
    pairs: Annotated[int, typer.Option(min=1, help="Most pairs to draw and keep.")] = 4000,
    draw_s: Annotated[float, typer.Option(min=0.0, help="Most seconds to draw.")] = 180.0,
    moments: Annotated[int, typer.Option(min=2, help="Of every drawn clip.")] = 14,
    judge_every_s: Annotated[float, typer.Option(min=1.0, help="Seconds between two judgements and savings.")] = 60.0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field of the lesson or encoder.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    first_cast: Annotated[int, typer.Option(min=0, help="Cast that draws first; another one for every attempt.")] = 0,
    seed: Annotated[int, typer.Option(help="Draws everything but the order in which pairs come.")] = 0,
) -> None:
    """Teach an encoder to look up."""
    with refusals():
        lesson = override(Lesson(60.0 * minutes, seed=seed), settings or [])
        size_px = fitting_size(real, lesson)
        files = tuple(find_motions(motions or ()))
        programme = Programme(seed, size_px, moments, files, assets=assets)
        with join_world(device) as world:
            if world.size > 1:
                raise ConfigError(f"{world.size} processes were started; this learns in one: start it without torchrun")
            course = take_up(lesson, out, world.device)
            with Troupe(programme, processes, first_cast) as troupe:
                pool, exam = gather(real, validation, programme, pairs, world.device)
                draw(troupe, pool, draw_s)
            if not course.step:
                centre_heads(course, pool.rows)
            learn(course, lesson, pool, exam, out, judge_every_s)
        known = f"{len(pool.real) // 2} real clips, {len(pool)} pairs by synthetic signers"
        write_whole(course.checkpoint(finished=known), out)
        typer.echo(f"{out}: {course.step} steps, {course.num_windows} moments in {course.elapsed_s:.0f} s, of {known}")


def fitting_size(real: Path, lesson: Lesson) -> int:
    """The side of the clips' frames, which the encoder has to take as they are.

    Raises:
        ConfigError: it takes another one.
    """
    size_px = read_form(real).size_px
    if size_px != lesson.encoder.image_size:
        raise ConfigError(
            f"the clips in {real} have {size_px} pixels a side, the encoder takes {lesson.encoder.image_size} pixels;"
            " write shards with that --size-px, or set encoder.image_size"
        )
    return size_px


def take_up(lesson: Lesson, out: Path, device: torch.device) -> Course:
    """A new run, or the one that `out` holds.

    Raises:
        ConfigError: it is finished.
    """
    course = begin(lesson, device)
    if out.exists():
        if is_finished(out):
            raise ConfigError(f"{out} is finished; to begin anew, delete it or write to another file")
        go_on(course, load_tensors(out))
    return course


def gather(
    real: Path, validation: Path | None, programme: Programme, pairs: int, device: torch.device
) -> tuple[Pool, Exam | None]:
    """Bring the real clips to the device, and make room for the drawn ones."""
    body = read_body(real / "body.json")
    per_pair = NUM_PERFORMERS * programme.num_moments
    capacity = num_moments(real) + pairs * per_pair
    console.print(f"room for {capacity} moments: {capacity * moment_bytes(programme.size_px) / 1e9:.1f} GB on {device}")
    pool = Pool(make_rows(capacity, programme.size_px, device), programme.num_moments, pairs)
    threads = os.cpu_count() or 1
    for clip in read_real(real, body, threads=threads):
        pool.keep(clip.moments, clip.movement)
    if validation is None:
        return pool, None
    return pool, make_exam(list(read_real(validation, body, threads=threads)), device)


def draw(troupe: Troupe, pool: Pool, seconds: float) -> None:
    """Take pairs until there is no room or no time for more."""
    start = time.perf_counter()
    with Progress(*COLUMNS, TextColumn("pairs"), console=console) as progress:
        task = progress.add_task("drawing", total=pool.room)
        while len(pool) < pool.room and time.perf_counter() - start < seconds:
            for duet in itertools.islice(troupe.drawn(wait_s=1.0), pool.room - len(pool)):
                pool.add(duet)
                progress.update(task, completed=len(pool))
    took = time.perf_counter() - start
    if seconds and not len(pool):
        raise DataError(
            f"no pair was drawn in {took:.0f} s; give --draw-s more: {troupe.skipped[:2] or 'none was ready'}"
        )
    console.print(
        f"{len(pool)} pairs in {took:.0f} s, {len(troupe.skipped)} impossible: {troupe.skipped[:2]}", markup=False
    )


def learn(course: Course, lesson: Lesson, pool: Pool, exam: Exam | None, out: Path, judge_every_s: float) -> None:
    """Teach under the eyes of a person."""
    judged_s = course.elapsed_s

    def watch(terms: dict[str, float]) -> None:
        nonlocal judged_s
        shown = " ".join(f"{name.split('/')[-1]} {terms[name]:.3f}" for name in SHOWN)
        progress.update(task, completed=course.elapsed_s, told=f"step {course.step} {shown}")
        if course.elapsed_s - judged_s >= judge_every_s:
            judged_s = course.elapsed_s
            write_whole(course.checkpoint(), out)
            progress.console.print(f"{told(course, exam)}\n  {shown}", markup=False)

    with Progress(*COLUMNS, TimeRemainingColumn(), TextColumn("{task.fields[told]}"), console=console) as progress:
        task = progress.add_task("learning", total=lesson.seconds, told="")
        teach(course, lesson, pool, watch=watch)
        progress.console.print(told(course, exam), markup=False)


def told(course: Course, exam: Exam | None) -> str:
    """How far the run is, and how well what is held out is looked up."""
    found = {} if exam is None else judge(course, exam)
    values = " ".join(f"{name} {value:.3g}" for name, value in found.items())
    return f"{course.elapsed_s:.0f} s, step {course.step}, {course.num_windows} moments: {values}"


if __name__ == "__main__":
    app()
