"""Fine-tuning on the synthetic signer: `python -m training.recipes.recognition OUT --start-from CHECKPOINT`.

A lexicon is performed by many signers, some for training, others for the test. Four rows: from a pretrained encoder
and from random weights of its geometry, without and with the class-distribution loss. Clips and rows that exist are
kept; run again to resume. With `--render-only` the clips are rendered beforehand.

    OUT/lexicon        the clips, with split.csv
    OUT/rows/NAME      a run of `training.finetune` each, with its report
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from model.machine import machine
from training.commands import refusals
from training.finetune.command import evaluate_split, train
from training.finetune.config import FinetuneConfig, compact
from training.finetune.readers import TEST, TRAIN
from training.finetune.state import read_trained
from training.fit.console import messages
from training.fit.distributed import join_world
from training.fit.files import best_or_last
from training.fit.overrides import override
from training.recipes.report import AsJson, Assets, Assignments, Write, markdown, options, publish, table
from training.synth.clips.dictionary import RenderedEntry, RenderPlan, render_dictionary
from training.synth.clips.signers import body_source

SIZE_PX = 288
SEED = 7


@dataclass(frozen=True)
class RecognitionRow:
    """A row of the table."""

    name: str
    pretrained: bool
    distribution: bool

    def settings(self, start: str, untrained: str) -> list[str]:
        """The settings in which it differs from the others."""
        settings = [f"start_from={start if self.pretrained else untrained}"]
        return settings if self.distribution else [*settings, "losses.distribution=0"]


ROWS = (
    RecognitionRow("trained", pretrained=True, distribution=False),
    RecognitionRow("trained-distribution", pretrained=True, distribution=True),
    RecognitionRow("untrained", pretrained=False, distribution=False),
    RecognitionRow("untrained-distribution", pretrained=False, distribution=True),
)


@dataclass(frozen=True)
class RecognitionRowResult:
    """The result of a row."""

    row: RecognitionRow
    steps: int
    seconds: float
    top: tuple[float, float, float]
    """Top-1, top-5, and top-1 averaged over classes."""
    num_clips: int
    num_labels: int


def render(out: Path, *, num_signs: int, num_train: int, num_test: int, assets: Path | None) -> Path:
    """Render the lexicon and write the list of clips with their splits; returns the list.

    Raises:
        SynthError: nothing can be rendered or written.
    """
    plan = RenderPlan(
        num_signs=num_signs,
        num_signers=num_train + num_test,
        seed=SEED,
        width=SIZE_PX,
        height=SIZE_PX,
        closest=1.0,
        bodies="mannequins" if assets is None else "people",
    )
    entries = render_dictionary(out / "lexicon", plan, body_source(assets))
    path = out / "lexicon" / "split.csv"
    write_split(path, entries, num_train)
    return path


def write_split(path: Path, entries: Sequence[RenderedEntry], num_train: int) -> None:
    """Write the entries with a column `split`: the clips of all signers after the first ones are for the test."""
    tested = set(sorted({entry.signer for entry in entries})[num_train:])
    rows = [entry.row() | {"split": TEST if entry.signer in tested else TRAIN} for entry in entries]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def run_row(row: RecognitionRow, config: FinetuneConfig) -> RecognitionRowResult:
    """Train and test; an interrupted run is resumed, a finished one is tested again.

    Raises:
        TrainingError, ModelError: see `training.finetune`.
    """
    messages.print(f"row: {row.name}", markup=False)
    with join_world(config.device) as world:
        state = train(config, world, resume=True)
    result = evaluate_split(read_trained(best_or_last(config.output)), config.output)
    top = (result.metrics.recall[1], result.metrics.recall[5], result.per_class[1])
    return RecognitionRowResult(row, state.step, state.elapsed_s, top, len(result.predictions), result.num_classes)


def as_markdown(results: Sequence[RecognitionRowResult], command: str) -> str:
    """The table."""
    first = results[0]
    columns = ("encoder", "class-distribution loss", "top-1", "top-5", "top-1 per class", "steps", "minutes")
    return markdown(
        "# Recognition on the synthetic signer",
        f"`{command}`. {machine()}.",
        f"{first.num_labels} signs of the lexicon; {first.num_clips} clips of signers who are not in training, so one"
        f" clip is {100 / first.num_clips:.1f} points and chance is {100 / first.num_labels:.1f}. One seed.",
        table(columns, map(_cells, results)),
    )


def _cells(result: RecognitionRowResult) -> tuple[str, ...]:
    encoder = "pretrained" if result.row.pretrained else "random weights"
    figures = [f"{value:.1f}" for value in result.top]
    distribution = "yes" if result.row.distribution else "no"
    return encoder, distribution, *figures, str(result.steps), f"{result.seconds / 60:.1f}"


def main(
    out: Annotated[Path, typer.Argument(help="Folder for clips, runs and reports.")],
    *,
    start_from: Annotated[str, typer.Option(help="Checkpoint of the pretrained encoder.")] = "",
    untrained: Annotated[str, typer.Option(help="Its geometry with random weights.")] = "untrained:compact",
    signs: Annotated[int, typer.Option(min=2, help="Signs of the lexicon.")] = 200,
    train_signers: Annotated[int, typer.Option(min=1, help="Signers of training.")] = 6,
    test_signers: Annotated[int, typer.Option(min=1, help="Signers of the test.")] = 2,
    assets: Assets = None,
    assignments: Assignments = None,
    write: Write = None,
    as_json: AsJson = False,
    render_only: Annotated[
        bool, typer.Option("--render-only", help="Render the clips and stop: they need no encoder.")
    ] = False,
) -> None:
    """Render a lexicon, fine-tune all rows on it, and print the table."""
    with refusals():
        listed = render(out, num_signs=signs, num_train=train_signers, num_test=test_signers, assets=assets)
        if render_only:
            typer.echo(f"{signs * (train_signers + test_signers)} clips in {listed.parent}")
            return
        common = [f"data.folder={listed}", f"data.cache={out / 'cache'}", *(assignments or [])]
        results = []
        for row in ROWS:
            settings = [*common, *row.settings(start_from, untrained), f"output={out / 'rows' / row.name}"]
            results.append(run_row(row, override(compact(), settings)))
    scale = f"--signs {signs} --train-signers {train_signers} --test-signers {test_signers}"
    command = (
        f"python -m training.recipes.recognition OUT --start-from {Path(start_from).name} {scale}"
        f"{options(assignments, assets)}"
    )
    figures = {one.row.name: {"top-1": one.top[0], "top-5": one.top[1]} for one in results}
    publish(as_markdown(results, command), figures, write, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
