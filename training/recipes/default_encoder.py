"""How the encoder that ships was made: `python -m training.recipes.default_encoder CLIPS POSES BODIES`.

Without `--run` the plan is printed; with it the steps are done one after the other, each resumed where it stopped.
First a GPU with 75 GB of free memory and sixteen cores train everything in eleven minutes; then two cores continue for
two and a half hours: single hands, what comes after the backbone, and the same compared in parts of time; then the
network becomes deeper, and a GPU trains everything once more in eleven minutes. With less of either, `--share` says how
much of it is done. Another machine gives other weights: rendering and time budgets differ. The code of today does
early steps as they were meant, not bit by bit: until the last one activity was decided over 16 frames and no clip was
rendered wide. The step `parts` was stopped and resumed twice, and at first weighted parts by a normal distribution; how
many movements a step of the one before saw is calculated from its windows.
"""

import math
import multiprocessing
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from model.errors import ModelError
from model.network.export import export_checkpoint
from model.skeleton.kinematics import standard_proportions
from training.contrastive.calibrate import calibrate
from training.contrastive.clips.pair_renderer import PairRendererConfig
from training.contrastive.command import render_pairs, render_workers, train
from training.contrastive.config import ContrastiveConfig, Data, Render, compact
from training.contrastive.state import is_finished
from training.data.listing.manifest import ListedClip, clips_of_folder, read_manifest, write_manifest
from training.data.priors.standard_body import write_body
from training.data.shards.files import ShardFormat
from training.data.shards.write import write_shards
from training.errors import DataError, TrainingError
from training.fit.distributed import join_world
from training.fit.files import LAST
from training.fit.overrides import flatten
from training.synth.reenactment.variation import MotionVariation

