"""How fast frames are drawn: renderer alone and the whole stream, in one or several processes, on this machine."""

import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

from training.synth.bodies import BodyLibrary
from training.synth.cast import BodySource, Mannequins, People, cast_signer
from training.synth.clips import clip_rng, load_signer, take
from training.synth.lexicon import make_signs
from training.synth.render import Renderer
from training.synth.settings import Variety, random_scene
from training.synth.stream import stream_windows

SIZES = ((224, 224), (640, 360))
SHARP = Variety(blur_exposures=1)

Measured = tuple[int, float, float, str]
"""Frames, seconds by the clock, seconds of processor, device."""


@dataclass(frozen=True)
class Case:
    """One row of the table to be measured."""

    work: str
    """draw: frames of one signer from ready poses; stream: everything a training loop gets, new signers included."""
    width: int
    height: int
    processes: int
    seconds: float
    assets: str | None
    """Folder of bodies; None: mannequins."""


@dataclass(frozen=True)
class Speed:
    """What one case came to."""

    work: str
    width: int
    height: int
    processes: int
    frames_per_s: float
    """Of all processes together, by the clock."""
    frames_per_core_s: float
    """Frames per second of processor time: what a core would give that did nothing else."""
    device: str


def measure(case: Case) -> Speed:
    """Run a case in fresh processes that start together."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(case.processes)
    results = context.SimpleQueue()
    # A process per core: Mesa's own threads would only get in each other's way.
    os.environ.setdefault("LP_NUM_THREADS", "0" if case.processes > 1 else str(min(os.cpu_count() or 1, 8)))
    workers = [context.Process(target=_work, args=(case, worker, start, results)) for worker in range(case.processes)]
    for worker in workers:
        worker.start()
    rows = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    frames, wall, cpu = (sum(row[part] for row in rows) for part in range(3))
    return Speed(
        work=case.work,
        width=case.width,
        height=case.height,
        processes=case.processes,
        frames_per_s=round(frames / (wall / case.processes), 1),
        frames_per_core_s=round(frames / cpu, 1),
        device=rows[0][3],
    )


def _work(case: Case, worker: int, start: Barrier, results: SimpleQueue[Measured]) -> None:
    bodies = body_source(case.assets)
    run = _draw_for if case.work == "draw" else _stream_for
    results.put(run(case, bodies, worker, start.wait))


def body_source(assets: str | None) -> BodySource:
    """People of an assets folder, or mannequins."""
    return Mannequins() if assets is None else People(BodyLibrary(Path(assets)))


def _draw_for(case: Case, bodies: BodySource, worker: int, wait: Callable[[], int]) -> Measured:
    size = (case.width, case.height)
    renderer = Renderer(*size)
    signer = cast_signer(bodies, worker, 1)
    rng = clip_rng(1, 0, worker)
    scene = random_scene(rng, signer.body.rig, *size, variety=SHARP)
    clip = take(make_signs(4, 1)[worker % 4], signer, scene, size, rng)
    body = load_signer(renderer, signer, scene)
    renderer.render(body, clip.transforms, scene)
    wait()
    wall, cpu, frames = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < case.seconds:
        frames += len(renderer.render(body, clip.transforms, scene))
    return frames, time.perf_counter() - wall, time.process_time() - cpu, renderer.device


def _stream_for(case: Case, bodies: BodySource, worker: int, wait: Callable[[], int]) -> Measured:
    renderer = Renderer(64, 64)
    device = renderer.device
    renderer.close()
    windows = stream_windows(make_signs(40, 7), bodies, seed=1, size=(case.width, case.height), worker=worker)
    next(windows)
    wait()
    wall, cpu, frames = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < case.seconds:
        frames += len(next(windows).frames)
    return frames, time.perf_counter() - wall, time.process_time() - cpu, device


def run_bench(assets: str | None, seconds: float, processes: tuple[int, ...]) -> list[Speed]:
    """Both kinds of work at both sizes for every number of processes."""
    return [
        measure(Case(work, width, height, number, seconds, assets))
        for work in ("draw", "stream")
        for width, height in SIZES
        for number in processes
    ]


def as_markdown(speeds: list[Speed], assets: str | None, command: str) -> str:
    """The table, with what it was measured on and how."""
    rows = [
        f"| {speed.work} | {speed.width} x {speed.height} | {speed.processes} | {speed.frames_per_s:.0f} | "
        f"{speed.frames_per_core_s:.0f} |"
        for speed in speeds
    ]
    load = np.round(os.getloadavg()[0], 1)
    return "\n".join(
        [
            "# Speed of the synthetic signer",
            "",
            f"{speeds[0].device}, {os.cpu_count()} cores, {platform.machine()}, load {load} while measuring; "
            f"{'mannequins' if assets is None else 'people'}. `draw`: frames of one signer from ready poses. "
            "`stream`: whole windows for training: new signers, motion, rooms, a third of the clips with motion blur, "
            "most with compression.",
            "",
            f"    {command}",
            "",
            "| work | size | processes | frames / s | frames / core-second |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def as_json(speeds: list[Speed]) -> str:
    """The same as JSON."""
    return json.dumps([asdict(speed) for speed in speeds], indent=1)
