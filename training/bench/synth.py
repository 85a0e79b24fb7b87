"""Rendering speed: the renderer alone and the whole window stream, in one or several processes, on this machine."""

import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

import numpy as np

from training.synth.clips.clip_source import ClipSource
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import body_source
from training.synth.clips.window_stream import stream_windows
from training.synth.render.random_scene import SceneVariation, random_scene
from training.synth.render.renderer import Renderer

SIZES = ((224, 224), (640, 360))
SHARP = SceneVariation(blur_exposures=1)

Measured = tuple[int, float, float, str]
"""Frames, seconds by the clock, seconds of processor, device."""


@dataclass(frozen=True)
class BenchCase:
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
class RenderSpeed:
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


def measure(case: BenchCase) -> RenderSpeed:
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
    return RenderSpeed(
        work=case.work,
        width=case.width,
        height=case.height,
        processes=case.processes,
        frames_per_s=round(frames / (wall / case.processes), 1),
        frames_per_core_s=round(frames / cpu, 1),
        device=rows[0][3],
    )


def _work(case: BenchCase, worker: int, start: Barrier, results: SimpleQueue[Measured]) -> None:
    measured = (_measure_draw if case.work == "draw" else _measure_stream)(case, worker, start.wait)
    results.put(measured)


def _measure_draw(case: BenchCase, worker: int, wait: Callable[[], int]) -> Measured:
    source = ClipSource(body_source(case.assets), seed=1, size=(case.width, case.height))
    signer, rng = source.signer(worker), source.rng(0, worker)
    scene = random_scene(rng, signer.body.rig, *source.size, variation=SHARP)
    clip = source.clip(make_signs(4, 1)[worker % 4], signer, scene, rng)
    body, renderer = source.load(signer, scene), source.renderer
    renderer.render(body, clip.transforms, scene)
    return _timed(lambda: len(renderer.render(body, clip.transforms, scene)), case.seconds, wait, renderer.device)


def _measure_stream(case: BenchCase, worker: int, wait: Callable[[], int]) -> Measured:
    renderer = Renderer(64, 64)
    device = renderer.device
    renderer.close()
    bodies, size = body_source(case.assets), (case.width, case.height)
    windows = stream_windows(make_signs(40, 7), bodies, seed=1, size=size, worker=worker)
    next(windows)
    return _timed(lambda: len(next(windows).frames), case.seconds, wait, device)


def _timed(render: Callable[[], int], seconds: float, wait: Callable[[], int], device: str) -> Measured:
    """Render again and again from when all processes are ready."""
    wait()
    wall, cpu, frames = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < seconds:
        frames += render()
    return frames, time.perf_counter() - wall, time.process_time() - cpu, device


def run_bench(assets: str | None, seconds: float, processes: tuple[int, ...]) -> list[RenderSpeed]:
    """Both kinds of work at both sizes for every number of processes."""
    return [
        measure(BenchCase(work, width, height, number, seconds, assets))
        for work in ("draw", "stream")
        for width, height in SIZES
        for number in processes
    ]


def as_markdown(speeds: list[RenderSpeed], assets: str | None, command: str) -> str:
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


def as_json(speeds: list[RenderSpeed]) -> str:
    """The same as JSON."""
    return json.dumps([asdict(speed) for speed in speeds], indent=1)
