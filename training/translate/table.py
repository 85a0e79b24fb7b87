"""Do features carry language? `python -m training.translate.table OUT --assets BODIES`.

Made-up sentences are drawn once. Features are made of them by one or more encoders, and by networks of the same
geometry with random weights; the same small model learns from each, and from the exact skeleton, and is tested on
sentences by signers whom neither it nor the choice of its checkpoint has seen. What is there is kept; run again, with
another encoder too, to go on.

    OUT/corpus                the sentences
    OUT/untrained             encoder files with random weights, one per geometry
    OUT/features/ENCODER_ID   of all sentences, and OUT/features/exact
    OUT/runs/ENCODER_ID-SEED  a run of `training.translate` each, with its report
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated

import typer

from model.checkpoint import untrained
from model.export import export
from model.machine import machine
from model.runtime import DEFAULT_ENCODER, OnnxEncoder
from training.assignments import as_plain_data, override
from training.batch import Report
from training.commands import refusals
from training.data.shard_files import write_whole
from training.errors import DataError, EvaluationError
from training.features import Plan as FeaturePlan
from training.features import make_features
from training.fit.console import messages
from training.fit.files import chosen
from training.sentences import read_sentences
from training.translate.command import assess_split, train
from training.translate.config import TranslateConfig, small
from training.translate.corpus import LENGTHS, SPLITS, Plan, draw_corpus, sayings
from training.translate.exact import exact_features
from training.translate.report import Assessment
from training.translate.state import read_trained

EXACT = "exact"


@dataclass(frozen=True)
class Subject:
    """An encoder file of the table."""

    path: Path
    encoder_id: str
    stride_frames: int
    trained: bool

    @property
    def name(self) -> str:
        """In the table."""
        return f"{'trained' if self.trained else 'random weights'} ({self.encoder_id})"


@dataclass(frozen=True)
class Outcome:
    """What one row came to."""

    name: str
    """Of what the features are."""
    key: str
    """In the names of folders, and in JSON."""
    found: tuple[Assessment, ...]
    """On the test, one per seed."""
    minutes: float
    """Of training, all seeds together."""


def subjects(encoders: Sequence[Path], out: Path) -> list[Subject]:
    """Every encoder, then a network with random weights for each of their geometries.

    Raises:
        ModelError: a file can't be used, or sees no pictures.
    """
    found = [read_subject(path) for path in encoders]
    blank = {make_untrained(path, out) for path in encoders}
    return [*found, *(read_subject(path) for path in sorted(blank))]


def read_subject(path: Path) -> Subject:
    """What an encoder file is."""
    info = OnnxEncoder(path, threads=1).info
    return Subject(path, info.encoder_id, info.stride_frames, info.trained)


def make_untrained(encoder: Path, out: Path) -> Path:
    """An encoder file as another one is, but with random weights; made once per geometry."""
    info = OnnxEncoder(encoder, threads=1).info
    config = info.pictures
    described = json.dumps([as_plain_data(config), info.fps, info.stride_frames], sort_keys=True)
    path = out / f"{hashlib.sha256(described.encode()).hexdigest()[:12]}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        start = untrained(config, f"of the geometry of {info.encoder_id}")
        export(replace(start, fps=info.fps, stride_frames=info.stride_frames), path)
    return path


def features_of(subject: Subject, corpus: Path, out: Path, *, workers: int) -> Path:
    """The folder of a subject's features of all sentences.

    Raises:
        DataError: some could not be made; all are named.
        TrainingError, ModelError: see `make_features`.
    """
    folder = out / subject.encoder_id
    plan = FeaturePlan(subject.path, subject.stride_frames)
    report = make_features(read_sentences(corpus / "sentences.csv", "videos"), plan, folder, workers=workers)
    if report.failed:
        raise DataError("\n".join(report.lines()))
    return folder


def run_seed(config: TranslateConfig) -> tuple[Assessment, float]:
    """Train and test; a run that was cut off goes on, one that is done is tested again. Gives the minutes, too.

    Raises:
        EvaluationError: somebody asked the run to stop before its end.
    """
    run, corpus = train(config, resume=True)
    if run.step < config.steps and run.elapsed_s < 60.0 * config.minutes:
        raise EvaluationError(f"{config.output} was stopped at step {run.step} of {config.steps}; run again to go on")
    found = assess_split(read_trained(chosen(config.output)), corpus, "test", config.output)
    return found, run.elapsed_s / 60.0


def as_markdown(outcomes: Sequence[Outcome], plan: Plan, command: str) -> str:
    """The table."""
    counts = {split: sum(plan.split(one.signer) == split for one in sayings(plan)) for split in SPLITS}
    num_seeds = len(outcomes[0].found)
    return "\n".join(
        [
            "# Translation from features, on made-up sentences",
            "",
            f"`{command}`. {machine()}.",
            "",
            f"{plan.num_signs} signs of the lexicon, each with a word of its own; sentences of {min(LENGTHS)} to"
            f" {max(LENGTHS)} signs in an order that comes nowhere else, the last sign's word second in the text."
            f" {counts['train']} sentences by {plan.train_signers} signers to learn from, {counts['dev']} by"
            f" {plan.dev_signers} others by whose BLEU-4 the checkpoint is chosen, {counts['test']} by"
            f" {plan.test_signers} further ones to be tested on; {plan.bodies}, {plan.size_px} pixels, each sentence in"
            f" a room of its own. {num_seeds} seed{'s' if num_seeds > 1 else ''} of the translation model: mean and"
            " standard deviation.",
            "",
            "| features | BLEU-4 | BLEU-1 | sentences right, % | minutes of training |",
            "|---|---|---|---|---|",
            *(_row(outcome) for outcome in outcomes),
            "",
            f"sacrebleu: {outcomes[0].found[0].signature}",
            "",
        ]
    )


def _row(outcome: Outcome) -> str:
    bleu4 = _spread([found.bleu[3] for found in outcome.found])
    bleu1 = _spread([found.bleu[0] for found in outcome.found])
    right = _spread([found.right for found in outcome.found])
    return f"| {outcome.name} | {bleu4} | {bleu1} | {right} | {outcome.minutes:.1f} |"


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


@dataclass(frozen=True)
class Settings:
    """How the table is made."""

    plan: Plan
    assets: Path | None = None
    """Bodies of people."""
    seeds: int = 3
    assignments: tuple[str, ...] = ()
    """Fields of every run, KEY=VALUE."""
    workers: int = 1


def compare_encoders(encoders: Sequence[Path], settings: Settings, out: Path) -> list[Outcome]:
    """Every row of the table.

    Raises:
        DataError: a sentence could not be drawn, or not be encoded.
        TrainingError, ModelError: of drawing, encoding and learning.
    """
    drawn = draw_corpus(out / "corpus", settings.plan, settings.assets, workers=settings.workers)
    if drawn.failed:
        raise DataError("\n".join(drawn.lines()))
    corpus, features = out / "corpus", out / "features"
    outcomes = []
    for subject in subjects(encoders, out / "untrained"):
        folder = features_of(subject, corpus, features, workers=settings.workers)
        outcomes.append(_learned(subject.name, subject.encoder_id, folder, settings, out))
    failed = exact_features(corpus, settings.plan, settings.assets, features / EXACT, workers=settings.workers)
    if failed:
        raise DataError("\n".join(Report(0, 0, failed).lines()))
    return [*outcomes, _learned("no encoder: the exact skeleton", EXACT, features / EXACT, settings, out)]


def _learned(name: str, key: str, folder: Path, settings: Settings, out: Path) -> Outcome:
    messages.print(f"row: {name}", markup=False)
    found, minutes = [], 0.0
    for seed in range(settings.seeds):
        output = out / "runs" / f"{key}-{seed}"
        fields = [f"data.folder={folder}", *settings.assignments, f"seed={seed}", f"output={output}"]
        one, taken = run_seed(override(small(), fields))
        found.append(one)
        minutes += taken
    return Outcome(name, key, tuple(found), minutes)


def main(
    out: Annotated[Path, typer.Argument(help="Folder for sentences, features and runs.")],
    *,
    encoder: Annotated[list[Path] | None, typer.Option(help="Encoder file; may be given more than once.")] = None,
    assets: Annotated[Path | None, typer.Option(help="Bodies of people; mannequins if left out.")] = None,
    signs: Annotated[int, typer.Option(min=5, help="In the lexicon.")] = Plan.num_signs,
    per_signer: Annotated[int, typer.Option(min=1, help="Sentences of each.")] = Plan.per_signer,
    seeds: Annotated[int, typer.Option(min=1, help="Of the translation model.")] = 3,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field of every run.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw and encode.")] = os.cpu_count() or 1,
    write: Annotated[Path | None, typer.Option(help="Write the table to this Markdown file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures instead of the table.")] = False,
) -> None:
    """Draw sentences, learn to translate them from every encoder's features, and print the table."""
    plan = Plan(num_signs=signs, per_signer=per_signer, bodies="mannequins" if assets is None else "people")
    settings = Settings(plan, assets, seeds, tuple(assignments or ()), workers)
    with refusals():
        outcomes = compare_encoders(encoder or [DEFAULT_ENCODER], settings, out)
    text = as_markdown(outcomes, plan, _command(encoder or (), settings))
    if write is not None:
        write_whole(write, text)
    figures = {one.key: {"features": one.name, "bleu-4": [found.bleu[3] for found in one.found]} for one in outcomes}
    typer.echo(json.dumps(figures) if as_json else text)


def _command(encoders: Sequence[Path], settings: Settings) -> str:
    plan = settings.plan
    given = [f"--signs {plan.num_signs} --per-signer {plan.per_signer} --seeds {settings.seeds}"]
    given += ["--assets BODIES"] if settings.assets else []
    given += [f"--encoder {path}" for path in encoders] + [f"--set {one}" for one in settings.assignments]
    return f"python -m training.translate.table OUT {' '.join(given)}"


if __name__ == "__main__":
    typer.run(main)
