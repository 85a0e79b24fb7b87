"""A whole translation run under the eyes of a person: read, train, test, report."""

from pathlib import Path

from training.errors import ConfigError, EvaluationError
from training.fit.console import display, messages, stop_on_signal
from training.fit.distributed import join_world
from training.fit.loop import Report
from training.translate.config import TranslateConfig
from training.translate.data import Corpus, read_corpus
from training.translate.learn import learn_to_translate
from training.translate.report import Assessment, assess, write_report
from training.translate.state import Run, Trained, open_run


def train(config: TranslateConfig, *, resume: bool) -> tuple[Run, Corpus]:
    """Start a run or go on with it; one that is done is left as it is.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    corpus = read(config)
    for warning in corpus.warnings:
        messages.print(f"warning: {warning}", style="yellow", markup=False)
    with join_world(config.device) as world:
        if world.size > 1:
            raise ConfigError(f"{world.size} processes were started; translation is learned in one, without torchrun")
        run = open_run(config, corpus, world.device, resume=resume)
        with display(config.output, run.step, describe) as watcher, stop_on_signal() as asked:
            return learn_to_translate(run, corpus, world, watcher=watcher, stop=lambda: bool(asked)), corpus


def read(config: TranslateConfig) -> Corpus:
    """The features that a config names.

    Raises:
        ConfigError: none are named.
        DataError, ManifestError: they can't be used.
    """
    if not config.data.folder:
        raise ConfigError("data.folder is empty; name a folder of python -m training.features")
    return read_corpus(Path(config.data.folder), config.data.units)


def assess_split(trained: Trained, corpus: Corpus, split: str, out: Path | None) -> Assessment:
    """Translate a split, and leave the report in a folder.

    Raises:
        EvaluationError: there is no such split, or its features are of another width.
    """
    if not corpus.splits.get(split):
        raise EvaluationError(
            f"{trained.config.data.folder} has no sentence in the split {split}; there are {', '.join(corpus.splits)}"
        )
    found = assess(trained, corpus.splits[split])
    if out is not None:
        write_report(found, out)
    return found


def describe(report: Report) -> str:
    """A report in one line."""
    terms = report.terms
    return (
        f"step {report.step}  total {terms['total']:.3f}  words {terms['words']:.3f}"
        f"  glosses {terms.get('glosses', 0.0):.3f}  {report.samples_per_s:.0f} sentences/s"
    )
