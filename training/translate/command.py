"""A whole translation run as the command does it: read the features, start or resume, train, evaluate."""

from pathlib import Path

from training.errors import ConfigError, EvaluationError
from training.fit.console import attended, messages
from training.fit.distributed import join_world
from training.fit.loop import StepReport
from training.translate.config import TranslateConfig
from training.translate.data import Corpus, read_corpus
from training.translate.loop import train_translator
from training.translate.report import TranslationResult, evaluate_sentences, write_report
from training.translate.state import TrainedTranslator, TranslateState, open_run


def train(config: TranslateConfig, *, resume: bool) -> tuple[TranslateState, Corpus]:
    """Start a run, or with `resume` continue the one in the output folder, if any.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    corpus = read_data(config)
    for warning in corpus.warnings:
        messages.print(f"warning: {warning}", style="yellow", markup=False)
    with join_world(config.device) as world:
        if world.size > 1:
            raise ConfigError(
                f"{world.size} processes were started; training.translate trains in one, without torchrun"
            )
        state = open_run(config, corpus, world.device, resume=resume)
        with attended(config.output, state.step, describe, world) as (callbacks, stop):
            return train_translator(state, corpus, world, callbacks=callbacks, stop=stop), corpus


def read_data(config: TranslateConfig) -> Corpus:
    """The features of a config.

    Raises:
        ConfigError: none are named.
        DataError, ManifestError: they can't be used.
    """
    if not config.data.folder:
        raise ConfigError("data.folder is empty; name a folder of python -m training.features")
    return read_corpus(Path(config.data.folder), config.data.units)


def evaluate_split(trained: TrainedTranslator, corpus: Corpus, split: str, out: Path) -> TranslationResult:
    """Translate the sentences of a split, and write the report into a folder.

    Raises:
        EvaluationError: there is no such split, or its features are of another width.
    """
    if not corpus.splits.get(split):
        raise EvaluationError(
            f"{trained.config.data.folder} has no sentence in the split {split}; there are {', '.join(corpus.splits)}"
        )
    result = evaluate_sentences(trained, corpus.splits[split])
    write_report(result, out)
    return result


def describe(report: StepReport) -> str:
    """A report in one line."""
    terms = report.terms
    return (
        f"step {report.step}  total {terms['total']:.3f}  words {terms['words']:.3f}"
        f"  glosses {terms.get('glosses', 0.0):.3f}  {report.samples_per_s:.0f} sentences/s"
    )
