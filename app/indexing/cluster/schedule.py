"""Assigns blocks of clips to workers, so that none of them waits and no more blocks are in work than necessary.

Every block is decoded by one worker and encoded by another, on the same node if that has one free. A block whose worker
is lost is decoded again by another one; everything else continues.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Collection, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.errors import ClusterError, WorkLostError
from app.indexing.bulk import ClipResult, ClipToEmbed
from app.indexing.cluster.workers import ClipBlock, error_of_clip

log = logging.getLogger(__name__)

BLOCKS_PER_ENCODER = 2
"""One that it encodes, and one that waits."""
MAX_LOSSES = 3
"""A block that was lost so often is not tried again: it may be what crashes nodes."""
REFRESH_S = 5.0
"""How often to look for nodes that were added or are gone."""
PATIENCE_S = 120.0
"""How long to wait for workers while there are none."""


@dataclass(frozen=True)
class Worker:
    """A worker on some node."""

    name: str
    node: str
    """Name of the node in messages."""
    max_blocks: int
    """That it may have at the same time."""


class WorkerPool(Protocol):
    """The workers of all nodes. A reference stands for the result of a task that was submitted."""

    def refresh(self) -> None:
        """Start workers on new nodes, and forget those of nodes that are gone."""
        ...

    @property
    def decoders(self) -> Sequence[Worker]:
        """Workers that are ready to decode."""
        ...

    @property
    def encoders(self) -> Sequence[Worker]:
        """Workers that are ready to encode."""
        ...

    def decode(self, worker: Worker, block: ClipBlock) -> Hashable:
        """Submit a block for decoding; gives a reference to the errors of its clips."""
        ...

    def encode(self, worker: Worker, block: ClipBlock, decoded: Hashable) -> Hashable:
        """Submit a block for encoding whose decoding is done; gives a reference to the results of its clips."""
        ...

    def wait(self, references: Collection[Hashable], timeout_s: float) -> Collection[Hashable]:
        """The references whose tasks are done, as soon as one is; none after the timeout."""
        ...

    def errors(self, decoded: Hashable) -> Sequence[Exception | None]:
        """The error of each clip of a block that can't be used. Raises WorkLostError if its worker is gone."""
        ...

    def results(self, encoded: Hashable) -> Sequence[ClipResult]:
        """The results of a block. Raises WorkLostError if its worker is gone."""
        ...


@dataclass(frozen=True)
class _DecodedBlock:
    """A block that waits to be encoded."""

    block: ClipBlock
    reference: Hashable
    """To the result of its decoding."""
    node: str
    """Where its windows are."""


_Assignments = dict[Hashable, tuple[ClipBlock, Worker]]
"""Blocks and the workers that have them, by the reference to the result."""


@dataclass
class _Blocks:
    """Where every block is that is not done."""

    pending: deque[ClipBlock]
    decoding: _Assignments = field(default_factory=dict)
    decoded: list[_DecodedBlock] = field(default_factory=list)
    encoding: _Assignments = field(default_factory=dict)
    losses: Counter[ClipBlock] = field(default_factory=Counter)
    """How often each was lost with its worker."""

    @property
    def references(self) -> list[Hashable]:
        """To all results that are not there yet."""
        return [*self.decoding, *self.encoding]


def blocks_of(clips: Sequence[ClipToEmbed], size: int) -> list[ClipBlock]:
    """Consecutive clips in blocks of at most `size`."""
    return [
        ClipBlock(tuple(range(start, min(start + size, len(clips)))), tuple(clips[start : start + size]))
        for start in range(0, len(clips), size)
    ]


