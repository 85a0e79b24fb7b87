"""Batches of sequences: which clips and which of their frames; the same for the same seed and step."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.encoder import Ints
from training.sl_slr.config import Data
from training.sl_slr.corpus import Corpus
from training.sl_slr.sequences import random_window, whole

BATCH = 0x51AB
"""Keeps the random numbers of batches apart from others."""
NUM_BRANCHES = 3


@dataclass(frozen=True)
class Batch:
    """The input of one step: the clip, and what the first and the second view are made of."""

    keypoints: Tensor
    """[3, B, T, 61, 3] float32 metres."""
    known: Tensor
    """[3, B, T, 61] bool."""
    raised: Tensor
    """[3, B, T] bool: a hand is above the middle of the trunk."""
    activity: Tensor
    """[B, 2] of the clip itself, left and right hand in [0, 1]."""

    def __len__(self) -> int:
        return len(self.activity)


class Batches:
    """Samples batches from a corpus."""

    def __init__(self, corpus: Corpus, data: Data, batch_size: int, seed: int) -> None:
        self.corpus, self.data, self.batch_size, self.seed = corpus, data, batch_size, seed
        self._partners = corpus.partners()
        self._rows = [np.flatnonzero(np.array(corpus.sources) == source) for source in range(len(corpus.weights))]
        self._shares = np.array(corpus.weights) / np.sum(corpus.weights)
        self._raised = [clip.raised for clip in corpus.clips]

    def from_step(self, step: int) -> Iterator[Batch]:
        """The batches of a step and all after it, without end."""
        while True:
            yield self.at(step)
            step += 1

    def at(self, step: int) -> Batch:
        """The batch of a step, from 0."""
        rng = np.random.default_rng((self.seed, BATCH, step))
        sources = rng.choice(len(self._shares), self.batch_size, p=self._shares)
        items = [self._item(int(rng.choice(self._rows[source])), rng) for source in sources]
        clips = [[self.corpus.clips[clip] for clip, _ in item] for item in items]
        pairs = [list(zip(clip, item, strict=True)) for clip, item in zip(clips, items, strict=True)]
        return Batch(
            torch.from_numpy(_branches([[c.keypoints[rows] for c, (_, rows) in pair] for pair in pairs])),
            torch.from_numpy(_branches([[c.known[rows] for c, (_, rows) in pair] for pair in pairs])),
            torch.from_numpy(_branches([[self._raised[row][rows] for row, rows in item] for item in items])),
            torch.from_numpy(np.stack([pair[0][0].activity(pair[0][1][1]) for pair in pairs])),
        )

    def _item(self, row: int, rng: np.random.Generator) -> list[tuple[int, Ints]]:
        """Clip and rows of each branch."""
        near = float(rng.random())
        chosen = [row] * NUM_BRANCHES
        if self.data.partners == "signer":
            others = [other for other in self.corpus.partners_of(row, self._partners) if other != row] or [row]
            chosen[2] = int(rng.choice(others))
        if self.data.cut == "clip":
            return [(clip, whole(self.corpus.clips[clip].num_frames, self.data.num_frames)) for clip in chosen]
        window = self._window(row, near, rng)
        return [(clip, window if clip == row else self._window(clip, near, rng)) for clip in chosen]

    def _window(self, clip: int, near: float, rng: np.random.Generator) -> Ints:
        return random_window(rng, self.corpus.clips[clip].num_frames, self.data.fps, self.data.num_frames, near)


def _branches(items: list[list[np.ndarray]]) -> np.ndarray:
    """[B][3] arrays as one [3, B, ...]."""
    return np.stack([np.stack(branch) for branch in zip(*items, strict=True)])
