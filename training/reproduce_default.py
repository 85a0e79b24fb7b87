"""How the encoder that comes with the repository was made: `python -m training.reproduce_default CLIPS POSES BODIES`.

Without `--run` the steps are printed as commands; with it they are done, one after the other, each from where it
stopped. First a GPU with 75 GB of free memory and sixteen cores beside it learn everything in eleven minutes; then two
cores go on from there for two and a half hours: single hands, what lies behind the frame, and the same compared in
parts of time; then the network grows deeper, and a GPU learns everything once more in eleven minutes. With less of
either, `--share` says how much of it is done. Another machine gives other weights: drawing and time budgets differ. The
code of today does early steps as they were meant, not bit by bit: until the last one activity was judged over 16 frames
and no clip was drawn wide. The step `parts` was stopped and taken up twice, and had at first weighed parts by a normal
distribution; how many movements a step of the one before saw is reckoned from its moments.
"""

import math
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
DEEPER = (
    "encoder.stages=1,3",
    "encoder.hand_stages=2,7",
    "num_parts=6",
    "hands_first=0.12",
    "hands_moments=1024",
    "compile=true",
)
"""Fields of the lesson with which a GPU goes on from there."""
LEAST_DRAW_S = 30.0
"""Processes that draw take some seconds to begin."""


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


def steps(out: Path, bodies: Path, motions: list[Path], share: float = 1.0) -> Iterator[Step]:
    """What is done, in order.

    Args:
        out: folder of everything in between.
        bodies: folder of the bodies' files.
        motions: landmarks of the training clips, to be re-enacted.
        share: of the pairs that were drawn and the minutes that were learned.
    """
    python = (sys.executable, "-m")
    for name in ("train", "held_out"):
        files = (str(out / f"{name}.csv"), str(out / name), "--body", str(out / "body.json"))
        yield Step(name, (*python, "training.shards", "write", *files))
    drawing = ("--assets", str(bodies), *(f"--motions={file}" for file in motions))
    learning = (*python, "training.contrast", "learn", str(out / "train"), "--validation", str(out / "held_out"))
    fields = settings("num_parts=1", "num_windows=6")
    budget = on_a_gpu(6.5, 170.0, 4500, share)
    yield Step("contrast", (*learning, "--out", str(out / "contrast.pt"), "--seed=1", *fields, *budget, *drawing))
    yield scaled(out, "contrast", "calibrated", "train")
    again = ("--manner", "--moments", "10", "--seed", "501", "--pairs", str(math.ceil(1040 * share)))
    yield Step("draw", (*python, "training.contrast", "draw", str(out / "pairs"), *again, *drawing))
    before = "calibrated"
    for name, (minutes, moments, words) in LATER.items():
        two = (*python, "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", *learning[2:])
        files = ("--out", str(out / f"{name}.pt"), "--start-from", str(out / f"{before}.pt"))
        budget = ("--minutes", f"{minutes * share:g}", "--real-moments", str(moments), "--device", "cpu")
        fields = settings("precision=bf16", *words.split())
        yield Step(name, (*two, "--drawn", str(out / "pairs"), *files, *budget, *fields))
        before = name
    files = ("--out", str(out / "deeper.pt"), "--start-from", str(out / f"{before}.pt"))
    looks = ("--manner", "--moments", "12", "--seed", "601", *settings(*DEEPER))
    yield Step("deeper", (*learning, *files, *looks, *on_a_gpu(9.0, 105.0, 4600, share), *drawing))
    yield scaled(out, "deeper", "default", "held_out")
    file = "model/encoders/default.onnx"
    yield Step("export", (*python, "model.export", str(out / "default.pt"), file, "--precision", "fp16-stored"))


def settings(*fields: str) -> tuple[str, ...]:
    """Fields of a lesson as options."""
    return tuple(word for field in fields for word in ("--set", field))


def on_a_gpu(minutes: float, draw_s: float, pairs: int, share: float) -> tuple[str, ...]:
    """A share of the time to learn and to draw, and of the most pairs, as options."""
    draw_s = max(LEAST_DRAW_S, share * draw_s)
    return ("--minutes", f"{share * minutes:g}", "--draw-s", f"{draw_s:g}", "--pairs", str(math.ceil(share * pairs)))


def scaled(out: Path, before: str, after: str, clips: str) -> Step:
    """Activity scaled on some of the clips, from one checkpoint to another."""
    files = (str(out / f"{before}.pt"), str(out / f"{after}.pt"), str(out / f"{clips}.csv"))
    return Step(f"calibrate {before}", (sys.executable, "-m", "training.calibrate", *files))


def done(step: Step, out: Path) -> bool:
    """Whether a step that can't be done twice was done before."""
    file = out / f"{step.name}.pt"
    return step.name in ("contrast", *LATER, "deeper") and file.exists() and is_finished(file)


def main(
    clips: Annotated[Path, typer.Argument(help="Folder with the real clips of asl_train.")],
    poses: Annotated[Path, typer.Argument(help="Folder with their landmarks.")],
    bodies: Annotated[Path, typer.Argument(help="Folder of the bodies' files, see `training.synth bodies`.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of everything in between, 9 GB.")] = Path("runs/default"),
    share: Annotated[
        float, typer.Option(min=0.0001, max=1.0, help="Of the pairs that are drawn and the minutes that are learned.")
    ] = 1.0,
    run: Annotated[bool, typer.Option("--run", help="Do it, not only say it.")] = False,
) -> None:
    """Say how the default encoder was made, or make it again."""
    train, held_out = split(clips, poses)
    todo = list(steps(out, bodies, [clip.landmarks for clip in train], share))
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
