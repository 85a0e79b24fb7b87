"""Translation from features of several encoders: `python -m training.recipes.translation OUT --assets BODIES`.

Made-up sentences are rendered once. Features of them are made by one or more encoders, by networks of the same geometry
with random weights, and of the exact skeleton. The same small model is trained on each and tested on sentences by
signers who are neither in training nor in the choice of the checkpoint. Existing results are kept; run again to resume,
or to add an encoder.

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

from model.machine import machine
from model.network.checkpoint import untrained
from model.network.export import export
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder
from training.commands import refusals
from training.data.listing.sentences import read_sentences
from training.errors import DataError, EvaluationError
from training.features import FeaturePlan, make_features
from training.fit.console import messages
from training.fit.files import best_or_last
from training.fit.overrides import as_plain_data, override
from training.parallel import WorkReport
from training.recipes.report import AsJson, Assets, Assignments, Write, markdown, options, publish, table
from training.translate.command import evaluate_split, train
from training.translate.config import TranslateConfig, small
from training.translate.corpus import LENGTHS, SPLITS, CorpusPlan, plan_sentences, render_corpus
from training.translate.exact_features import exact_features
from training.translate.report import TranslationResult
from training.translate.state import read_trained

EXACT = "exact"


@dataclass(frozen=True)
class EncoderFile:
    """An encoder file of the table."""

    path: Path
    encoder_id: str
    stride_frames: int
    trained: bool

    @property
    def name(self) -> str:
        """Its name in the table."""
        return f"{'trained' if self.trained else 'random weights'} ({self.encoder_id})"


@dataclass(frozen=True)
class FeaturesResult:
    """The result of a row."""

    name: str
    """Of the features, in the table."""
    key: str
    """In the names of folders, and in JSON."""
    by_seed: tuple[TranslationResult, ...]
    """On the test split, one per seed."""
    minutes: float
    """Of training, all seeds together."""


def encoder_files(encoders: Sequence[Path], out: Path) -> list[EncoderFile]:
    """Every encoder, then a network with random weights for each of their geometries.

    Raises:
        ModelError: a file can't be used, or sees no pictures.
    """
    found = [read_encoder_file(path) for path in encoders]
    blank = {make_untrained(path, out) for path in encoders}
    return [*found, *(read_encoder_file(path) for path in sorted(blank))]


def read_encoder_file(path: Path) -> EncoderFile:
    """Description of an encoder file."""
    info = OnnxEncoder(path, threads=1).info
    return EncoderFile(path, info.encoder_id, info.stride_frames, info.trained)


def make_untrained(encoder: Path, out: Path) -> Path:
    """An encoder file of the same geometry with random weights; made once per geometry."""
    info = OnnxEncoder(encoder, threads=1).info
    config = info.pictures
    described = json.dumps([as_plain_data(config), info.fps, info.stride_frames], sort_keys=True)
    path = out / f"{hashlib.sha256(described.encode()).hexdigest()[:12]}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        start = untrained(config, f"of the geometry of {info.encoder_id}")
        export(replace(start, fps=info.fps, stride_frames=info.stride_frames), path)
    return path


def features_of(encoder_file: EncoderFile, corpus: Path, out: Path, *, workers: int) -> Path:
    """The folder of a encoder's features of all sentences.

    Raises:
        DataError: some could not be made; all are named.
        TrainingError, ModelError: see `make_features`.
    """
    folder = out / encoder_file.encoder_id
    plan = FeaturePlan(encoder_file.path, encoder_file.stride_frames)
    report = make_features(read_sentences(corpus / "sentences.csv", "videos"), plan, folder, workers=workers)
    if report.failed:
        raise DataError("\n".join(report.lines()))
    return folder


def run_seed(config: TranslateConfig) -> tuple[TranslationResult, float]:
    """Train and test; an interrupted run is resumed, a finished one is tested again. Returns the minutes, too.

    Raises:
        EvaluationError: the run was stopped before its end.
    """
    state, corpus = train(config, resume=True)
    if state.step < config.steps and state.elapsed_s < 60.0 * config.minutes:
        raise EvaluationError(f"{config.output} was stopped at step {state.step} of {config.steps}; run again to go on")
    result = evaluate_split(read_trained(best_or_last(config.output)), corpus, "test", config.output)
    return result, state.elapsed_s / 60.0


def as_markdown(results: Sequence[FeaturesResult], plan: CorpusPlan, command: str) -> str:
    """The table."""
    counts = {split: sum(plan.split(one.signer) == split for one in plan_sentences(plan)) for split in SPLITS}
    num_seeds = len(results[0].by_seed)
    return markdown(
        "# Translation from features, on made-up sentences",
        f"`{command}`. {machine()}.",
        f"{plan.num_signs} signs of the lexicon, each with a word of its own; sentences of {min(LENGTHS)} to"
        f" {max(LENGTHS)} signs in an order that comes nowhere else, the last sign's word second in the text."
        f" {counts['train']} sentences by {plan.train_signers} signers for training, {counts['dev']} by"
        f" {plan.dev_signers} others by whose BLEU-4 the checkpoint is chosen, {counts['test']} by"
        f" {plan.test_signers} further ones for the test; {plan.bodies}, {plan.size_px} pixels, each sentence in"
        f" a room of its own. {num_seeds} seed{'s' if num_seeds > 1 else ''} of the translation model: mean and"
        " standard deviation.",
        table(("features", "BLEU-4", "BLEU-1", "sentences right, %", "minutes of training"), map(_cells, results)),
        f"sacrebleu: {results[0].by_seed[0].signature}",
    )


def _cells(result: FeaturesResult) -> tuple[str, ...]:
    bleu4, bleu1 = (_spread([one.bleu[order] for one in result.by_seed]) for order in (3, 0))
    right = _spread([one.right for one in result.by_seed])
    return result.name, bleu4, bleu1, right, f"{result.minutes:.1f}"


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


@dataclass(frozen=True)
class ComparisonSettings:
    """Settings of the comparison."""

    plan: CorpusPlan
    assets: Path | None = None
    """Bodies of people."""
    seeds: int = 3
    assignments: tuple[str, ...] = ()
    """Fields of every run, KEY=VALUE."""
    workers: int = 1


def compare_encoders(encoders: Sequence[Path], settings: ComparisonSettings, out: Path) -> list[FeaturesResult]:
    """Every row of the table.

    Raises:
        DataError: a sentence could not be rendered or encoded.
        TrainingError, ModelError: of rendering, encoding and training.
    """
    rendered = render_corpus(out / "corpus", settings.plan, settings.assets, workers=settings.workers)
    if rendered.failed:
        raise DataError("\n".join(rendered.lines()))
    corpus, features = out / "corpus", out / "features"
    results = []
    for encoder_file in encoder_files(encoders, out / "untrained"):
        folder = features_of(encoder_file, corpus, features, workers=settings.workers)
        results.append(_train_on_features(encoder_file.name, encoder_file.encoder_id, folder, settings, out))
    failed = exact_features(corpus, settings.plan, settings.assets, features / EXACT, workers=settings.workers)
    if failed:
        raise DataError("\n".join(WorkReport(0, 0, failed).lines()))
    return [*results, _train_on_features("no encoder: the exact skeleton", EXACT, features / EXACT, settings, out)]


def _train_on_features(name: str, key: str, folder: Path, settings: ComparisonSettings, out: Path) -> FeaturesResult:
    messages.print(f"row: {name}", markup=False)
    by_seed, minutes = [], 0.0
    for seed in range(settings.seeds):
        output = out / "runs" / f"{key}-{seed}"
        fields = [f"data.folder={folder}", *settings.assignments, f"seed={seed}", f"output={output}"]
        result, taken = run_seed(override(small(), fields))
        by_seed.append(result)
        minutes += taken
    return FeaturesResult(name, key, tuple(by_seed), minutes)


def main(
    out: Annotated[Path, typer.Argument(help="Folder for sentences, features and runs.")],
    *,
    encoder: Annotated[list[Path] | None, typer.Option(help="Encoder file; may be given more than once.")] = None,
    assets: Assets = None,
    signs: Annotated[int, typer.Option(min=5, help="Signs of the lexicon.")] = CorpusPlan.num_signs,
    per_signer: Annotated[int, typer.Option(min=1, help="Sentences of each.")] = CorpusPlan.per_signer,
    seeds: Annotated[int, typer.Option(min=1, help="Of the translation model.")] = 3,
    assignments: Assignments = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render and encode.")] = os.cpu_count() or 1,
    write: Write = None,
    as_json: AsJson = False,
) -> None:
    """Render sentences, train a translator on the features of every encoder, and print the table."""
    plan = CorpusPlan(num_signs=signs, per_signer=per_signer, bodies="mannequins" if assets is None else "people")
    settings = ComparisonSettings(plan, assets, seeds, tuple(assignments or ()), workers)
    with refusals():
        results = compare_encoders(encoder or [DEFAULT_ENCODER], settings, out)
    figures = {one.key: {"features": one.name, "bleu-4": [result.bleu[3] for result in one.by_seed]} for one in results}
    publish(as_markdown(results, plan, _command(encoder or (), settings)), figures, write, as_json=as_json)


def _command(encoders: Sequence[Path], settings: ComparisonSettings) -> str:
    plan = settings.plan
    given = [f"--signs {plan.num_signs} --per-signer {plan.per_signer} --seeds {settings.seeds}"]
    given += [f"--encoder {path}" for path in encoders]
    return (
        f"python -m training.recipes.translation OUT {' '.join(given)}{options(settings.assignments, settings.assets)}"
    )


if __name__ == "__main__":
    typer.run(main)