def embed_blocks(
    clip_blocks: Sequence[ClipBlock], pool: WorkerPool, patience_s: float = PATIENCE_S
) -> Generator[ClipResult]:
    """Embed blocks of clips; yields the result of every clip once, in any order.

    Args:
        clip_blocks: to embed.
        pool: of workers.
        patience_s: how long to wait while there are no workers.

    Raises:
        ClusterError: no workers are left, a block was lost too often, or a node sees other files.
    """
    blocks = _Blocks(deque(clip_blocks))
    refreshed = last_ready = time.monotonic()
    while blocks.pending or blocks.decoded or blocks.references:
        _submit_decoding(blocks, pool)
        _submit_encoding(blocks, pool)
        done = pool.wait(blocks.references, REFRESH_S)
        for reference in done:
            yield from _handle_result(reference, blocks, pool)
        now = time.monotonic()
        if not done or now - refreshed >= REFRESH_S:
            pool.refresh()
            refreshed = now
        if pool.decoders and pool.encoders:
            last_ready = now
        elif now - last_ready >= patience_s:
            raise ClusterError(
                f"no node has been there to embed for {patience_s:g} s: start Ray on nodes again, then run the command"
                " again; what was embedded is kept"
            )


def _submit_decoding(blocks: _Blocks, pool: WorkerPool) -> None:
    """Submit pending blocks for decoding, but no more than will soon be encoded."""
    room = BLOCKS_PER_ENCODER * len(pool.encoders) + sum(worker.max_blocks for worker in pool.decoders)
    room -= len(blocks.decoding) + len(blocks.decoded) + len(blocks.encoding)
    while blocks.pending and room > 0:
        worker = _least_busy(blocks.decoding, pool.decoders)
        if worker is None:
            return
        block = blocks.pending.popleft()
        blocks.decoding[pool.decode(worker, block)] = (block, worker)
        room -= 1


def _submit_encoding(blocks: _Blocks, pool: WorkerPool) -> None:
    """Submit decoded blocks for encoding: on the same node if a worker is free there, else on another."""
    for decoded in list(blocks.decoded):
        local = [worker for worker in pool.encoders if worker.node == decoded.node]
        worker = _least_busy(blocks.encoding, local) or _least_busy(blocks.encoding, pool.encoders)
        if worker is None:
            return
        blocks.decoded.remove(decoded)
        blocks.encoding[pool.encode(worker, decoded.block, decoded.reference)] = (decoded.block, worker)


def _least_busy(assignments: _Assignments, workers: Sequence[Worker]) -> Worker | None:
    """The worker with the fewest blocks, the first of equals; None if all have as many as they may."""
    num_blocks = Counter(worker for _, worker in assignments.values())
    free = [worker for worker in workers if num_blocks[worker] < worker.max_blocks]
    return min(free, key=lambda worker: num_blocks[worker], default=None)


def _handle_result(reference: Hashable, blocks: _Blocks, pool: WorkerPool) -> Iterator[ClipResult]:
    """Yield the results of an encoded block, queue a decoded one for encoding, or a lost one for decoding."""
    is_decoding = reference in blocks.decoding
    block, worker = blocks.decoding.pop(reference) if is_decoding else blocks.encoding.pop(reference)
    try:
        if not is_decoding:
            yield from pool.results(reference)
            return
        for clip, error in zip(block.clips, pool.errors(reference), strict=True):
            if error is not None:
                error_of_clip(clip, error, worker.node)
    except WorkLostError as lost:
        _retry(block, worker, lost, blocks)
        pool.refresh()
    else:
        blocks.decoded.append(_DecodedBlock(block, reference, worker.node))


def _retry(block: ClipBlock, worker: Worker, lost: WorkLostError, blocks: _Blocks) -> None:
    """Put a block that was lost before all that are pending.

    Raises:
        ClusterError: it was lost too often.
    """
    blocks.losses[block] += 1
    first = block.clips[0].path.name
    if blocks.losses[block] >= MAX_LOSSES:
        others = f" and {len(block.clips) - 1} more" if len(block.clips) > 1 else ""
        raise ClusterError(
            f"the clips {first}{others} were lost {MAX_LOSSES} times, at last on {worker.node}: {lost}. Look at Ray's"
            " logs on the nodes; what was embedded is kept, so the same command goes on from there"
        ) from lost
    log.warning("%s lost %d clips (%s and on), which are done again: %s", worker.node, len(block.clips), first, lost)
    blocks.pending.appendleft(block)
