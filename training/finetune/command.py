"""A whole fine-tuning run as the command does it: read the data, start or resume, train, evaluate."""

from pathlib import Path

from training.errors import EvaluationError
from training.finetune.class_distribution import find_distribution
from training.finetune.config import FinetuneConfig
from training.finetune.loop import finetune
from training.finetune.readers import TEST, TRAIN, LabelledClips, read_labelled
from training.finetune.report import RecognitionResult, evaluate_clips, write_report
from training.finetune.state import FinetuneState, TrainedRecogniser, read_start, resume_run, start_run
from training.fit.console import QuietCallbacks, attended, messages
from training.fit.distributed import World
from training.fit.files import LAST
from training.fit.loop import StepReport


def train(config: FinetuneConfig, world: World, *, resume: bool) -> FinetuneState:
    """Start a run, or with `resume` continue the one in the output folder, if any.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    labelled = read_data(config)
    if world.leads:
        for warning in labelled.warnings:
            messages.print(f"warning: {warning}", style="yellow", markup=False)
    config = config.resolved(len(labelled.clips(TRAIN)), world.size)
    start = read_start(config)
    resumed = resume and (config.output / LAST).exists()
    state = (resume_run if resumed else start_run)(config, start, labelled.glosses, world.device)
    if config.losses.distribution and not len(state.phi):
        state.phi = find_distribution(state, start, labelled.clips(TRAIN), world, QuietCallbacks().on_skip)
    with attended(config.output, state.step, describe, world) as (callbacks, stop):
        finetune(state, labelled, world, callbacks=callbacks, stop=stop)
    if callbacks.num_skipped:
        messages.print(f"{callbacks.num_skipped} clips were left out", style="yellow")
    return state


def read_data(config: FinetuneConfig) -> LabelledClips:
    """The data set of a config."""
    return read_labelled(config.data.reader, Path(config.data.folder), config.data.num_signs)


def evaluate_split(trained: TrainedRecogniser, out: Path, *, split: str = TEST) -> RecognitionResult:
    """Recognise the clips of a split, and write the report into a folder.

    Raises:
        EvaluationError: the split has no clip.
        ManifestError: the data can't be read.
    """
    data = trained.config.data
    clips = read_data(trained.config).clips(split)
    if not clips:
        raise EvaluationError(f"{data.folder} has no clip in the split {split}; nothing was tested")
    result = evaluate_clips(trained, clips, cache=data.cache_folder, workers=data.workers)
    write_report(result, out)
    return result


def describe(report: StepReport) -> str:
    """A report in one line."""
    terms = report.terms
    return (
        f"step {report.step}  total {terms['total']:.3f}  cross-entropy {terms['cross_entropy']:.3f}"
        f"  distribution {terms.get('distribution', 0.0):.3f}  top-1 {terms['top-1']:.0%}"
        f"  {report.samples_per_s:.1f} clips/s  waiting {report.waiting:.0%}"
    )
