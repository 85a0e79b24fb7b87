"""Which block of clips goes to whom, so that nobody waits and no more is in the works than has to be.

Every block is cut by one member of the crew and encoded by another, on the same node where that is free. A block whose
member is lost is cut again by whoever is there; everything else goes on.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Collection, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.bulk import Clip, EmbeddedClip
from app.cluster.workers import Block, blamed
from app.errors import ClusterError, WorkLostError

log = logging.getLogger(__name__)

BLOCKS_IN_HAND = 2
"""Of one encoder: one that it works on, one that waits."""
MAX_LOSSES = 3
"""A block that was lost so often is not tried again: it may be what takes machines down."""
REFRESH_S = 5.0
"""How often to look for nodes that have come or gone."""
PATIENCE_S = 120.0
"""How long to wait for a node while there is none."""


@dataclass(frozen=True)
class Member:
    """One that works, on some node."""

    name: str
    node: str
    """What the node is called in messages."""
    num_at_once: int
    """Blocks that may be in its hands."""


class Crew(Protocol):
    """Everybody who works, wherever they are. Tickets stand for work that was handed out."""

    def refresh(self) -> None:
        """Take in who has come, and let go of who has gone."""
        ...

    @property
    def cutters(self) -> Sequence[Member]:
        """Those that can be given blocks to cut now."""
        ...

    @property
    def encoders(self) -> Sequence[Member]:
        """Those that can be given windows to encode now."""
        ...

    def cut(self, cutter: Member, block: Block) -> Hashable:
        """Have a block cut; the ticket stands for the errors of its clips."""
        ...

    def encode(self, encoder: Member, block: Block, cut: Hashable) -> Hashable:
        """Have a block encoded whose ticket of cutting is done; the ticket stands for its embedded clips."""
        ...

    def wait(self, tickets: Collection[Hashable], timeout_s: float) -> Collection[Hashable]:
        """Those that are done, as soon as one is; none where the time is over."""
        ...

    def errors(self, cut: Hashable) -> Sequence[Exception | None]:
        """Why each clip of a block can't be used. Raises WorkLostError where nobody knows any more."""
        ...

    def embedded(self, ticket: Hashable) -> Sequence[EmbeddedClip]:
        """What became of a block. Raises WorkLostError where nobody knows any more."""
        ...


@dataclass(frozen=True)
class _Cut:
    """A block that was cut."""

    block: Block
    ticket: Hashable
    node: str


@dataclass
class _InHand:
    """What is in whose hands."""

    waiting: deque[Block]
    cutting: dict[Hashable, tuple[Block, Member]] = field(default_factory=dict)
    cut: list[_Cut] = field(default_factory=list)
    encoding: dict[Hashable, tuple[Block, Member]] = field(default_factory=dict)
    losses: Counter[Block] = field(default_factory=Counter)

    @property
    def tickets(self) -> list[Hashable]:
        return [*self.cutting, *self.encoding]

    def held_by(self, member: Member, tickets: dict[Hashable, tuple[Block, Member]]) -> int:
        return sum(holder == member for _, holder in tickets.values())


def blocks_of(clips: Sequence[Clip], size: int) -> list[Block]:
    """Consecutive clips in groups of at most `size`."""
    return [
        Block(tuple(range(start, min(start + size, len(clips)))), tuple(clips[start : start + size]))
        for start in range(0, len(clips), size)
    ]


def embed_blocks(blocks: Sequence[Block], crew: Crew, patience_s: float = PATIENCE_S) -> Generator[EmbeddedClip]:
    """Embed blocks of clips; gives every clip once, in no order.

    Args:
        blocks: what to embed.
        crew: who does it.
        patience_s: how long to wait while nobody is there.

    Raises:
        ClusterError: nobody is there any more, a block was lost too often, or a node sees other files.
    """
    hand = _InHand(deque(blocks))
    refreshed = somebody = time.monotonic()
    while hand.waiting or hand.cut or hand.tickets:
        _hand_out_cutting(hand, crew)
        _hand_out_encoding(hand, crew)
        done = crew.wait(hand.tickets, REFRESH_S)
        for ticket in done:
            yield from _taken_back(ticket, hand, crew)
        now = time.monotonic()
        if not done or now - refreshed >= REFRESH_S:
            crew.refresh()
            refreshed = now
        if crew.cutters and crew.encoders:
            somebody = now
        elif now - somebody >= patience_s:
            raise ClusterError(
                f"no node has been there to embed for {patience_s:g} s: start Ray on nodes again, then run the command"
                " again; what was embedded is kept"
            )


def _hand_out_cutting(hand: _InHand, crew: Crew) -> None:
    """Give blocks to cutters, as long as encoders will have use for them soon."""
    room = BLOCKS_IN_HAND * len(crew.encoders) + sum(cutter.num_at_once for cutter in crew.cutters)
    room -= len(hand.cutting) + len(hand.cut) + len(hand.encoding)
    while hand.waiting and room > 0:
        cutter = _least_busy(hand, hand.cutting, crew.cutters)
        if cutter is None:
            return
        block = hand.waiting.popleft()
        hand.cutting[crew.cut(cutter, block)] = (block, cutter)
        room -= 1


def _hand_out_encoding(hand: _InHand, crew: Crew) -> None:
    """Give what was cut to encoders: of the same node if one has a hand free, else to another."""
    for cut in list(hand.cut):
        near = [encoder for encoder in crew.encoders if encoder.node == cut.node]
        encoder = _least_busy(hand, hand.encoding, near) or _least_busy(hand, hand.encoding, crew.encoders)
        if encoder is None:
            return
        hand.cut.remove(cut)
        hand.encoding[crew.encode(encoder, cut.block, cut.ticket)] = (cut.block, encoder)


def _least_busy(
    hand: _InHand, tickets: dict[Hashable, tuple[Block, Member]], members: Sequence[Member]
) -> Member | None:
    """Whoever has least in hand; None where all hands are full."""
    loads = [(hand.held_by(member, tickets), number) for number, member in enumerate(members)]
    free = [(load, number) for load, number in loads if load < members[number].num_at_once]
    return members[min(free)[1]] if free else None


def _taken_back(ticket: Hashable, hand: _InHand, crew: Crew) -> Iterator[EmbeddedClip]:
    """What a piece of work gave: clips, something for the encoders, or a block to be done again."""
    is_cut = ticket in hand.cutting
    block, member = hand.cutting.pop(ticket) if is_cut else hand.encoding.pop(ticket)
    try:
        if not is_cut:
            yield from crew.embedded(ticket)
            return
        for clip, error in zip(block.clips, crew.errors(ticket), strict=True):
            if error is not None:
                blamed(clip, error, member.node)
    except WorkLostError as lost:
        _again(block, member, lost, hand)
        crew.refresh()
    else:
        hand.cut.append(_Cut(block, ticket, member.node))


def _again(block: Block, member: Member, lost: WorkLostError, hand: _InHand) -> None:
    """Have a block done again, before all others.

    Raises:
        ClusterError: it was lost too often.
    """
    hand.losses[block] += 1
    first = block.clips[0].path.name
    if hand.losses[block] >= MAX_LOSSES:
        others = f" and {len(block.clips) - 1} more" if len(block.clips) > 1 else ""
        raise ClusterError(
            f"the clips {first}{others} were lost {MAX_LOSSES} times, at last on {member.node}: {lost}. Look at Ray's"
            " logs on the nodes; what was embedded is kept, so the same command goes on from there"
        ) from lost
    log.warning("%s lost %d clips (%s and on), which are done again: %s", member.node, len(block.clips), first, lost)
    hand.waiting.appendleft(block)
