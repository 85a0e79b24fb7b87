"""Progress in a terminal, on the error stream: the standard output is for results."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from app.progress import Skipped

errors = Console(stderr=True, soft_wrap=True)


class BarProgress:
    """A `Progress` as a bar with the time that is left."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = bars.add_task("start", total=None)

    def phase(self, name: str, total: int) -> None:
        """Show another phase on the same line."""
        self._bars.reset(self._task, description=name, total=total)

    def advance(self) -> None:
        """Move the bar."""
        self._bars.advance(self._task)

    def skip(self, skipped: Skipped) -> None:
        """Show it above the bar at once; the list comes again at the end."""
        self._bars.console.print(f"skipped {skipped.video}: {skipped.reason}", style="yellow", markup=False)


@contextmanager
def bar() -> Iterator[BarProgress]:
    """Show a progress bar as long as the block runs."""
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=errors) as bars:
        yield BarProgress(bars)
