"""A whole pretraining run as the command does it: open the data, start or resume, train, report."""

from training.fit.console import attended, messages
from training.fit.distributed import World
from training.fit.files import LAST
from training.fit.loop import StepReport
from training.pretrain.config import PretrainConfig
from training.pretrain.loop import pretrain
from training.pretrain.sources import open_sources
from training.pretrain.state import PretrainState, resume_run, start_run
from training.pretrain.validation import open_validation


def train(config: PretrainConfig, world: World, *, resume: bool) -> PretrainState:
    """Start a run, or with `resume` continue the one in the output folder, if any.

    Raises:
        TrainingError: of any kind; the message says what to do.
        ModelError: a checkpoint can't be read.
    """
    source = open_sources(config.data, config.seed)
    validate = open_validation(config)
    resumed = resume and (config.output / LAST).exists()
    state = resume_run(config, world.device) if resumed else start_run(config, world.device)
    with attended(config.output, state.step, describe, world) as (callbacks, stop):
        pretrain(state, source, world, callbacks=callbacks, validate=validate, stop=stop)
    if callbacks.num_skipped:
        messages.print(f"{callbacks.num_skipped} pairs of windows were left out", style="yellow")
    return state


def describe(report: StepReport) -> str:
    """A report in one line."""
    terms = report.terms
    return (
        f"step {report.step}  total {terms['total']:.3f}  priors {terms['priors']:.3f}"
        f"  activity {terms['activity']:.3f}  variance {terms['variance']:.3f}  covariance {terms['covariance']:.3f}"
        f"  adversarial {terms['adversarial']:.3f}  {report.samples_per_s:.1f} windows/s"
        f"  waiting {report.waiting:.0%}"
    )
