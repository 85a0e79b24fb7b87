"""What a person sees of a run: a bar with losses and the time that is left, or lines where there is no terminal."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from training.fit.loop import Report

CURVES = "curves"
"""Folder of TensorBoard's files inside the output folder."""

Describe = Callable[[Report], str]
"""A report in one line."""

STOPPING = (signal.SIGINT, signal.SIGTERM)

messages = Console(stderr=True, soft_wrap=True)


class Quiet:
    """A `Watcher` for processes that do not lead: only what went wrong is said."""

    def __init__(self) -> None:
        self.num_skipped = 0

    def step(self, report: Report) -> None:
        """Nothing."""

    def validated(self, step: int, score: float, best: bool) -> None:
        """Nothing."""

    def skipped(self, reason: str) -> None:
        """Say it once and count it."""
        self.num_skipped += 1
        messages.print(f"skipped {reason}", style="yellow", markup=False)


class Display(Quiet):
    """A `Watcher` that shows a bar and writes curves for TensorBoard."""

    def __init__(self, bars: Progress, curves: SummaryWriter, describe: Describe) -> None:
        super().__init__()
        self._bars, self._curves, self._describe = bars, curves, describe
        self._task = bars.add_task("starting", total=1.0)

    def step(self, report: Report) -> None:
        """Move the bar and add a point to every curve."""
        text = self._describe(report)
        self._bars.update(self._task, completed=report.done, description=text)
        if not messages.is_terminal:
            messages.print(f"{report.done:4.0%} {text}", markup=False)
        for name, value in curve_points(report).items():
            self._curves.add_scalar(name, value, report.step)

    def validated(self, step: int, score: float, best: bool) -> None:
        """Say the score."""
        messages.print(f"step {step}: validation {score:.4f}{', the best so far' if best else ''}", markup=False)
        self._curves.add_scalar("validation", score, step)


def curve_points(report: Report) -> dict[str, float]:
    """The name of every curve with its value."""
    losses = {f"loss/{name}": value for name, value in report.terms.items() if name != "grad_norm"}
    return losses | {
        "run/grad_norm": report.terms["grad_norm"],
        "run/learning_rate": report.learning_rate,
        "run/samples_per_s": report.samples_per_s,
        "run/waiting": report.waiting,
    }


@contextmanager
def display(output: Path, first_step: int, describe: Describe) -> Iterator[Display]:
    """Show a run as long as the block runs; curves behind `first_step` are cut off where a run goes on."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=messages) as bars,
        SummaryWriter(str(output / CURVES), purge_step=first_step + 1) as curves,
    ):
        yield Display(bars, curves, describe)


@contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """A list that holds the signal once somebody has asked to stop: the step is finished and the run saved."""
    asked: list[int] = []
    previous = {number: signal.signal(number, lambda seen, _: asked.append(seen)) for number in STOPPING}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
