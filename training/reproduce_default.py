"""How the encoder that comes with the repository was made: `python -m training.reproduce_default CLIPS POSES BODIES`.

Without `--run` the steps are printed as commands; with it they are done, one after the other, each from where it
stopped. First a GPU with 75 GB of free memory and sixteen cores beside it learn everything in eleven minutes; then two
cores go on from there for two and a half hours: single hands, what lies behind the frame, and the same compared in
parts of time. With less of either, `--pairs` and the minutes say how much of it is done. Another machine gives other
weights: drawing and time budgets differ. The last step was stopped and taken up twice, and had at first weighed parts
by a normal distribution; how many movements a step of the one before saw is reckoned from its moments.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from model.skeleton.kinematics import standard_proportions
from training.contrast.course import is_finished
from training.data.manifest import ListedClip, clips_of_folder, write_manifest
from training.priors import write_body

SOURCES = ("rth", "aslearn")
"""Folders of real clips, named GLOSS__ID; what is signed in both is held out for validation."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"}
"""Of every step: one thread a process, and memory that is kept for the next step."""
LATER = {
    "hands": (28, 16, "hands_first=1.0 hands_moments=96 learning_rate=1e-3"),
    "behind": (42, 12, "num_parts=1 frame=false closeup=0 num_real=4 num_rendered=12 num_windows=5"),
    "parts": (72, 12, "frame=false closeup=0 num_real=4 num_rendered=10 num_windows=6 learning_rate=1e-3"),
}
"""What two processes without a GPU learn afterwards: minutes, moments of a real clip, fields of the lesson."""


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
class Effort:
    """How much is drawn and learned."""

    minutes: float = 6.5
    """Of learning."""
    draw_s: float = 170.0
    """Of drawing, before."""
    pairs: int = 4500
    """Most pairs that are drawn."""
    later_pairs: int = 1040
    """Pairs drawn for what is learned afterwards."""
    later_share: float = 1.0
    """Of the minutes of `LATER`."""


def steps(out: Path, bodies: Path, motions: list[Path], effort: Effort) -> Iterator[Step]:
    """What is done, in order.

    Args:
        out: folder of everything in between.
        bodies: folder of the bodies' files.
        motions: landmarks of the training clips, to be re-enacted.
        effort: how much.
    """
    python = (sys.executable, "-m")
    for name in ("train", "held_out"):
        written = (
            "training.shards",
            "write",
            str(out / f"{name}.csv"),
            str(out / name),
            "--body",
            str(out / "body.json"),
        )
        yield Step(name, (*python, *written))
    drawn = ("--assets", str(bodies), *(f"--motions={file}" for file in motions), "--pairs", str(effort.pairs))
    times = ("--draw-s", f"{effort.draw_s:g}", "--minutes", f"{effort.minutes:g}", "--seed", "1")
    whole = ("--set", "num_parts=1", "--set", "num_windows=6")
    learned = ("training.contrast", "learn", str(out / "train"), "--out", str(out / "contrast.pt"), *times, *whole)
    yield Step("contrast", (*python, *learned, "--validation", str(out / "held_out"), *drawn))
    yield scaled(out, "contrast", "calibrated")
    again = ("--manner", "--moments", "10", "--seed", "501", *drawn[:-1], str(effort.later_pairs))
    yield Step("draw", (*python, "training.contrast", "draw", str(out / "pairs"), *again))
    before = "calibrated"
    for name, (minutes, moments, fields) in LATER.items():
        together = (*python, "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "training.contrast")
        files = (str(out / "train"), "--out", str(out / f"{name}.pt"), "--start-from", str(out / f"{before}.pt"))
        budget = ("--minutes", f"{minutes * effort.later_share:g}", "--real-moments", str(moments), "--device", "cpu")
        settings = [word for field in ("precision=bf16", *fields.split()) for word in ("--set", field)]
        from_pairs = ("--drawn", str(out / "pairs"), "--validation", str(out / "held_out"), *budget, *settings)
        yield Step(name, (*together, "learn", *files, *from_pairs))
        before = name
    yield scaled(out, before, "default")
    yield Step("export", (*python, "model.export", str(out / "default.pt"), "model/encoders/default.onnx"))


def scaled(out: Path, before: str, after: str) -> Step:
    """Activity scaled on the training clips, from one checkpoint to another."""
    files = (str(out / f"{before}.pt"), str(out / f"{after}.pt"), str(out / "train.csv"))
    return Step(f"calibrate {before}", (sys.executable, "-m", "training.calibrate", *files))


def done(step: Step, out: Path) -> bool:
    """Whether a step that can't be done twice was done before."""
    file = out / f"{step.name}.pt"
    return step.name in ("contrast", *LATER) and file.exists() and is_finished(file)


def main(
    clips: Annotated[Path, typer.Argument(help="Folder with the real clips of asl_train.")],
    poses: Annotated[Path, typer.Argument(help="Folder with their landmarks.")],
    bodies: Annotated[Path, typer.Argument(help="Folder of the bodies' files, see `training.synth bodies`.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of everything in between, about 200 MB.")] = Path("runs/default"),
    minutes: Annotated[float, typer.Option(min=0.01, help="Of learning.")] = 6.5,
    draw_s: Annotated[float, typer.Option(min=0.0, help="Most seconds of drawing.")] = 170.0,
    pairs: Annotated[int, typer.Option(min=1, help="Most pairs to draw; one takes 11 MB of the device.")] = 4500,
    later_pairs: Annotated[int, typer.Option(min=1, help="Pairs to draw for what is learned afterwards.")] = 1040,
    later_share: Annotated[float, typer.Option(min=0.0001, help="Of the two and a half hours afterwards.")] = 1.0,
    run: Annotated[bool, typer.Option("--run", help="Do it, not only say it.")] = False,
) -> None:
    """Say how the default encoder was made, or make it again."""
    train, held_out = split(clips, poses)
    todo = list(
        steps(out, bodies, [clip.landmarks for clip in train], Effort(minutes, draw_s, pairs, later_pairs, later_share))
    )
    if run:
        out.mkdir(parents=True, exist_ok=True)
        write_body(out / "body.json", standard_proportions())
        write_manifest(out / "train.csv", train)
        write_manifest(out / "held_out.csv", held_out)
    typer.echo(f"{len(train)} real clips to learn from, {len(held_out)} held out")
    for step in todo:
        text = str(step)
        typer.echo(f"{step.name}: {text if len(text) < 2000 else text[:2000] + ' ...'}")
        if run and done(step, out):
            typer.echo("  was done before")
        elif run and subprocess.run(step.words, check=False, env=os.environ | ENVIRONMENT).returncode:
            typer.echo(f"error: the step {step.name} failed; mend it and run this again: it goes on there", err=True)
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
