"""Progress of work that comes in phases, and a bar that shows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

OnProgress = Callable[[str, int, int], None]
"""Called before every item of a phase: the phase, how many items are done, and how many there are."""


def ignore_progress(phase: str, done: int, total: int) -> None:
    """An `OnProgress` that shows nothing."""


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """An `OnProgress` that moves a bar on stderr as long as the block runs."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("")

        def on_progress(phase: str, done: int, total: int) -> None:
            bars.update(task, description=phase, completed=done + 1, total=total)

        yield on_progress
