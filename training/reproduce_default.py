"""How the encoder that comes with the repository was made: `python -m training.reproduce_default CLIPS POSES BODIES`.

Without `--run` the steps are printed as commands; with it they are done, one after the other, each from where it
stopped. Another machine gives other weights: rendering and time budgets differ.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from model.skeleton.kinematics import standard_proportions
from training.data.manifest import ListedClip, clips_of_folder, write_manifest
from training.priors import write_body

SOURCES = ("rth", "aslearn")
"""Folders of real clips, named GLOSS__ID; what is signed in both is held out for validation."""
NUM_RENDERED = 1440
SETTINGS = (
    "encoder=compact",
    "encoder.drop_path=0",
    "data.mirrored=0.5",
    "data.workers=1",
    "data.validation_pairs=32",
    "augment.crop_area=0.5,1.0",
    "augment.exposure=0.4",
    "augment.planckian=0.3",
    "losses.adversarial=0",
    "losses.weights=30,8,8,150,260,260,100,45,45",
    "adversary.hidden=64",
    "optimiser.learning_rate=1e-3",
    "optimiser.layer_decay=1.0",
    "optimiser.warmup_steps=100",
    "centred_on=128",
    "mask=0",
    "precision=bf16",
    "batch_size=32",
    "steps=1000000",
    "validate_every=1000",
    "save_every=100",
    "log_every=50",
)
"""Of the run; docs/training.md says why."""


TOGETHER = ("augment.crop_area=0.5,1.8", "optimiser.learning_rate=6e-4")
"""What is set otherwise when all is trained together: signers who are farther away, smaller steps."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}
"""Of every step: one thread a process, and memory that is kept instead of asked for again at every step."""


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def split(clips: Path, poses: Path) -> tuple[list[ListedClip], list[ListedClip]]:
    """Real clips to learn from, and those held out: of every gloss that both sources have.

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


@dataclass(frozen=True)
class Minutes:
    """How long every part of the training takes."""

    first: float = 95.0
    """Of pretraining, until the encoder finds hands."""
    closeup: float = 45.0
    """Of teaching the closer look by itself."""
    together: float = 40.0
    """Of pretraining again, all of it together."""


def steps(out: Path, bodies: Path, motions: list[Path], minutes: Minutes) -> Iterator[Step]:
    """What is done, in order.

    Args:
        out: folder of everything in between.
        bodies: folder of the bodies' files.
        motions: landmarks of the training clips, to be re-enacted.
        minutes: of training.
    """
    python = (sys.executable, "-m")
    torchrun = (*python, "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    body = ("--body", str(out / "body.json"))
    for name in ("train", "held_out"):
        manifest, shards = str(out / f"{name}.csv"), str(out / name)
        yield Step(name, (*python, "training.shards", "write", manifest, shards, *body))
    drawn = ("training.synth", "shards", str(out / "rendered"), "--clips", str(NUM_RENDERED), "--seed", "3")
    yield Step("rendered", (*python, *drawn, "--assets", str(bodies), *(f"--motions={file}" for file in motions)))
    for name in ("train", "held_out", "rendered"):
        cut = ("training.closeup", "cut", str(out / name), "--out", str(out / "crops" / name))
        yield Step(f"cut {name}", (*python, *cut, *body, "--stride", "1"))
    yield Step("first", (*torchrun, *pretraining(out, "first", minutes.first, SETTINGS)))
    hands = (*(str(out / "crops" / name) for name in ("rendered", "train")), "--shares", "0.55,0.45")
    judged = ("--validation", str(out / "crops" / "held_out"), "--start-from", str(out / "first" / "last.pt"))
    taught = ("--out", str(out / "closeup.pt"), "--minutes", f"{minutes.closeup:g}")
    yield Step("closeup", (*torchrun, "training.closeup", "learn", *hands, *judged, *taught))
    together = (*SETTINGS, f"start_from={out / 'closeup.pt'}", *TOGETHER)
    yield Step("together", (*torchrun, *pretraining(out, "together", minutes.together, together)))
    measured = (f"--data=shards:{out / 'rendered'}@0.5", f"--data=shards:{out / 'train'}@0.5")
    centred = ("training.metric", str(out / "together" / "last.pt"), str(out / "centred.pt"), *measured)
    yield Step("metric", (*python, *centred, *body, "--windows", "4000"))
    export = ("model.export", str(out / "centred.pt"), "model/encoders/default.onnx")
    yield Step("export", (*python, *export))


def pretraining(out: Path, name: str, minutes: float, settings: Sequence[str]) -> tuple[str, ...]:
    """The words of a pretraining run that goes on if it was begun."""
    everything = (
        f"output={out / name}",
        f"data.sources=shards:{out / 'rendered'}@0.6,shards:{out / 'train'}@0.4",
        f"data.body={out / 'body.json'}",
        f"data.cache={out / 'cache'}",
        f"data.validation=shards:{out / 'held_out'}",
        f"minutes={minutes:g}",
        *settings,
    )
    return ("training.pretrain", "small", *(f"--set={setting}" for setting in everything), "--resume")


def shortened(minutes: Minutes, factor: float) -> Minutes:
    """The same parts in less time."""
    return Minutes(minutes.first / factor, minutes.closeup / factor, minutes.together / factor)


def main(
    clips: Annotated[Path, typer.Argument(help="Folder with the real clips of asl_train.")],
    poses: Annotated[Path, typer.Argument(help="Folder with their landmarks.")],
    bodies: Annotated[Path, typer.Argument(help="Folder of the bodies' files, see `training.synth bodies`.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of everything in between, about 25 GB.")] = Path("runs/default"),
    faster: Annotated[float, typer.Option(help="Divide the minutes of training by this, to try it out.")] = 1.0,
    run: Annotated[bool, typer.Option("--run", help="Do it, not only say it.")] = False,
) -> None:
    """Say how the default encoder was made, or make it again."""
    train, held_out = split(clips, poses)
    todo = list(steps(out, bodies, [clip.landmarks for clip in train], shortened(Minutes(), faster)))
    if run:
        out.mkdir(parents=True, exist_ok=True)
        write_body(out / "body.json", standard_proportions())
        write_manifest(out / "train.csv", train)
        write_manifest(out / "held_out.csv", held_out)
    typer.echo(f"{len(train)} real clips to learn from, {len(held_out)} held out")
    for step in todo:
        text = str(step)
        typer.echo(f"{step.name}: {text if len(text) < 2000 else text[:2000] + ' ...'}")
        if run and subprocess.run(step.words, check=False, env=os.environ | ENVIRONMENT).returncode:
            typer.echo(f"error: the step {step.name} failed; mend it and run this again: it goes on there", err=True)
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
