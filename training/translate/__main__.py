"""The commands of translation.

python -m training.translate small --set key=value     train on features and test; `large` on a GPU
python -m training.translate evaluate CHECKPOINT       test again
python -m training.translate render FOLDER             made-up sentences by the synthetic signer
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from training.commands import add_presets, refusals
from training.fit.files import best_or_last
from training.fit.overrides import override
from training.translate.command import evaluate_split, read_data
from training.translate.command import train as run_training
from training.translate.config import PRESETS
from training.translate.corpus import CorpusPlan, render_corpus
from training.translate.report import lines
from training.translate.state import read_trained

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


def train(preset: str, assignments: list[str], *, resume: bool, as_json: bool) -> None:
    """Train, then evaluate on the test split."""
    config = override(PRESETS[preset](), assignments)
    state, corpus = run_training(config, resume=resume)
    result = evaluate_split(read_trained(best_or_last(config.output)), corpus, "test", config.output)
    if as_json:
        typer.echo((config.output / "report.json").read_text())
        return
    typer.echo(f"{state.step} of {config.steps} steps in {state.elapsed_s:.0f} s; {best_or_last(config.output)}")
    typer.echo("\n".join(lines(result, state.features_info)))


add_presets(app, {name: preset.__doc__ or "" for name, preset in PRESETS.items()}, train)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt or last.pt of a run.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the report; that of the checkpoint if left out.")] = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Test a checkpoint on the features that it was trained on."""
    folder = out or checkpoint.parent
    with refusals():
        trained = read_trained(checkpoint)
        result = evaluate_split(trained, read_data(trained.config), split, folder)
    typer.echo((folder / "report.json").read_text() if as_json else "\n".join(lines(result, trained.features_info)))


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(help="For videos and sentences.csv.")],
    *,
    assets: Annotated[Path | None, typer.Option(help="Bodies of people; mannequins if left out.")] = None,
    signs: Annotated[int, typer.Option(min=5, help="In the lexicon.")] = CorpusPlan.num_signs,
    train_signers: Annotated[int, typer.Option(min=1, help="Signers of training.")] = CorpusPlan.train_signers,
    dev_signers: Annotated[
        int, typer.Option(min=0, help="Signers of dev, which chooses the checkpoint.")
    ] = CorpusPlan.dev_signers,
    test_signers: Annotated[int, typer.Option(min=1, help="Signers of test.")] = CorpusPlan.test_signers,
    per_signer: Annotated[int, typer.Option(min=1, help="Sentences of each.")] = CorpusPlan.per_signer,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
) -> None:
    """Render made-up sentences; the same command resumes an interrupted one."""
    plan = CorpusPlan(
        num_signs=signs,
        train_signers=train_signers,
        dev_signers=dev_signers,
        test_signers=test_signers,
        per_signer=per_signer,
        bodies="mannequins" if assets is None else "people",
    )
    with refusals():
        report = render_corpus(folder, plan, assets, workers=workers)
    typer.echo("\n".join(report.lines()))
    if report.failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
