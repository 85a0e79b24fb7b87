"""The commands of recognition.

python -m training.finetune PRESET --set key=value     train and test; under torchrun on several GPUs
python -m training.finetune evaluate CHECKPOINT        test again
python -m training.finetune export CHECKPOINT OUT.onnx
python -m training.finetune predict MODEL VIDEO...     recognise signs; needs no torch
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from model.errors import ModelError
from training.commands import add_presets, refusals

PRESETS = {
    "paper": "The paper's recipe for an inflated encoder; needs a GPU for a day or so.",
    "compact": "For the encoder that comes with the repository, on a CPU.",
}
"""As in `training.finetune.config`, which can't be imported without torch."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


def train(preset: str, assignments: list[str], *, resume: bool, as_json: bool) -> None:
    """Train, then evaluate on the test split."""
    from training.finetune.command import evaluate_split
    from training.finetune.command import train as run_training
    from training.finetune.config import PRESETS as CONFIGS
    from training.finetune.report import lines
    from training.finetune.state import read_trained
    from training.fit.distributed import join_world
    from training.fit.files import best_or_last
    from training.fit.overrides import override

    config = override(CONFIGS[preset](), assignments)
    with join_world(config.device) as world:
        state = run_training(config, world, resume=resume)
        if not world.leads:
            return
        checkpoint = best_or_last(config.output)
        result = evaluate_split(read_trained(checkpoint), config.output)
    if as_json:
        typer.echo((config.output / "report.json").read_text())
        return
    typer.echo(f"{state.step} of {state.config.steps} steps in {state.elapsed_s:.0f} s; {checkpoint}")
    typer.echo("\n".join(lines(result, config.data)))


add_presets(app, PRESETS, train)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt or last.pt of a run.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the report; that of the checkpoint if left out.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Test a fine-tuned checkpoint on the data set that it was trained on."""
    from training.finetune.command import evaluate_split
    from training.finetune.report import lines
    from training.finetune.state import read_trained

    with refusals():
        trained = read_trained(checkpoint)
        folder = out or checkpoint.parent
        result = evaluate_split(trained, folder, split=split)
    typer.echo((folder / "report.json").read_text() if as_json else "\n".join(lines(result, trained.config.data)))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt or last.pt of a run.")],
    out: Annotated[Path, typer.Argument(help="The recogniser file to write.")],
) -> None:
    """Write a recogniser file with its labels inside; parity with the network is always checked."""
    from training.finetune.export import export as write
    from training.finetune.state import read_trained

    with refusals():
        errors = write(read_trained(checkpoint), out)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, largest difference {max(errors.values()):.1e}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A recogniser file, see export.")],
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    *,
    k: Annotated[int, typer.Option(min=1, help="How many labels of each.")] = 5,
    threads: Annotated[int, typer.Option(help="0 takes all cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per video.")] = False,
) -> None:
    """Recognise the sign of every video. Exits with 1 after the others when one can't be used."""
    from training.finetune.recogniser import OnnxRecogniser

    with refusals():
        recogniser = OnnxRecogniser(model, threads=threads)
    failed = False
    for video in videos:
        try:
            named = recogniser.name(video, k=k)
        except ModelError as error:
            failed = True
            typer.echo(f"{video}: {error}", err=True)
            continue
        if as_json:
            best = [{"label": label, "probability": round(share, 4)} for label, share in named]
            typer.echo(json.dumps({"video": str(video), "best": best}))
        else:
            typer.echo(f"{video}: " + ", ".join(f"{label} {share:.1%}" for label, share in named))
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
