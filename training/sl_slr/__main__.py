"""Pretraining on keypoint sequences: `python -m training.sl_slr PRESET --set key=value`."""

from typing import Annotated

import typer

from training.assignments import override, read_preset
from training.commands import refusals
from training.errors import ConfigError
from training.fit.console import messages, stop_on_signal
from training.fit.distributed import join_world
from training.sl_slr.batches import Batches
from training.sl_slr.config import PRESETS, SlSlrConfig
from training.sl_slr.console import display, telling
from training.sl_slr.corpus import Corpus, open_corpus
from training.sl_slr.loop import pretrain
from training.sl_slr.state import Run, open_run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    preset: Annotated[str, typer.Argument(help=f"Where the settings start from: {', '.join(PRESETS)}.")],
    *,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field; an unknown one lists all.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder, if any.")] = False,
) -> None:
    """Pretrain an encoder of keypoint sequences."""
    with refusals():
        run = train(override(read_preset(PRESETS, preset), settings or []), resume=resume)
    end = "" if run.collapsed_at is None else f"; collapsed at step {run.collapsed_at}"
    messages.print(f"{run.step} steps in {run.elapsed_s:.0f} s; {run.path}{end}", markup=False)


def train(config: SlSlrConfig, *, resume: bool) -> Run:
    """Start a run or go on with it, under the eyes of a person.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    with join_world(config.device) as world:
        if world.size > 1:
            raise ConfigError(
                f"{world.size} processes were started; skeletons are learned from in one, without torchrun"
            )
        run = open_run(config, world.device, resume=resume)
    with telling() as tell:
        corpus = open_corpus(config.data, tell)
    say_failures(corpus)
    with display(config.output, run.step) as watcher, stop_on_signal() as asked:
        return pretrain(run, Batches(corpus, config.data, config.batch_size, config.seed), watcher, lambda: bool(asked))


def say_failures(corpus: Corpus) -> None:
    """Name the clips that could not be used."""
    for reason in corpus.failed:
        messages.print(f"left out: {reason}", style="yellow", markup=False)
    rest = f", {len(corpus.failed)} could not be used" if corpus.failed else ""
    messages.print(f"{len(corpus.clips)} clips{rest}", markup=False)


if __name__ == "__main__":
    app()
