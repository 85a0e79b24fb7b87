"""How blocks of clips are assigned, and what happens when a worker is lost: with a fake pool."""

import random
from collections import Counter
from pathlib import Path

import pytest

from app.errors import ClusterError, WorkLostError
from app.indexing.bulk import ClipToEmbed, EmbeddedClip
from app.indexing.cluster.schedule import BLOCKS_PER_ENCODER, MAX_LOSSES, Worker, blocks_of, embed_blocks
from model.errors import NotAVideoError

CLIPS = [ClipToEmbed(Path(f"/videos/{number}.mp4"), 0.0, None) for number in range(30)]


class FakePool:
    """A task is done as soon as it is waited for, one at a time, in an order that follows from the seed."""

    def __init__(self, num_nodes=2, seed=0):
        self.nodes = [f"node {number}" for number in range(num_nodes)]
        self.errors_of = {}
        """Errors by the name of the video."""
        self.lost = []
        """What is lost next, each once: (`decode` or `encode`, the number of a clip in the block)."""
        self.comes = []
        """Nodes that the next refreshes find."""
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
    def decoders(self):
        return [Worker(f"{node} decodes", node, 1) for node in self.nodes]

    @property
    def encoders(self):
        return [Worker(f"{node} encodes", node, BLOCKS_PER_ENCODER) for node in self.nodes]

    def decode(self, worker, block):
        return self._submit("decode", worker, block)

    def encode(self, worker, block, decoded):
        return self._submit("encode", worker, block)

    def wait(self, references, timeout_s):
        self.most_in_works = max(self.most_in_works, len(references))
        return [self._random.choice(list(references))] if references else []

    def errors(self, decoded):
        _, _, block = self._work[decoded]
        self._lose("decode", block)
        return [self.errors_of.get(clip.path.name) for clip in block.clips]

    def results(self, encoded):
        _, _, block = self._work[encoded]
        self._lose("encode", block)
        return [EmbeddedClip(number, None, None) for number in block.numbers]

    def _submit(self, does, worker, block):
        reference = f"{does} {block.numbers[0]} {len(self._work)}"
        self._work[reference] = (does, worker, block)
        self.done[does, block.numbers[0]] += 1
        self.handed.append((does, worker.node, block.numbers[0]))
        return reference

    def _lose(self, does, block):
        for each in self.lost:
            if each[0] == does and each[1] in block.numbers:
                self.lost.remove(each)
                raise WorkLostError("the node has gone")


def numbers(pool, clips=CLIPS, **settings):
    return sorted(clip.number for clip in embed_blocks(blocks_of(clips, 4), pool, **settings))


@pytest.mark.parametrize("seed", range(20))
def test_every_clip_is_given_once_whoever_is_ready_first(seed):
    pool = FakePool(num_nodes=1 + seed % 3, seed=seed)
    assert numbers(pool) == list(range(30))
    assert set(pool.done.values()) == {1}


def test_nothing_to_embed_needs_no_worker():
    pool = FakePool(num_nodes=0)
    assert numbers(pool, []) == []
    assert pool.num_refreshed == 0


def test_no_more_blocks_are_in_work_than_the_workers_may_have():
    pool = FakePool(num_nodes=2)
    numbers(pool, CLIPS * 10)
    assert pool.most_in_works <= 2 * (1 + BLOCKS_PER_ENCODER)


@pytest.mark.parametrize("does", ["decode", "encode"])
def test_a_lost_worker_costs_the_blocks_that_it_had_and_no_other(does):
    pool = FakePool()
    pool.lost = [(does, 9)]
    assert numbers(pool) == list(range(30))
    again = {start: num for (what, start), num in pool.done.items() if what == "decode" and num > 1}
    assert again == {8: 2}
    assert pool.num_refreshed >= 1


def test_a_block_that_is_lost_again_and_again_ends_the_work_and_is_named():
    pool = FakePool()
    pool.lost = [("encode", 9)] * MAX_LOSSES
    with pytest.raises(
        ClusterError, match=r"8\.mp4 and 3 more were lost 3 times, at last on node \d: the node has gone"
    ):
        numbers(pool)


def test_without_any_node_the_work_ends_with_what_to_do():
    with pytest.raises(ClusterError, match=r"no node .* for 0 s: start Ray on nodes again"):
        numbers(FakePool(num_nodes=0), patience_s=0)


def test_work_goes_on_when_a_node_comes_while_there_is_none():
    pool = FakePool(num_nodes=0)
    pool.comes = [None, None, "late"]
    assert numbers(pool) == list(range(30))
    assert pool.num_refreshed >= 3


def test_windows_are_encoded_on_the_node_that_decoded_them_while_a_worker_is_free_there():
    pool = FakePool(num_nodes=3)
    assert numbers(pool) == list(range(30))
    at = {(does, start): node for does, node, start in pool.handed}
    assert [at["encode", start] for start in range(0, 30, 4)] == [at["decode", start] for start in range(0, 30, 4)]


def test_a_clip_that_can_not_be_used_stops_nothing():
    pool = FakePool()
    pool.errors_of = {"5.mp4": NotAVideoError("no video"), "6.mp4": FileNotFoundError("gone here too")}
    assert numbers(pool) == list(range(30))


def test_a_node_that_can_not_read_what_this_machine_reads_ends_the_work(tmp_path):
    video = tmp_path / "house.mp4"
    video.write_bytes(b"a video")
    pool = FakePool()
    pool.errors_of = {"house.mp4": FileNotFoundError("No such file")}
    with pytest.raises(ClusterError, match=r"node \d can't read .*house\.mp4 as this machine does: No such file"):
        numbers(pool, [*CLIPS, ClipToEmbed(video, 0.0, None)])
