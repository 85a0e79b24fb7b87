"""Learn to look up: `python -m training.contrast learn REAL --out last.pt --motions POSES --assets BODIES --minutes 8`.

REAL is a folder of shards of real clips, as `training.shards write` makes them. Pairs of the same movement by two
synthetic signers are drawn first, by processes of their own, and kept where they are learned from; or they were drawn
before, by `python -m training.contrast draw PAIRS`, for as many runs as one likes. Not while the network learns: on one
GPU, beside fifteen processes that drew, it took one step a second instead of six.
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
from training.contrast.course import Course, begin, centre_heads, go_on, is_finished, teach
from training.contrast.drawn import find_duets, open_folder, read_duets, shape_of, write_duet
from training.contrast.judge import Exam, judge, make_exam
from training.contrast.lesson import Lesson
from training.contrast.pool import Pool, make_rows, moment_bytes
from training.contrast.real import MOST_MOMENTS, num_moments, read_real
from training.contrast.theatre import NUM_PERFORMERS, Movement, Programme
from training.contrast.troupe import Troupe
from training.data.shard_files import read_form
from training.errors import ConfigError, DataError
from training.fit.distributed import World, join_world
from training.fit.files import write_whole
from training.priors import read_body
from training.synth.manner import Manners
from training.synth.shards import find_motions

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console(stderr=True)
COLUMNS = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
SHOWN = ("total", "contrast", "found", "cosine", "hands", "activity", "prior/body_pose", "grad_norm")
Motions = Annotated[list[Path] | None, typer.Option(help="Landmarks of the real clips, to re-enact.")]
Assets = Annotated[Path | None, typer.Option(help="Folder of bodies; without it mannequins perform.")]
Processes = Annotated[int, typer.Option(min=1, help="That draw.")]
MomentsOf = Annotated[int, typer.Option(min=2, help="Of every drawn clip.")]
Manner = Annotated[
    bool, typer.Option("--manner", help="People re-enact in manners of their own, not the same to the frame.")
]
Seed = Annotated[int, typer.Option(help="Draws everything but the order in which pairs come.")]
MOST_PROCESSES = max(1, (os.cpu_count() or 2) - 1)


@app.command()
def draw(
    out: Annotated[Path, typer.Argument(help="Folder of the pairs; what it has is kept. 8 MB a pair of 10 moments.")],
    *,
    pairs: Annotated[int, typer.Option(min=1, help="In all.")] = 1000,
    size_px: Annotated[int, typer.Option(min=32, help="Side of a frame, as of the shards learned from.")] = 256,
    motions: Motions = None,
    assets: Assets = None,
    manner: Manner = False,
    processes: Processes = MOST_PROCESSES,
    moments: MomentsOf = 10,
    seed: Seed = 0,
) -> None:
    """Draw pairs to learn from, and keep them."""
    with refusals():
        programme = programme_of(seed, size_px, moments, motions, assets, manner=manner)
        have = open_folder(out, programme)
        with (
            Troupe(programme, processes, skipping=have) as troupe,
            Progress(*COLUMNS, TimeRemainingColumn(), TextColumn("pairs"), console=console) as progress,
        ):
            task = progress.add_task("drawing", total=pairs, completed=len(have))
            while len(have) < pairs:
                for duet in itertools.islice(troupe.drawn(wait_s=1.0), pairs - len(have)):
                    write_duet(out, duet)
                    have.add(duet.number)
                    progress.update(task, completed=len(have))
        typer.echo(f"{out}: {len(have)} pairs, {len(troupe.skipped)} impossible")


@app.command()
def learn(
    real: Annotated[Path, typer.Argument(help="Folder of shards of real clips.")],
    *,
    out: Annotated[Path, typer.Option(help="Checkpoint to write; what an earlier attempt left there goes on.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Of learning, earlier attempts included.")] = 8.0,
    start_from: Annotated[Path | None, typer.Option(help="Checkpoint to begin with; else random weights.")] = None,
    drawn: Annotated[Path | None, typer.Option(help="Folder of pairs drawn before; nothing else is drawn.")] = None,
    motions: Motions = None,
    assets: Assets = None,
    manner: Manner = False,
    validation: Annotated[Path | None, typer.Option(help="Folder of shards to judge by.")] = None,
    processes: Processes = MOST_PROCESSES,
    pairs: Annotated[int, typer.Option(min=1, help="Most pairs to draw and keep.")] = 4000,
    draw_s: Annotated[float, typer.Option(min=0.0, help="Most seconds to draw.")] = 180.0,
    moments: MomentsOf = 14,
    real_moments: Annotated[int, typer.Option(min=2, help="Most of every real clip.")] = MOST_MOMENTS,
    judge_every_s: Annotated[float, typer.Option(min=1.0, help="Seconds between two judgements and savings.")] = 60.0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field of the lesson or encoder.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    first_cast: Annotated[int, typer.Option(min=0, help="Cast that draws first; another one for every attempt.")] = 0,
    seed: Seed = 0,
) -> None:
    """Teach an encoder to look up. Start it with torchrun for several processes, which share out what was drawn."""
    with refusals():
        lesson = override(Lesson(60.0 * minutes, seed=seed), settings or [])
        size_px = fitting_size(real, lesson)
        with join_world(device) as world:
            course = take_up(lesson, out, world, start_from)
            pool = read_clips(real, size_px, real_moments, drawn, (pairs, moments), world)
            if drawn is None:
                programme = programme_of(seed, size_px, moments, motions, assets, manner=manner)
                draw_into(pool, programme, processes, first_cast, draw_s)
            exam = read_exam(validation, real, world) if world.leads else None
            if course.is_new:
                centre_heads(course, pool.rows)
            watch_over(course, lesson, pool, exam, out, judge_every_s)
            counts = world.total(torch.tensor([len(pool.real) // 2, len(pool)], device=world.device)).tolist()
            known = f"{counts[0]} real clips, {counts[1]} pairs by synthetic signers"
            if world.leads:
                write_whole(course.checkpoint(finished=known), out)
                typer.echo(
                    f"{out}: {course.step} steps, {course.num_windows} moments in {course.elapsed_s:.0f} s, of {known}"
                )


def programme_of(
    seed: int, size_px: int, moments: int, motions: list[Path] | None, assets: Path | None, *, manner: bool
) -> Programme:
    """What is drawn."""
    files = tuple(find_motions(motions or ()))
    return Programme(seed, size_px, moments, files, assets=assets, manners=Manners() if manner else None)


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


def take_up(lesson: Lesson, out: Path, world: World, start_from: Path | None) -> Course:
    """A new run, or the one that `out` holds.

    Raises:
        ConfigError: it is finished.
    """
    going_on = out.exists()
    if going_on and is_finished(out):
        raise ConfigError(f"{out} is finished; to begin anew, delete it or write to another file")
    course = begin(lesson, world, None if going_on else start_from)
    if going_on:
        go_on(course, load_tensors(out))
    return course


def read_clips(
    real: Path, size_px: int, real_moments: int, drawn: Path | None, room: tuple[int, int], world: World
) -> Pool:
    """Bring this process's share of the real clips and of what was drawn to the device, or make room for what will be.

    Args:
        real: folder of shards.
        size_px: side of a frame.
        real_moments: most of a real clip.
        drawn: folder of pairs.
        room: pairs and moments of each, where nothing was drawn yet.
        world: shares out movements.

    Raises:
        ConfigError: several processes and nothing drawn.
        DataError: pairs of another size.
    """

    def mine(movement: Movement) -> bool:
        return movement.share(world.size) == world.rank

    if drawn is None and world.size > 1:
        raise ConfigError(
            f"{world.size} processes were started, which learn from pairs that were drawn before: draw some with"
            " `python -m training.contrast draw PAIRS`, and give --drawn PAIRS"
        )
    duets = [] if drawn is None else find_duets(drawn, mine)
    num_pairs, moments_each = room if drawn is None else (len(duets), 1)
    if duets:
        moments_each, side = shape_of(duets[0])
        if side != size_px:
            raise DataError(f"the pairs in {drawn} have {side} pixels a side, the clips in {real} {size_px}")
    capacity = num_moments(real, most=real_moments, wanted=mine) + num_pairs * NUM_PERFORMERS * moments_each
    gigabytes = capacity * moment_bytes(size_px) / 1e9
    console.print(f"room for {capacity} moments: {gigabytes:.1f} GB on {world.device}")
    pool = Pool(make_rows(capacity, size_px, world.device), moments_each, num_pairs)
    for clip in read_real(
        real, read_body(real / "body.json"), threads=threads_of(world), most=real_moments, wanted=mine
    ):
        pool.keep(clip.moments, clip.movement)
    for duet in read_duets(duets):
        pool.add(duet)
    return pool


def threads_of(world: World) -> int:
    """Threads to decode with."""
    return max(1, (os.cpu_count() or 1) // world.size)


def read_exam(validation: Path | None, real: Path, world: World) -> Exam | None:
    """What a run is judged by."""
    if validation is None:
        return None
    return make_exam(
        list(read_real(validation, read_body(real / "body.json"), threads=threads_of(world))), world.device
    )


def draw_into(pool: Pool, programme: Programme, processes: int, first_cast: int, seconds: float) -> None:
    """Draw pairs until there is no room or no time for more."""
    start = time.perf_counter()
    with (
        Troupe(programme, processes, first_cast) as troupe,
        Progress(*COLUMNS, TextColumn("pairs"), console=console) as progress,
    ):
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


def watch_over(course: Course, lesson: Lesson, pool: Pool, exam: Exam | None, out: Path, judge_every_s: float) -> None:
    """Teach under the eyes of a person."""
    judged_s, leads = course.elapsed_s, course.world.leads

    def watch(terms: dict[str, float]) -> None:
        nonlocal judged_s
        shown = " ".join(f"{name.split('/')[-1]} {terms[name]:.3f}" for name in SHOWN if name in terms)
        progress.update(task, completed=course.elapsed_s, told=f"step {course.step} {shown}")
        if leads and course.elapsed_s - judged_s >= judge_every_s:
            judged_s = course.elapsed_s
            write_whole(course.checkpoint(), out)
            progress.console.print(f"{told(course, exam)}\n  {shown}", markup=False)

    with Progress(
        *COLUMNS, TimeRemainingColumn(), TextColumn("{task.fields[told]}"), console=console, disable=not leads
    ) as progress:
        task = progress.add_task("learning", total=lesson.seconds, told="")
        teach(course, lesson, pool, watch=watch)
        if leads:
            progress.console.print(told(course, exam), markup=False)


def told(course: Course, exam: Exam | None) -> str:
    """How far the run is, and how well what is held out is looked up."""
    found = {} if exam is None else judge(course, exam)
    values = " ".join(f"{name} {value:.3g}" for name, value in found.items())
    return f"{course.elapsed_s:.0f} s, step {course.step}, {course.num_windows} moments: {values}"


if __name__ == "__main__":
    app()
