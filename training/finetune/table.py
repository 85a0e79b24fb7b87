"""What fine-tuning brings on the synthetic signer: `python -m training.finetune.table OUT --start-from CHECKPOINT`.

A lexicon is performed by many signers; some are learned from, others tested on. Four rows: from a pretrained encoder
and from random weights of its geometry, without and with the class-distribution loss. Clips and rows that are there
are kept; run again to go on. With `--draw-only` the clips are drawn beforehand.

    OUT/lexicon        the clips, with split.csv
    OUT/rows/NAME      a run of `training.finetune` each, with its report
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from model.machine import machine
from training.assignments import override
from training.commands import refusals
from training.data.shard_files import write_whole
from training.finetune.command import assess_split, train
from training.finetune.config import FinetuneConfig, compact
from training.finetune.readers import TEST, TRAIN
from training.finetune.state import read_trained
from training.fit.console import messages
from training.fit.distributed import join_world
from training.fit.files import chosen
from training.synth.bench import body_source
from training.synth.write import Entry, RenderPlan, render_dictionary

SIZE_PX = 288
SEED = 7


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    pretrained: bool
    distribution: bool

    def settings(self, start: str, untrained: str) -> list[str]:
        """What makes it differ from the others."""
        chosen = [f"start_from={start if self.pretrained else untrained}"]
        return chosen if self.distribution else [*chosen, "losses.distribution=0"]


ROWS = (
    Row("trained", pretrained=True, distribution=False),
    Row("trained-distribution", pretrained=True, distribution=True),
    Row("untrained", pretrained=False, distribution=False),
    Row("untrained-distribution", pretrained=False, distribution=True),
)


@dataclass(frozen=True)
class Outcome:
    """What a row came to."""

    row: Row
    steps: int
    seconds: float
    top: tuple[float, float, float]
    """Top-1, top-5, and top-1 averaged over classes."""
    num_clips: int
    num_labels: int


def render(out: Path, *, num_signs: int, num_train: int, num_test: int, assets: Path | None) -> Path:
    """Perform the lexicon and say who is tested on; gives the list.

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
    entries = render_dictionary(out / "lexicon", plan, body_source(None if assets is None else str(assets)))
    path = out / "lexicon" / "split.csv"
    write_split(path, entries, num_train)
    return path


def write_split(path: Path, entries: Sequence[Entry], num_train: int) -> None:
    """Write the entries with a column that says which are tested on: those of all signers after the first ones."""
    tested = set(sorted({entry.signer for entry in entries})[num_train:])
    rows = [entry.row() | {"split": TEST if entry.signer in tested else TRAIN} for entry in entries]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def run_row(row: Row, config: FinetuneConfig) -> Outcome:
    """Train and test; a row that was cut off goes on, one that is done is tested again, which takes moments.

    Raises:
        TrainingError, ModelError: see `training.finetune`.
    """
    messages.print(f"row: {row.name}", markup=False)
    with join_world(config.device) as world:
        run = train(config, world, resume=True)
    found = assess_split(read_trained(chosen(config.output)), config.output)
    top = (found.metrics.recall[1], found.metrics.recall[5], found.per_class[1])
    return Outcome(row, run.step, run.elapsed_s, top, len(found.named), found.num_classes)


def as_markdown(outcomes: Sequence[Outcome], command: str) -> str:
    """The table."""
    first = outcomes[0]
    rows = [
        f"| {'pretrained' if one.row.pretrained else 'random weights'} | {'yes' if one.row.distribution else 'no'} |"
        f" {one.top[0]:.1f} | {one.top[1]:.1f} | {one.top[2]:.1f} | {one.steps} | {one.seconds / 60:.1f} |"
        for one in outcomes
    ]
    return "\n".join(
        [
            "# Recognition on the synthetic signer",
            "",
            f"`{command}`. {machine()}.",
            "",
            f"{first.num_labels} signs of the lexicon; {first.num_clips} clips of signers who were not learned from, so"
            f" one clip is {100 / first.num_clips:.1f} points and chance is {100 / first.num_labels:.1f}. One seed.",
            "",
            "| encoder | class-distribution loss | top-1 | top-5 | top-1 per class | steps | minutes |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main(
    out: Annotated[Path, typer.Argument(help="Folder for clips, runs and reports.")],
    *,
    start_from: Annotated[str, typer.Option(help="Checkpoint of the pretrained encoder.")] = "",
    untrained: Annotated[str, typer.Option(help="Its geometry with random weights.")] = "untrained:compact",
    signs: Annotated[int, typer.Option(min=2, help="In the lexicon.")] = 200,
    train_signers: Annotated[int, typer.Option(min=1, help="Who are learned from.")] = 6,
    test_signers: Annotated[int, typer.Option(min=1, help="Who are tested on.")] = 2,
    assets: Annotated[Path | None, typer.Option(help="Bodies of people; mannequins if left out.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field of every row.")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="Write the table to this Markdown file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures instead of the table.")] = False,
    draw_only: Annotated[
        bool, typer.Option("--draw-only", help="Draw the clips and stop: they need no encoder.")
    ] = False,
) -> None:
    """Perform a lexicon, fine-tune all rows on it, and print the table."""
    with refusals():
        listed = render(out, num_signs=signs, num_train=train_signers, num_test=test_signers, assets=assets)
        if draw_only:
            typer.echo(f"{signs * (train_signers + test_signers)} clips in {listed.parent}")
            return
        common = [f"data.folder={listed}", f"data.cache={out / 'cache'}", *(assignments or [])]
        outcomes = []
        for row in ROWS:
            settings = [*common, *row.settings(start_from, untrained), f"output={out / 'rows' / row.name}"]
            outcomes.append(run_row(row, override(compact(), settings)))
    scale = f"--signs {signs} --train-signers {train_signers} --test-signers {test_signers}"
    extra = "".join(f" --set {setting}" for setting in assignments or ()) + (" --assets BODIES" if assets else "")
    command = f"python -m training.finetune.table OUT --start-from {Path(start_from).name} {scale}{extra}"
    text = as_markdown(outcomes, command)
    if write is not None:
        write_whole(write, text)
    figures = {one.row.name: {"top-1": one.top[0], "top-5": one.top[1]} for one in outcomes}
    typer.echo(json.dumps(figures) if as_json else text)


if __name__ == "__main__":
    typer.run(main)
