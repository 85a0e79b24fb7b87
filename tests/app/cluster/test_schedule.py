"""Who gets which block of clips, and what happens when somebody is lost: on a crew that only pretends to work."""

import random
from collections import Counter
from pathlib import Path

import pytest

from app.bulk import Clip, EmbeddedClip
from app.cluster.schedule import BLOCKS_IN_HAND, MAX_LOSSES, Member, blocks_of, embed_blocks
from app.errors import ClusterError, WorkLostError
from model.errors import NotAVideoError

CLIPS = [Clip(Path(f"/videos/{number}.mp4"), 0.0, None) for number in range(30)]


class FakeCrew:
    """Work is done as soon as somebody waits for it, one piece at a time, in an order that follows from the seed."""

    def __init__(self, num_nodes=2, seed=0):
        self.nodes = [f"node {number}" for number in range(num_nodes)]
        self.errors_of = {}
        """Errors by the name of the video."""
        self.lost = []
        """What is lost next, each once: (`cut` or `encode`, the number of a clip in the block)."""
        self.comes = []
        """Nodes that the next refreshments find."""
        self.done = Counter()
        self.handed = []
        self.most_in_works = 0
        self.num_refreshed = 0
        self._random = random.Random(seed)
        self._work = {}

    def refresh(self):
        self.num_refreshed += 1
        if self.comes and (node := self.comes.pop(0)) is not None:
            self.nodes.append(node)

    @property
    def cutters(self):
        return [Member(f"{node} cuts", node, 1) for node in self.nodes]

    @property
    def encoders(self):
        return [Member(f"{node} encodes", node, BLOCKS_IN_HAND) for node in self.nodes]

    def cut(self, cutter, block):
        return self._taken("cut", cutter, block)

    def encode(self, encoder, block, cut):
        return self._taken("encode", encoder, block)

    def wait(self, tickets, timeout_s):
        self.most_in_works = max(self.most_in_works, len(tickets))
        return [self._random.choice(list(tickets))] if tickets else []

    def errors(self, cut):
        _, _, block = self._work[cut]
        self._lose("cut", block)
        return [self.errors_of.get(clip.path.name) for clip in block.clips]

    def embedded(self, ticket):
        _, _, block = self._work[ticket]
        self._lose("encode", block)
        return [EmbeddedClip(number) for number in block.numbers]

    def _taken(self, does, member, block):
        assert sum(holder == member for _, holder, _ in self._work.values()) >= 0
        ticket = f"{does} {block.numbers[0]} {len(self._work)}"
        self._work[ticket] = (does, member, block)
        self.done[does, block.numbers[0]] += 1
        self.handed.append((does, member.node, block.numbers[0]))
        return ticket

    def _lose(self, does, block):
        for each in self.lost:
            if each[0] == does and each[1] in block.numbers:
                self.lost.remove(each)
                raise WorkLostError("the node has gone")


def numbers(crew, clips=CLIPS, **settings):
    return sorted(clip.number for clip in embed_blocks(blocks_of(clips, 4), crew, **settings))


@pytest.mark.parametrize("seed", range(20))
def test_every_clip_is_given_once_whoever_is_ready_first(seed):
    crew = FakeCrew(num_nodes=1 + seed % 3, seed=seed)
    assert numbers(crew) == list(range(30))
    assert set(crew.done.values()) == {1}


def test_nothing_to_embed_asks_nobody():
    crew = FakeCrew(num_nodes=0)
    assert numbers(crew, []) == []
    assert crew.num_refreshed == 0


def test_no_more_is_in_the_works_than_all_hands_hold():
    crew = FakeCrew(num_nodes=2)
    numbers(crew, CLIPS * 10)
    assert crew.most_in_works <= 2 * (1 + BLOCKS_IN_HAND)


@pytest.mark.parametrize("does", ["cut", "encode"])
def test_a_lost_worker_costs_the_blocks_that_it_had_in_hand_and_no_other(does):
    crew = FakeCrew()
    crew.lost = [(does, 9)]
    assert numbers(crew) == list(range(30))
    again = {start: num for (what, start), num in crew.done.items() if what == "cut" and num > 1}
    assert again == {8: 2}
    assert crew.num_refreshed >= 1


def test_a_block_that_is_lost_again_and_again_ends_the_work_and_is_named():
    crew = FakeCrew()
    crew.lost = [("encode", 9)] * MAX_LOSSES
    with pytest.raises(
        ClusterError, match=r"8\.mp4 and 3 more were lost 3 times, at last on node \d: the node has gone"
    ):
        numbers(crew)


def test_without_any_node_the_work_ends_with_what_to_do():
    with pytest.raises(ClusterError, match=r"no node .* for 0 s: start Ray on nodes again"):
        numbers(FakeCrew(num_nodes=0), patience_s=0)


def test_work_goes_on_when_a_node_comes_while_there_is_none():
    crew = FakeCrew(num_nodes=0)
    crew.comes = [None, None, "late"]
    assert numbers(crew) == list(range(30))
    assert crew.num_refreshed >= 3


def test_windows_are_encoded_where_they_were_cut_as_long_as_hands_are_free_there():
    crew = FakeCrew(num_nodes=3)
    assert numbers(crew) == list(range(30))
    at = {(does, start): node for does, node, start in crew.handed}
    assert [at["encode", start] for start in range(0, 30, 4)] == [at["cut", start] for start in range(0, 30, 4)]


def test_a_clip_that_can_not_be_used_stops_nothing():
    crew = FakeCrew()
    crew.errors_of = {"5.mp4": NotAVideoError("no video"), "6.mp4": FileNotFoundError("gone here too")}
    assert numbers(crew) == list(range(30))


def test_a_node_that_can_not_read_what_this_machine_reads_ends_the_work(tmp_path):
    video = tmp_path / "house.mp4"
    video.write_bytes(b"a video")
    crew = FakeCrew()
    crew.errors_of = {"house.mp4": FileNotFoundError("No such file")}
    with pytest.raises(ClusterError, match=r"node \d can't read .*house\.mp4 as this machine does: No such file"):
        numbers(crew, [*CLIPS, Clip(video, 0.0, None)])
