"""What a person sees of a run: a bar with losses, or lines where there is no terminal; curves for TensorBoard."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch.utils.tensorboard import SummaryWriter

from training.fit.console import CURVES, messages
from training.sl_slr.corpus import Tell
from training.sl_slr.loop import Report


def columns() -> tuple[ProgressColumn, ...]:
    """Of every bar."""
    return TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()


class Quiet:
    """A `Watcher` that says only what went wrong."""

    def step(self, report: Report) -> None:
        """Nothing."""

    def collapsed(self, step: int, spread: float) -> None:
        """Say it."""
        messages.print(
            f"step {step}: the projections have collapsed, their spread is {spread:.4f} (1 is even, 0 all the same);"
            " what is learned from here on says nothing. Set network.normed=true, a lower optimiser.learning_rate, or"
            " another method",
            style="red",
            markup=False,
        )


class Display(Quiet):
    """A `Watcher` that shows a bar and writes curves."""

    def __init__(self, bars: Progress, curves: SummaryWriter) -> None:
        self._bars, self._curves = bars, curves
        self._task = bars.add_task("starting", total=1.0)

    def step(self, report: Report) -> None:
        """Move the bar and add a point to every curve."""
        text = describe(report)
        self._bars.update(self._task, completed=report.done, description=text)
        if not messages.is_terminal:
            messages.print(f"{report.done:4.0%} {text}", markup=False)
        points = report.terms | {"learning_rate": report.learning_rate, "sequences_per_s": report.sequences_per_s}
        for name, value in points.items():
            self._curves.add_scalar(name, value, report.step)


def describe(report: Report) -> str:
    """A report in one line."""
    terms = "  ".join(f"{name} {value:.3f}" for name, value in report.terms.items() if name != "grad_norm")
    return f"step {report.step}  {terms}  {report.sequences_per_s:.0f} clips/s"


@contextmanager
def display(output: Path, first_step: int) -> Iterator[Display]:
    """Show a run as long as the block runs; curves behind `first_step` are cut off where a run goes on."""
    with (
        Progress(*columns(), TextColumn("left"), TimeRemainingColumn(), console=messages) as bars,
        SummaryWriter(str(output / CURVES), purge_step=first_step + 1) as curves,
    ):
        yield Display(bars, curves)


@contextmanager
def telling() -> Iterator[Tell]:
    """A bar for work that comes in phases, as long as the block runs."""
    with Progress(*columns(), console=messages, transient=True) as bars:
        task = bars.add_task("")

        def tell(phase: str, done: int, total: int) -> None:
            bars.update(task, description=phase, completed=done, total=total)

        yield tell
