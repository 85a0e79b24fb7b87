"""A whole run on keypoint sequences as the command does it: start or resume, open the clips, train."""

from training.errors import ConfigError
from training.fit.console import attended, messages
from training.fit.distributed import World
from training.fit.loop import StepReport
from training.progress import progress_bar
from training.sl_slr.batches import Batches
from training.sl_slr.config import SlSlrConfig
from training.sl_slr.corpus import Corpus, open_corpus
from training.sl_slr.loop import pretrain
from training.sl_slr.state import SlSlrState, open_run


def train(config: SlSlrConfig, world: World, *, resume: bool) -> SlSlrState:
    """Start a run, or with `resume` continue the one in the output folder, if any.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    if world.size > 1:
        raise ConfigError(f"{world.size} processes were started; training.sl_slr trains in one, without torchrun")
    state = open_run(config, world.device, resume=resume)
    with progress_bar() as on_progress:
        corpus = open_corpus(config.data, on_progress)
    print_failures(corpus)
    batches = Batches(corpus, config.data, config.batch_size, config.seed)
    with attended(config.output, state.step, describe, world) as (callbacks, stop):
        return pretrain(state, batches, world, callbacks=callbacks, on_collapse=print_collapse, stop=stop)


def print_failures(corpus: Corpus) -> None:
    """Name the clips that could not be used."""
    for reason in corpus.failed:
        messages.print(f"left out: {reason}", style="yellow", markup=False)
    rest = f", {len(corpus.failed)} could not be used" if corpus.failed else ""
    messages.print(f"{len(corpus.clips)} clips{rest}", markup=False)


def print_collapse(step: int, spread: float) -> None:
    """Say that the projections have collapsed, and what to change."""
    messages.print(
        f"step {step}: the projections have collapsed, their spread is {spread:.4f} (1 is even, 0 all the same); the"
        " network learns nothing from here on. Set network.normed=true, a lower optimiser.learning_rate, or another"
        " method",
        style="red",
        markup=False,
    )


def describe(report: StepReport) -> str:
    """A report in one line."""
    terms = "  ".join(f"{name} {value:.3f}" for name, value in report.terms.items() if name != "grad_norm")
    return f"step {report.step}  {terms}  {report.samples_per_s:.0f} clips/s"
