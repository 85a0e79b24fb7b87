"""A whole contrastive run as the command does it: clips to the device, render pairs, start or resume, train."""

import itertools
import os
import time
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training.contrastive.clips.clip_pool import ClipPool, make_table, window_bytes
from training.contrastive.clips.pair_renderer import NUM_PERFORMERS, Movement, PairRendererConfig
from training.contrastive.clips.pair_store import find_pairs, open_folder, read_pairs, shape_of, write_pair
from training.contrastive.clips.render_workers import RenderWorkers
from training.contrastive.clips.shard_clips import count_windows, read_clips
from training.contrastive.config import ContrastiveConfig
from training.contrastive.loop import train_contrastive
from training.contrastive.state import ContrastiveState, is_over, resume_run, start_run
from training.contrastive.validation import ValidationSet, make_validation_set
from training.data.priors.standard_body import read_body
from training.data.shards.files import read_format
from training.errors import ConfigError, DataError
from training.fit.console import attended, messages
from training.fit.distributed import World
from training.fit.files import LAST
from training.fit.loop import StepReport
from training.synth.clips.shards import find_motions
from training.synth.reenactment.variation import MotionVariation

COLUMNS = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
SHOWN = ("total", "contrast", "nearest", "single_hands", "bone_cosine", "hands", "activity", "prior/body_pose")


