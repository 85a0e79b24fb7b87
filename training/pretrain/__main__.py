"""The training command: `python -m training.pretrain PRESET --set key=value`."""

from contextlib import nullcontext
from typing import Annotated

import typer

from training.assignments import read_preset
from training.commands import refusals
from training.fit.console import Quiet, display, messages, stop_on_signal
from training.fit.distributed import World, join_world
from training.fit.files import BEST, LAST
from training.fit.loop import Report
from training.pretrain.config import PRESETS, PretrainConfig, override
from training.pretrain.loop import pretrain
from training.pretrain.sources import open_sources
from training.pretrain.state import Run, resume_run, start_run
from training.pretrain.validation import open_validation

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    preset: Annotated[str, typer.Argument(help=f"Where the settings start from: {', '.join(PRESETS)}.")],
    *,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field; an unknown one lists all.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder, if any.")] = False,
) -> None:
    """Pretrain an encoder. Start it with torchrun to train on several GPUs."""
    with refusals():
        config = override(read_preset(PRESETS, preset), assignments or [])
        with join_world(config.device) as world:
            run = train(config, world, resume=resume)
    if world.leads:
        best = "" if run.best_score is None else f", best (score {run.best_score:.4f}) {config.output / BEST}"
        messages.print(f"{run.step} steps in {run.elapsed_s:.0f} s; {config.output / LAST}{best}", markup=False)


def train(config: PretrainConfig, world: World, *, resume: bool) -> Run:
    """Start a run or go on with it, under the eyes of a person.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    source = open_sources(config.data, config.seed)
    validate = open_validation(config)
    going_on = resume and (config.output / LAST).exists()
    run = resume_run(config, world.device) if going_on else start_run(config, world.device)
    watching = display(config.output, run.step, describe) if world.leads else nullcontext(Quiet())
    with watching as watcher, stop_on_signal() as stop:
        pretrain(run, source, world, watcher=watcher, validate=validate, stop=lambda: bool(stop))
    if watcher.num_skipped:
        messages.print(f"{watcher.num_skipped} pairs of windows were left out", style="yellow")
    return run


def describe(report: Report) -> str:
    """A report in one line."""
    terms = report.terms
    return (
        f"step {report.step}  total {terms['total']:.3f}  priors {terms['priors']:.3f}"
        f"  activity {terms['activity']:.3f}  variance {terms['variance']:.3f}  covariance {terms['covariance']:.3f}"
        f"  adversarial {terms['adversarial']:.3f}  {report.samples_per_s:.1f} windows/s"
        f"  waiting {report.waiting:.0%}"
    )


if __name__ == "__main__":
    app()
