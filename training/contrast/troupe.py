"""Processes that draw pairs while the network learns, and hand them over through memory that all of them see.

Frames lie in slots of one file; everything else is small and goes through a queue. A slot is free again once its pair
was taken.
"""

import multiprocessing
import queue
import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.contrast.moments import NUM_SHOWN, Moments, arrays
from training.contrast.theatre import NUM_PERFORMERS, PAIRS_PER_CAST, Duet, Movement, Programme, Theatre
from training.errors import DataError, SampleError

SLOTS_PER_PROCESS = 4


@dataclass(frozen=True)
class Handed:
    """What goes through the queue: a pair without its frames, or why there is none."""

    number: int
    slot: int
    movement: Movement | None
    details: tuple[dict[str, NDArray[Any]], ...]
    problem: str = ""
    fatal: bool = False


class Troupe:
    """Draws the pairs of a programme in processes, from a cast on, without end."""

    def __init__(
        self,
        programme: Programme,
        num_processes: int,
        first_cast: int = 0,
        folder: Path | None = None,
        skipping: Collection[int] = (),
    ) -> None:
        """Start drawing.

        Args:
            programme: what.
            num_processes: each draws every so many-th cast.
            first_cast: number of the first cast.
            folder: in which the slots' file lies while this lives; None: where temporary files go.
            skipping: numbers of pairs that are not wanted.
        """
        self._frames_shape = (programme.num_moments, NUM_SHOWN, programme.size_px, programme.size_px, 3)
        num_slots = SLOTS_PER_PROCESS * num_processes
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix="signdex-pairs-")  # noqa: SIM115 lives as long as this
        self._slots = open_slots(Path(self._file.name), num_slots, self._frames_shape, "w+")
        context = multiprocessing.get_context("spawn")
        self._free: Queue[int] = context.Queue()
        self._ready: Queue[Handed] = context.Queue()
        for slot in range(num_slots):
            self._free.put(slot)
        self.skipped: list[str] = []
        """Why pairs were left out."""
        self._processes = [
            context.Process(
                target=_draw,
                args=(
                    programme,
                    (first_cast + part) * PAIRS_PER_CAST,
                    num_processes,
                    frozenset(skipping),
                    self._file.name,
                    num_slots,
                    self._free,
                    self._ready,
                ),
                daemon=True,
            )
            for part in range(num_processes)
        ]
        for process in self._processes:
            process.start()

    def drawn(self, wait_s: float = 0.0) -> Iterator[Duet]:
        """The pairs that are ready; their frames may be looked at until the next one is asked for.

        Args:
            wait_s: how long to wait for the first one.

        Raises:
            DataError: a process can't draw at all; the message says why.
        """
        while True:
            try:
                handed = self._ready.get(timeout=wait_s) if wait_s else self._ready.get_nowait()
            except queue.Empty:
                return
            wait_s = 0.0
            if handed.movement is None:
                if handed.fatal:
                    raise DataError(handed.problem)
                self.skipped.append(handed.problem)
                continue
            frames = self._slots[handed.slot]
            first, second = (Moments(frames=frames[part], **details) for part, details in enumerate(handed.details))
            try:
                yield Duet(handed.number, handed.movement, (first, second))
            finally:
                self._free.put(handed.slot)

    def close(self) -> None:
        """End the processes and give the memory back."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for queued in (self._free, self._ready):
            queued.cancel_join_thread()
            queued.close()
        with suppress(FileNotFoundError):
            self._file.close()

    def __enter__(self) -> "Troupe":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_slots(file: Path, num_slots: int, shape: tuple[int, ...], mode: Any) -> NDArray[np.uint8]:  # noqa: ANN401 numpy's literal
    """Memory for the frames of so many pairs: [num_slots, 2, M, 2, S, S, 3]."""
    return np.memmap(file, np.uint8, mode, shape=(num_slots, NUM_PERFORMERS, *shape))


def _draw(
    programme: Programme,
    first: int,
    step: int,
    skipping: frozenset[int],
    file: str,
    num_slots: int,
    free: "Queue[int]",
    ready: "Queue[Handed]",
) -> None:
    """The work of one process."""
    shape = (programme.num_moments, NUM_SHOWN, programme.size_px, programme.size_px, 3)
    try:
        slots = open_slots(Path(file), num_slots, shape, "r+")
        theatre = Theatre(programme)
        number = first
        while True:
            while number in skipping:
                number = following(number, step)
            slot = free.get()
            try:
                ready.put(_handed(theatre.duet(number), slots, slot))
            except SampleError as error:
                free.put(slot)
                ready.put(Handed(number, -1, None, (), str(error)))
            number = following(number, step)
    except Exception as error:  # noqa: BLE001 told to the process that learns
        ready.put(Handed(first, -1, None, (), f"{type(error).__name__}: {error}", fatal=True))


def following(number: int, step: int) -> int:
    """A process's next pair: casts, not single pairs, are shared out, since making people costs more than drawing."""
    cast, part = divmod(number, PAIRS_PER_CAST)
    return number + 1 if part + 1 < PAIRS_PER_CAST else (cast + step) * PAIRS_PER_CAST


def _handed(duet: Duet, slots: NDArray[np.uint8], slot: int) -> Handed:
    details = []
    for part, moments in enumerate(duet.performances):
        found = arrays(moments)
        slots[slot, part] = found.pop("frames")
        details.append(found)
    return Handed(duet.number, slot, duet.movement, tuple(details))