def train(config: ContrastiveConfig, world: World, *, resume: bool) -> ContrastiveState:
    """Start a run, or with `resume` continue the one in the output folder, if any; one that is over is left as it is.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    size_px = matching_size(config)
    resumed = resume and (config.output / LAST).exists()
    state = resume_run(config, world.device) if resumed else start_run(config, world.device)
    if is_over(config, state.step, state.elapsed_s):
        return state
    pool = load_clips(config, size_px, world)
    if not config.data.pairs:
        render_into(pool, config, size_px)
    held_out = load_validation(config, world) if config.data.validation and world.leads else None
    counts = world.total(torch.tensor([len(pool.real) // 2, len(pool)], device=world.device)).tolist()
    state.clips = f"{counts[0]} real clips, {counts[1]} pairs by synthetic signers"
    with attended(config.output, state.step, describe, world) as (callbacks, stop):
        return train_contrastive(state, pool, world, callbacks=callbacks, held_out=held_out, stop=stop)


def matching_size(config: ContrastiveConfig) -> int:
    """The side of the clips' frames, which has to be the encoder's.

    Raises:
        ConfigError: it is another one, or no shards are named.
    """
    if not config.data.shards:
        raise ConfigError("data.shards is empty; name a folder of shards of real clips")
    size_px = read_format(Path(config.data.shards)).size_px
    if size_px != config.encoder.image_size:
        raise ConfigError(
            f"the clips in {config.data.shards} have {size_px} pixels a side, the encoder takes"
            f" {config.encoder.image_size} pixels; write shards with that --size-px, or set encoder.image_size"
        )
    return size_px


def load_clips(config: ContrastiveConfig, size_px: int, world: World) -> ClipPool:
    """Bring this process's share of the real clips and of the stored pairs to the device; reserve room for others.

    Raises:
        ConfigError: there are several processes and no stored pairs.
        DataError: the pairs have frames of another size.
    """
    data, real = config.data, Path(config.data.shards)

    def own(movement: Movement) -> bool:
        return movement.share(world.size) == world.rank

    if not data.pairs and world.size > 1:
        raise ConfigError(
            f"{world.size} processes were started, which train on pairs that are stored: render some with"
            " `python -m training.contrastive render-pairs PAIRS`, and set data.pairs=PAIRS"
        )
    pairs = find_pairs(Path(data.pairs), own) if data.pairs else []
    max_pairs, windows_each = (
        (len(pairs), 1) if data.pairs else (config.render.max_pairs, config.render.windows_per_clip)
    )
    if pairs:
        windows_each, side = shape_of(pairs[0])
        if side != size_px:
            raise DataError(f"the pairs in {data.pairs} have {side} pixels a side, the clips in {real} {size_px}")
    num_real = count_windows(real, max_windows=data.windows_per_clip, wanted=own)
    capacity = num_real + max_pairs * NUM_PERFORMERS * windows_each
    messages.print(f"room for {capacity} windows: {capacity * window_bytes(size_px) / 1e9:.1f} GB on {world.device}")
    pool = ClipPool(make_table(capacity, size_px, world.device), windows_each, max_pairs)
    body, threads = read_body(real / "body.json"), decoding_threads(world)
    for clip in read_clips(real, body, threads=threads, max_windows=data.windows_per_clip, wanted=own):
        pool.add_clip(clip.windows, clip.movement)
    for pair in read_pairs(pairs):
        pool.add_pair(pair)
    return pool


def load_validation(config: ContrastiveConfig, world: World) -> ValidationSet:
    """Bring the held-out clips to the device."""
    body = read_body(Path(config.data.shards) / "body.json")
    clips = read_clips(Path(config.data.validation), body, threads=decoding_threads(world))
    return make_validation_set(list(clips), world.device)


def decoding_threads(world: World) -> int:
    """Threads of a process that decode."""
    return max(1, (os.cpu_count() or 1) // world.size)


def render_workers(workers: int) -> int:
    """Processes that render: as many as set, or one less than there are cores."""
    return workers or max(1, (os.cpu_count() or 2) - 1)


def render_into(pool: ClipPool, config: ContrastiveConfig, size_px: int) -> None:
    """Render pairs until the pool is full or the time is over.

    Raises:
        DataError: no pair was rendered in that time.
    """
    render, start = config.render, time.perf_counter()
    settings = PairRendererConfig(
        config.seed,
        size_px,
        render.windows_per_clip,
        tuple(find_motions([Path(motion) for motion in render.motions])),
        assets=Path(render.bodies) if render.bodies else None,
        motion_variation=MotionVariation() if render.vary_motion else None,
    )
    with (
        RenderWorkers(settings, render_workers(render.workers), render.first_cast) as workers,
        Progress(*COLUMNS, TextColumn("pairs"), console=messages) as progress,
    ):
        task = progress.add_task("rendering", total=pool.max_pairs)
        while len(pool) < pool.max_pairs and time.perf_counter() - start < render.max_s:
            for pair in itertools.islice(workers.rendered(wait_s=1.0), pool.max_pairs - len(pool)):
                pool.add_pair(pair)
                progress.update(task, completed=len(pool))
    took_s, skipped = time.perf_counter() - start, workers.skipped
    if render.max_s and not len(pool):
        raise DataError(
            f"no pair was rendered in {took_s:.0f} s; set render.max_s higher: {skipped[:2] or 'none was ready'}"
        )
    messages.print(f"{len(pool)} pairs in {took_s:.0f} s, {len(skipped)} impossible: {skipped[:2]}", markup=False)


def render_pairs(folder: Path, config: PairRendererConfig, num_pairs: int, num_workers: int) -> tuple[int, int]:
    """Render pairs into a folder until it has `num_pairs`; returns how many it has, and how many were impossible.

    Raises:
        DataError: the folder holds pairs of other settings, or the disk is full.
    """
    have = open_folder(folder, config)
    with (
        RenderWorkers(config, num_workers, skipping=have) as workers,
        Progress(*COLUMNS, TimeRemainingColumn(), TextColumn("pairs"), console=messages) as progress,
    ):
        task = progress.add_task("rendering", total=num_pairs, completed=len(have))
        while len(have) < num_pairs:
            for pair in itertools.islice(workers.rendered(wait_s=1.0), num_pairs - len(have)):
                write_pair(folder, pair)
                have.add(pair.number)
                progress.update(task, completed=len(have))
    return len(have), len(workers.skipped)


def describe(report: StepReport) -> str:
    """A report in one line."""
    terms = report.terms
    shown = "  ".join(f"{name.split('/')[-1]} {terms[name]:.3f}" for name in SHOWN if name in terms)
    return f"step {report.step}  {shown}  {report.samples_per_s:.0f} windows/s"
