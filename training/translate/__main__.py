"""The commands of translation.

python -m training.translate small --set key=value     learn from features and test; `large` on a GPU
python -m training.translate evaluate CHECKPOINT       test again
python -m training.translate draw FOLDER               made-up sentences by the synthetic signer
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from model.errors import ModelError
from training.errors import TrainingError
from training.translate.command import assess_split, final, read
from training.translate.command import train as run_training
from training.translate.config import PRESETS, override
from training.translate.corpus import Plan, draw_corpus
from training.translate.report import lines
from training.translate.state import read_trained

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


def training_command(preset: str) -> Callable[..., None]:
    """The command that trains from a preset."""

    def command(
        *,
        assignments: Annotated[
            list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field; an unknown one lists all.")
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on with the run in the output folder, if any.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    ) -> None:
        train(preset, assignments or [], resume=resume, as_json=as_json)

    return command


for _name, _preset in PRESETS.items():
    app.command(_name, help=_preset.__doc__)(training_command(_name))


def train(preset: str, assignments: list[str], *, resume: bool, as_json: bool) -> None:
    """Train, then test."""
    try:
        config = override(PRESETS[preset](), assignments)
        run, corpus = run_training(config, resume=resume)
        found = assess_split(read_trained(final(config.output)), corpus, "test", config.output)
    except (TrainingError, ModelError) as error:
        _fail(error)
    if as_json:
        typer.echo((config.output / "report.json").read_text())
        return
    typer.echo(f"{run.step} of {config.steps} steps in {run.elapsed_s:.0f} s; {final(config.output)}")
    typer.echo("\n".join(lines(found, run.about)))


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt or last.pt of a run.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the report; that of the checkpoint if left out.")] = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Test a checkpoint again on the features that it learned from."""
    folder = out or checkpoint.parent
    try:
        trained = read_trained(checkpoint)
        found = assess_split(trained, read(trained.config), split, folder)
    except (TrainingError, ModelError) as error:
        _fail(error)
    typer.echo((folder / "report.json").read_text() if as_json else "\n".join(lines(found, trained.about)))


@app.command()
def draw(
    folder: Annotated[Path, typer.Argument(help="For videos and sentences.csv.")],
    *,
    assets: Annotated[Path | None, typer.Option(help="Bodies of people; mannequins if left out.")] = None,
    signs: Annotated[int, typer.Option(min=5, help="In the lexicon.")] = Plan.num_signs,
    train_signers: Annotated[int, typer.Option(min=1, help="Who are learned from.")] = Plan.train_signers,
    dev_signers: Annotated[int, typer.Option(min=0, help="By whom the checkpoint is chosen.")] = Plan.dev_signers,
    test_signers: Annotated[int, typer.Option(min=1, help="Who are tested on.")] = Plan.test_signers,
    per_signer: Annotated[int, typer.Option(min=1, help="Sentences of each.")] = Plan.per_signer,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
) -> None:
    """Draw made-up sentences; cut off, the same command goes on."""
    plan = Plan(
        num_signs=signs,
        train_signers=train_signers,
        dev_signers=dev_signers,
        test_signers=test_signers,
        per_signer=per_signer,
        bodies="mannequins" if assets is None else "people",
    )
    try:
        report = draw_corpus(folder, plan, assets, workers=workers)
    except TrainingError as error:
        _fail(error)
    typer.echo("\n".join(report.lines()))
    if report.failed:
        raise typer.Exit(1)


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
