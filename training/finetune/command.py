"""A whole fine-tuning run under the eyes of a person: read, train, test, report."""

from contextlib import nullcontext
from pathlib import Path

from training.errors import EvaluationError
from training.finetune.config import FinetuneConfig
from training.finetune.learn import find_distribution, finetune
from training.finetune.readers import TEST, TRAIN, Labelled, read_labelled
from training.finetune.report import Assessment, assess, write_report
from training.finetune.state import Run, Trained, read_start, resume_run, start_run
from training.fit.console import Quiet, display, messages, stop_on_signal
from training.fit.distributed import World
from training.fit.files import LAST
from training.fit.loop import Report


def train(config: FinetuneConfig, world: World, *, resume: bool) -> Run:
    """Start a run or go on with it.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    labelled = read(config)
    if world.leads:
        for warning in labelled.warnings:
            messages.print(f"warning: {warning}", style="yellow", markup=False)
    config = config.resolved(len(labelled.clips(TRAIN)), world.size)
    start = read_start(config)
    going_on = resume and (config.output / LAST).exists()
    run = (resume_run if going_on else start_run)(config, start, labelled.glosses, world.device)
    quiet = Quiet()
    if config.losses.distribution and not len(run.phi):
        run.phi = find_distribution(run, start, labelled.clips(TRAIN), world, quiet.skipped)
    watching = display(config.output, run.step, describe) if world.leads else nullcontext(quiet)
    with watching as watcher, stop_on_signal() as stop:
        finetune(run, labelled, world, watcher=watcher, stop=lambda: bool(stop))
    if watcher.num_skipped:
        messages.print(f"{watcher.num_skipped} clips were left out", style="yellow")
    return run


def read(config: FinetuneConfig) -> Labelled:
    """The data that a config names."""
    return read_labelled(config.data.reader, Path(config.data.folder), config.data.num_signs)


def assess_split(trained: Trained, out: Path | None, *, split: str = TEST) -> Assessment:
    """Name the clips of a split, say how it went, and leave the report in a folder.

    Raises:
        EvaluationError: the split has no clip.
        ManifestError: the data can't be read.
    """
    data = trained.config.data
    clips = read(trained.config).clips(split)
    if not clips:
        raise EvaluationError(f"{data.folder} has no clip in the split {split}; nothing was tested")
    cache = Path(data.cache) if data.cache else None
    found = assess(trained, clips, cache=cache, workers=data.workers)
    if out is not None:
        write_report(found, out)
    return found


def describe(report: Report) -> str:
    """A report in one line."""
    terms = report.terms
    return (
        f"step {report.step}  total {terms['total']:.3f}  cross-entropy {terms['cross_entropy']:.3f}"
        f"  distribution {terms.get('distribution', 0.0):.3f}  top-1 {terms['top-1']:.0%}"
        f"  {report.samples_per_s:.1f} clips/s  waiting {report.waiting:.0%}"
    )
