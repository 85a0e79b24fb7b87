"""What a person sees of a run: a bar with losses and the remaining time, or lines where there is no terminal."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from training.fit.distributed import World
from training.fit.loop import SCORE, Scores, StepReport

CURVES = "curves"
"""Folder of TensorBoard's files inside the output folder."""

Describe = Callable[[StepReport], str]
"""A report in one line."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

messages = Console(stderr=True, soft_wrap=True)


class QuietCallbacks:
    """`Callbacks` of processes that do not lead: only problems are printed."""

    def __init__(self) -> None:
        self.num_skipped = 0

    def on_step(self, report: StepReport) -> None:
        """Nothing."""

    def on_validation(self, step: int, scores: Scores, *, best: bool) -> None:
        """Nothing."""

    def on_skip(self, reason: str) -> None:
        """Print and count it."""
        self.num_skipped += 1
        messages.print(f"skipped {reason}", style="yellow", markup=False)


class DisplayCallbacks(QuietCallbacks):
    """`Callbacks` that show a bar and write curves for TensorBoard."""

    def __init__(self, bars: Progress, curves: SummaryWriter, describe: Describe) -> None:
        super().__init__()
        self._bars, self._curves, self._describe = bars, curves, describe
        self._task = bars.add_task("starting", total=1.0)

    def on_step(self, report: StepReport) -> None:
        """Move the bar and add a point to every curve."""
        text = self._describe(report)
        self._bars.update(self._task, completed=report.done, description=text)
        if not messages.is_terminal:
            messages.print(f"{report.done:4.0%} {text}", markup=False)
        for name, value in curve_points(report).items():
            self._curves.add_scalar(name, value, report.step)

    def on_validation(self, step: int, scores: Scores, *, best: bool) -> None:
        """Print the score and what was found beside it."""
        others = "".join(f"  {name} {value:.3g}" for name, value in scores.items() if name != SCORE)
        end = ", the best so far" if best else ""
        messages.print(f"step {step}: validation {scores[SCORE]:.4f}{end}{others}", markup=False)
        for name, value in scores.items():
            self._curves.add_scalar("validation" if name == SCORE else f"validation/{name}", value, step)


def curve_points(report: StepReport) -> dict[str, float]:
    """The name of every curve with its value."""
    losses = {f"loss/{name}": value for name, value in report.terms.items() if name != "grad_norm"}
    return losses | {
        "run/grad_norm": report.terms["grad_norm"],
        "run/learning_rate": report.learning_rate,
        "run/samples_per_s": report.samples_per_s,
        "run/waiting": report.waiting,
    }


@contextmanager
def display(output: Path, first_step: int, describe: Describe) -> Iterator[DisplayCallbacks]:
    """Show a run as long as the block runs; curves after `first_step` are cut off where a run is resumed."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=messages) as bars,
        SummaryWriter(str(output / CURVES), purge_step=first_step + 1) as curves,
    ):
        yield DisplayCallbacks(bars, curves, describe)


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Whether somebody has asked to stop, by Ctrl-C or SIGTERM: the step is finished and the run saved."""
    received: list[int] = []
    previous = {number: signal.signal(number, lambda number, _: received.append(number)) for number in STOP_SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def attended(
    output: Path, first_step: int, describe: Describe, world: World
) -> Iterator[tuple[QuietCallbacks, Callable[[], bool]]]:
    """Callbacks of this process and whether to stop, for `training.fit.loop.fit`; the leading process is displayed."""
    with ExitStack() as stack:
        callbacks = stack.enter_context(display(output, first_step, describe)) if world.leads else QuietCallbacks()
        yield callbacks, stack.enter_context(stop_on_signal())
