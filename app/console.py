"""Progress bars in a terminal, on the error stream: the standard output is for results."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.progress import SkippedVideo

errors = Console(stderr=True, soft_wrap=True)


class ProgressBarCallback:
    """A `ProgressCallback` that shows a bar with the time that is left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("start", total=None)

    def start_phase(self, name: str, total: int) -> None:
        """Show another phase on the same line."""
        self._progress.reset(self._task, description=name, total=total)

    def advance(self) -> None:
        """Move the bar."""
        self._progress.advance(self._task)

    def report_skipped(self, skipped: SkippedVideo) -> None:
        """Show it above the bar at once; the list comes again at the end."""
        self._progress.console.print(f"skipped {skipped.video}: {skipped.reason}", style="yellow", markup=False)


@contextmanager
def progress_bar() -> Iterator[ProgressBarCallback]:
    """Show a progress bar while the block runs."""
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors) as progress:
        yield ProgressBarCallback(progress)
