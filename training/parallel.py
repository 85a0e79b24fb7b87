"""Work on many clips in parallel, with progress; failures are reported and do not stop the rest."""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from model.errors import ModelError
from training.errors import TrainingError

Item = TypeVar("Item")
Result = TypeVar("Result")
stderr = Console(stderr=True, soft_wrap=True)


@dataclass(frozen=True)
class Failure:
    """An item that failed, and why."""

    name: str
    kind: str
    """The error's class: what failures are counted by."""
    reason: str


@dataclass(frozen=True)
class WorkReport:
    """Results of work on many items."""

    num_done: int
    num_there: int
    """Done by an earlier run."""
    failed: tuple[Failure, ...]

    def lines(self) -> list[str]:
        """The report in words: counts first, then every failure."""
        kinds = [failure.kind for failure in self.failed]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        head = f"{self.num_done} done, {self.num_there} were there, {len(self.failed)} failed"
        return [head + (f" ({counts})" if counts else ""), *(f"  {f.name}: {f.reason}" for f in self.failed)]

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def failure_of(name: str, error: Exception) -> Failure:
    """An error as a line of a report."""
    return Failure(name, type(error).__name__, str(error))


def run_parallel(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    name: Callable[[Item], str],
    workers: int,
    phase: str,
    on_result: Callable[[Item, Result], None] | None = None,
) -> tuple[Failure, ...]:
    """Run a function on every item, in worker processes.

    What the packages raise on purpose is a failure of that item; anything else is a defect and ends the run, with the
    finished work on disk. Where a process dies (killed for memory, say) the items it may have held are failures.

    Args:
        items: what is worked on.
        work: a function at the top level of a module, so that another process finds it.
        name: what an item is called in the report.
        workers: processes; 1 works in this one.
        phase: caption of the progress bar.
        on_result: called with every result, in this process.
    """
    failed: list[Failure] = []
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr) as bars:
        task = bars.add_task(phase, total=len(items))

        def settle(item: Item, outcome: Callable[[], Result]) -> None:
            try:
                result = outcome()
            except (ModelError, TrainingError, OSError, BrokenProcessPool) as error:
                failed.append(failure_of(name(item), error))
                bars.console.print(f"failed {name(item)}: {error}", style="yellow", markup=False)
            else:
                if on_result is not None:
                    on_result(item, result)
            bars.advance(task)

        if workers == 1:
            for item in items:
                settle(item, lambda item=item: work(item))  # type: ignore[misc]
        else:
            # Started afresh: a forked copy would inherit threads of libraries that do not survive it.
            with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
                waiting = {pool.submit(work, item): item for item in items}
                for future in as_completed(waiting):
                    settle(waiting[future], future.result)
    return tuple(failed)
