"""Loading: batches from a source, in worker processes, from any step on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from training.data.priors.table import ACTIVITY, NUM_FRAMES
from training.data.windows.augment import Augmenter
from training.data.windows.samples import Batch, PairSource, Sample, check_sample, collate
from training.errors import DataError, SampleError

REPLACEMENT = 1 << 40
"""Added to the number of a pair that can't be had: far behind what any run reaches."""
TRIES = 20
AUGMENT = 0xA06
"""Keeps the random numbers of changes apart from those of sources."""

Pair = tuple[tuple[Sample, Sample], tuple[str, ...]]
"""Two windows, and why others before them were left out."""


class Pairs(Dataset[Pair]):
    """A source as a map-style dataset; broken pairs are replaced and reported, and windows are augmented."""

    def __init__(
        self, source: PairSource, augmenter: Augmenter | None = None, seed: int = 0, num_frames: int = NUM_FRAMES
    ) -> None:
        self.source, self.augmenter, self.seed, self.num_frames = source, augmenter, seed, num_frames

    def __getitem__(self, number: int) -> Pair:
        """The pair of a number, or of the first replacement that can be had.

        Raises:
            DataError: many in a row can't be had.
        """
        skipped: list[str] = []
        for attempt in range(TRIES):
            try:
                first, second = self.source.pair(number + attempt * REPLACEMENT)
                return (self._changed(first, 2 * number), self._changed(second, 2 * number + 1)), tuple(skipped)
            except SampleError as error:
                skipped.append(str(error))
        raise DataError(f"{TRIES} pairs of windows in a row can't be used, the last because {skipped[-1]}")

    def _changed(self, sample: Sample, number: int) -> Sample:
        sample = middle_frames(check_sample(sample), self.num_frames)
        if self.augmenter is None:
            return sample
        rng = np.random.default_rng((self.seed, AUGMENT, number))
        frames, box = self.augmenter(sample.frames, rng)
        return replace(sample, frames=frames, hands=None if sample.hands is None else box.inside(sample.hands))


def middle_frames(sample: Sample, num_frames: int) -> Sample:
    """The frames in the middle of a window, for encoders that see fewer at once; of other frames nothing is known.

    Targets keep the form of a whole window, since the sign decoder predicts one.
    """
    if num_frames == NUM_FRAMES:
        return sample
    first = (NUM_FRAMES - num_frames) // 2
    visible = np.zeros((NUM_FRAMES, 1), np.bool_)
    visible[first : first + num_frames] = True
    masks = {name: mask if name == ACTIVITY else mask & visible for name, mask in sample.masks.items()}
    window = slice(first, first + num_frames)
    hands = None if sample.hands is None else sample.hands[window]
    return replace(sample, frames=sample.frames[window], masks=masks, hands=hands)


class PairNumbers(Sampler[list[int]]):
    """Numbers of the pairs of every batch, for one process of several: endless, from any batch on.

    Batch by batch the processes take neighbouring ranges of numbers, so that together they see what one process
    with as large a batch would see, in the same order.
    """

    def __init__(self, pairs_per_batch: int, first_batch: int, rank: int, num_ranks: int) -> None:
        self.pairs_per_batch, self.first_batch = pairs_per_batch, first_batch
        self.rank, self.num_ranks = rank, num_ranks

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of pair numbers."""
        batch = self.first_batch
        while True:
            start = (batch * self.num_ranks + self.rank) * self.pairs_per_batch
            yield list(range(start, start + self.pairs_per_batch))
            batch += 1


def load_batches(
    source: PairSource,
    batch_size: int,
    *,
    augmenter: Augmenter | None = None,
    seed: int = 0,
    num_frames: int = NUM_FRAMES,
    first_batch: int = 0,
    rank: int = 0,
    num_ranks: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Batches without end.

    Args:
        source: of pairs.
        batch_size: windows in a batch of this process, twice its pairs.
        augmenter: changes every window; None leaves them.
        seed: of the changes; every pair has its own, whichever process makes it.
        num_frames: of every window, those in its middle are used, and their targets known.
        first_batch: how many batches were taken before, when a run goes on.
        rank: number of this process.
        num_ranks: processes that share the data.
        workers: processes that make batches ahead; 0 makes them when asked.
        pin_memory: for a GPU.

    Raises:
        DataError: nothing usable comes.
        SampleError: sources that do not go together in one batch.
    """
    loader = DataLoader(
        Pairs(source, augmenter, seed, num_frames),
        batch_sampler=PairNumbers(batch_size // 2, first_batch, rank, num_ranks),
        num_workers=workers,
        collate_fn=collate_pairs,
        pin_memory=pin_memory,
    )
    return iter(loader)


def collate_pairs(pairs: Sequence[Pair]) -> Batch:
    """Pairs to a batch in which the two windows of a pair are neighbours."""
    return collate(
        [sample for samples, _ in pairs for sample in samples], [reason for _, skipped in pairs for reason in skipped]
    )