SOURCES = ("rth", "aslearn")
"""Folders of real clips, named GLOSS__ID; signs that both have are held out for validation."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}
"""Of every process: one thread, and memory that is kept for the next step of training."""
MIN_RENDER_S = 30.0
"""Processes that render take some seconds to start."""
ENCODER = Path("model/encoders/default.onnx")


@dataclass(frozen=True)
class Step:
    """One step of the recipe."""

    name: str
    about: str
    """What it does, for the plan."""
    run: Callable[[], object]
    """Does it, in a process of its own; resumes what is half done."""
    is_finished: Callable[[], bool] | None = None
    """Whether it is done, where that is known."""


def split(clips: Path, poses: Path) -> tuple[list[ListedClip], list[ListedClip]]:
    """Real clips to train on, and those held out: of every gloss that both sources have.

    Args:
        clips: holds a folder of videos per source.
        poses: holds a folder of landmarks per source, `asl_SOURCE`.
    """
    listed = [
        replace(
            clip,
            video=clip.video.resolve(),
            landmarks=clip.landmarks.resolve(),
            video_id=f"{source}/{clip.video.stem}",
            gloss=clip.video.stem.split("__")[0],
            signer=source,
        )
        for source in SOURCES
        for clip in clips_of_folder(clips / source, poses / f"asl_{source}")
    ]
    shared = set.intersection(*({clip.gloss for clip in listed if clip.signer == source} for source in SOURCES))
    return [clip for clip in listed if clip.gloss not in shared], [clip for clip in listed if clip.gloss in shared]


def steps(out: Path, bodies: Path, motions: list[Path], share: float = 1.0) -> Iterator[Step]:
    """All steps in order.

    Args:
        out: folder of all intermediate files.
        bodies: folder of the bodies' files.
        motions: landmarks of the training clips, to be re-enacted.
        share: of the pairs that are rendered and of the minutes of training.
    """
    yield shards(out, "train")
    yield shards(out, "held_out")
    yield training(contrast(out, bodies, motions, share))
    yield scaled(out / "contrast" / LAST, out / "calibrated.pt", out / "train.csv")
    yield pairs(out / "pairs", bodies, motions, math.ceil(1040 * share))
    for config in on_two_cores(out, share):
        yield training(config, num_processes=2)
    yield training(deeper(out, bodies, motions, share))
    yield scaled(out / "deeper" / LAST, out / "default.pt", out / "held_out.csv")
    yield Step(
        "export",
        f"{out / 'default.pt'} to {ENCODER}, its weights stored as float16",
        partial(export_checkpoint, out / "default.pt", ENCODER, precision="fp16-stored"),
    )


# ------------------------------------------------------------------------------------------------------------- configs


def contrast(out: Path, bodies: Path, motions: list[Path], share: float) -> ContrastiveConfig:
    """Everything from random weights, on a GPU."""
    return replace(
        on_clips(out, "contrast"),
        render=rendering(bodies, motions, share, max_pairs=4500, max_s=170.0),
        minutes=6.5 * share,
        num_parts=1,
        num_windows=6,
        seed=1,
    )


def on_two_cores(out: Path, share: float) -> Iterator[ContrastiveConfig]:
    """Single hands; then what comes after the backbone; then the same with clips compared in parts of time."""

    def common(name: str, start_from: Path, minutes: float, windows_per_clip: int) -> ContrastiveConfig:
        config = on_clips(out, name)
        return replace(
            config,
            data=replace(config.data, pairs=str(out / "pairs"), windows_per_clip=windows_per_clip),
            start_from=str(start_from),
            minutes=minutes * share,
            precision="bf16",
            device="cpu",
            save_every=25,
            validate_every=25,
        )

    hands = common("hands", out / "calibrated.pt", minutes=28, windows_per_clip=16)
    yield replace(hands, hands_first=1.0, learning_rate=1e-3, save_every=150, validate_every=150)
    behind = common("behind", hands.output / LAST, minutes=42, windows_per_clip=12)
    behind = replace(behind, freeze_backbone=True, hand_weight=0.0)
    yield replace(behind, num_parts=1, num_real=4, num_rendered=12, num_windows=5)
    parts = common("parts", behind.output / LAST, minutes=72, windows_per_clip=12)
    parts = replace(parts, freeze_backbone=True, hand_weight=0.0)
    yield replace(parts, num_real=4, num_rendered=10, num_windows=6, learning_rate=1e-3)


def deeper(out: Path, bodies: Path, motions: list[Path], share: float) -> ContrastiveConfig:
    """Everything once more with more blocks, on a GPU."""
    config = on_clips(out, "deeper")
    render = rendering(bodies, motions, share, max_pairs=4600, max_s=105.0)
    return replace(
        config,
        encoder=replace(config.encoder, stages=(1, 3), hand_stages=(2, 7)),
        render=replace(render, vary_motion=True, windows_per_clip=12),
        start_from=str(out / "parts" / LAST),
        minutes=9.0 * share,
        num_parts=6,
        hands_first=0.12,
        hands_windows=1024,
        compile=True,
        seed=601,
    )


def on_clips(out: Path, name: str) -> ContrastiveConfig:
    """A run on the real clips, validated on those that are held out."""
    return replace(compact(), output=out / name, data=Data(shards=str(out / "train"), validation=str(out / "held_out")))


def rendering(bodies: Path, motions: list[Path], share: float, *, max_pairs: int, max_s: float) -> Render:
    """Pairs that are rendered before the first step, and the most seconds for it."""
    return Render(
        motions=tuple(map(str, motions)),
        bodies=str(bodies),
        max_pairs=math.ceil(share * max_pairs),
        max_s=max(MIN_RENDER_S, share * max_s),
    )


# --------------------------------------------------------------------------------------------------------------- steps


def shards(out: Path, name: str) -> Step:
    """Shards of a list of clips."""
    return Step(name, f"{out / name}.csv to shards in {out / name}", partial(write_all_shards, out, name))


def write_all_shards(out: Path, name: str) -> None:
    """Write shards of a list of clips.

    Raises:
        DataError: none of the clips can be used.
    """
    clips = read_manifest(out / f"{name}.csv")
    report = write_shards(
        clips,
        out / name,
        shard_format=ShardFormat(256),
        body=out / "body.json",
        clips_per_shard=256,
        workers=os.cpu_count() or 1,
    )
    typer.echo("\n".join(report.lines()))
    if report.num_done + report.num_there == 0:
        raise DataError(f"no clip of {out / name}.csv can be used; see {out / name / 'report.json'}")


def training(config: ContrastiveConfig, num_processes: int = 1) -> Step:
    """A contrastive run."""
    processes = f" in {num_processes} processes" if num_processes > 1 else ""
    about = f"train{processes}: {' '.join(changes(config))}"
    return Step(
        config.output.name, about, partial(train_in_processes, config, num_processes), partial(is_finished, config)
    )


def train_in_processes(config: ContrastiveConfig, num_processes: int) -> None:
    """Train in this process, or in several of their own as torchrun starts them."""
    if num_processes == 1:
        train_here(config)
        return
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    elastic_launch(launch, train_here)(config)


def train_here(config: ContrastiveConfig) -> None:
    """Start or resume a run in this process."""
    with join_world(config.device) as world:
        train(config, world, resume=True)


def changes(config: ContrastiveConfig) -> Iterator[str]:
    """The fields of a run that are not as in the preset, each as KEY=VALUE."""
    preset = dict(flatten(compact()))
    for name, value in flatten(config):
        if value != preset[name]:
            many = isinstance(value, tuple) and len(value) > 8
            yield f"{name}=({len(value)} values)" if many else f"{name}={value}"


def pairs(folder: Path, bodies: Path, motions: list[Path], num_pairs: int) -> Step:
    """Pairs that several runs train on."""
    config = PairRendererConfig(
        seed=501, num_windows=10, motions=tuple(motions), assets=bodies, motion_variation=MotionVariation()
    )
    return Step(
        "pairs",
        f"{num_pairs} pairs into {folder}, with seed {config.seed} and {config.num_windows} windows a clip",
        partial(render_pairs, folder, config, num_pairs, render_workers(0)),
    )


def scaled(before: Path, after: Path, clips: Path) -> Step:
    """A checkpoint with its activity calibrated on some of the clips."""
    name = f"calibrate {before.parent.name}"
    return Step(name, f"activity of {before} on {clips} to {after}", partial(calibrate_on, before, after, clips))


def calibrate_on(before: Path, after: Path, clips: Path) -> None:
    """Calibrate a checkpoint."""
    typer.echo(calibrate(before, after, read_manifest(clips)))


# ------------------------------------------------------------------------------------------------------------- command


def do(step: Step) -> bool:
    """Do a step in a process of its own, with its own environment; whether it succeeded."""
    process = multiprocessing.get_context("spawn").Process(target=run_step, args=(step.run,))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:  # the step's process got it as well, and saves
        process.join()
        return False
    return process.exitcode == 0 and (step.is_finished is None or step.is_finished())


def run_step(function: Callable[[], object]) -> None:
    """The work of a step's process: errors that are raised on purpose are printed in one line."""
    try:
        function()
    except (TrainingError, ModelError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


def main(
    clips: Annotated[Path, typer.Argument(help="Folder with the real clips of asl_train.")],
    poses: Annotated[Path, typer.Argument(help="Folder with their landmarks.")],
    bodies: Annotated[Path, typer.Argument(help="Folder of the bodies' files, see `training.synth bodies`.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of all intermediate files, 9 GB.")] = Path("runs/default"),
    share: Annotated[
        float, typer.Option(min=0.0001, max=1.0, help="Of the pairs that are rendered and the minutes of training.")
    ] = 1.0,
    run: Annotated[bool, typer.Option("--run", help="Do the steps instead of only printing them.")] = False,
) -> None:
    """Print how the default encoder was made, or make it again."""
    train_clips, held_out = split(clips, poses)
    plan = list(steps(out, bodies, [clip.landmarks for clip in train_clips], share))
    if run:
        os.environ.update(ENVIRONMENT)
        out.mkdir(parents=True, exist_ok=True)
        write_body(out / "body.json", standard_proportions())
        write_manifest(out / "train.csv", train_clips)
        write_manifest(out / "held_out.csv", held_out)
    typer.echo(f"{len(train_clips)} real clips to train on, {len(held_out)} held out")
    for step in plan:
        typer.echo(f"{step.name}: {step.about}")
        if run and step.is_finished is not None and step.is_finished():
            typer.echo("  was done before")
        elif run and not do(step):
            typer.echo(f"error: the step {step.name} is not done; run this again to resume it", err=True)
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
