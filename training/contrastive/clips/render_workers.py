"""Processes that render pairs and hand them over through shared memory.

Frames lie in slots of one memory-mapped file; everything else is small and goes through a queue. A slot is free again
once its pair was taken.
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

from training.contrastive.clips.pair_renderer import (
    NUM_PERFORMERS,
    PAIRS_PER_CAST,
    Movement,
    PairRenderer,
    PairRendererConfig,
    PositivePair,
)
from training.contrastive.clips.windows import NUM_SHOWN, ClipWindows, arrays
from training.errors import DataError, SampleError

SLOTS_PER_PROCESS = 4


@dataclass(frozen=True)
class RenderedItem:
    """What goes through the queue: a pair without its frames, or the reason why there is none."""

    number: int
    slot: int
    movement: Movement | None
    details: tuple[dict[str, NDArray[Any]], ...]
    problem: str = ""
    fatal: bool = False


class RenderWorkers:
    """Renders pairs in several processes, from a cast on, without end."""

    def __init__(
        self,
        config: PairRendererConfig,
        num_processes: int,
        first_cast: int = 0,
        folder: Path | None = None,
        skipping: Collection[int] = (),
    ) -> None:
        """Start the processes.

        Args:
            config: of the renderers.
            num_processes: each renders every num_processes-th cast.
            first_cast: number of the first cast.
            folder: for the temporary file of the slots; None: the folder of temporary files.
            skipping: numbers of pairs that are not wanted.
        """
        self._frames_shape = (config.num_windows, NUM_SHOWN, config.size_px, config.size_px, 3)
        num_slots = SLOTS_PER_PROCESS * num_processes
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix="signdex-pairs-")  # noqa: SIM115 lives as long as this
        self._slots = open_slots(Path(self._file.name), num_slots, self._frames_shape, "w+")
        context = multiprocessing.get_context("spawn")
        self._free: Queue[int] = context.Queue()
        self._ready: Queue[RenderedItem] = context.Queue()
        for slot in range(num_slots):
            self._free.put(slot)
        self.skipped: list[str] = []
        """Reasons why pairs were left out."""
        self._processes = [
            context.Process(
                target=_render_pairs,
                args=(
                    config,
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

    def rendered(self, wait_s: float = 0.0) -> Iterator[PositivePair]:
        """The pairs that are ready; the frames of one are valid until the next one is taken.

        Args:
            wait_s: how long to wait for the first one.

        Raises:
            DataError: a process can't render at all; the message says why.
        """
        while True:
            try:
                item = self._ready.get(timeout=wait_s) if wait_s else self._ready.get_nowait()
            except queue.Empty:
                return
            wait_s = 0.0
            if item.movement is None:
                if item.fatal:
                    raise DataError(item.problem)
                self.skipped.append(item.problem)
                continue
            frames = self._slots[item.slot]
            first, second = (ClipWindows(frames=frames[part], **details) for part, details in enumerate(item.details))
            try:
                yield PositivePair(item.number, item.movement, (first, second))
            finally:
                self._free.put(item.slot)

    def close(self) -> None:
        """Stop the processes and release the memory."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for queued in (self._free, self._ready):
            queued.cancel_join_thread()
            queued.close()
        with suppress(FileNotFoundError):
            self._file.close()

    def __enter__(self) -> "RenderWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_slots(file: Path, num_slots: int, shape: tuple[int, ...], mode: Any) -> NDArray[np.uint8]:  # noqa: ANN401 numpy's literal
    """Memory for the frames of `num_slots` pairs: [num_slots, 2, M, 2, S, S, 3]."""
    return np.memmap(file, np.uint8, mode, shape=(num_slots, NUM_PERFORMERS, *shape))


def _render_pairs(
    config: PairRendererConfig,
    first: int,
    step: int,
    skipping: frozenset[int],
    file: str,
    num_slots: int,
    free: "Queue[int]",
    ready: "Queue[RenderedItem]",
) -> None:
    """The work of one process."""
    shape = (config.num_windows, NUM_SHOWN, config.size_px, config.size_px, 3)
    try:
        slots = open_slots(Path(file), num_slots, shape, "r+")
        renderer = PairRenderer(config)
        number = first
        while True:
            while number in skipping:
                number = following(number, step)
            slot = free.get()
            try:
                ready.put(_fill_slot(renderer.render(number), slots, slot))
            except SampleError as error:
                free.put(slot)
                ready.put(RenderedItem(number, -1, None, (), str(error)))
            number = following(number, step)
    except Exception as error:  # noqa: BLE001 reported to the training process
        ready.put(RenderedItem(first, -1, None, (), f"{type(error).__name__}: {error}", fatal=True))


def following(number: int, step: int) -> int:
    """A process's next pair: processes share out whole casts, since making people costs more than rendering."""
    cast, part = divmod(number, PAIRS_PER_CAST)
    return number + 1 if part + 1 < PAIRS_PER_CAST else (cast + step) * PAIRS_PER_CAST


def _fill_slot(pair: PositivePair, slots: NDArray[np.uint8], slot: int) -> RenderedItem:
    details = []
    for part, windows in enumerate(pair.clips):
        found = arrays(windows)
        slots[slot, part] = found.pop("frames")
        details.append(found)
    return RenderedItem(pair.number, slot, pair.movement, tuple(details))
