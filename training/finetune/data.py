"""Clips as a recogniser takes them: decoded, some windows of each, in batches from any step on."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from model.encoder import Frames
from model.errors import ModelError
from model.video import open_frames
from training.data.listing.manifest import ListedClip
from training.data.windows.augment import Augmenter
from training.data.windows.loading import REPLACEMENT, TRIES, PairNumbers
from training.errors import DataError, TrainingError
from training.features import read_pictures
from training.finetune.frames import choose_frames
from training.parallel import Failure, failure_of

ORDER, PLACE, AUGMENT = 31, 32, 33
"""Keep the random numbers of different purposes apart."""


@dataclass(frozen=True)
class ClipFormat:
    """The windows of a clip that a recogniser takes."""

    fps: float
    size_px: int
    num_windows: int
    num_frames: int
    """Of every window."""

    def windows(self, frames: Frames, rng: np.random.Generator | None = None) -> Frames:
        """[T, H, W, 3] a whole clip -> [num_windows, num_frames, H, W, 3]; see `choose_frames`."""
        return np.asarray(frames[choose_frames(len(frames), self.num_windows, self.num_frames, rng)])


@dataclass(frozen=True)
class ClipBatch:
    """A batch of clips."""

    clips: Tensor
    """[B, N, frames, H, W, 3] uint8."""
    labels: Tensor
    """[B] int64."""
    skipped: tuple[str, ...] = ()
    """Why other clips were left out of this batch."""

    def __len__(self) -> int:
        return len(self.labels)

    def pin_memory(self) -> "ClipBatch":
        """The same in memory that a GPU reads directly; called by torch's loader."""
        return ClipBatch(self.clips.pin_memory(), self.labels.pin_memory(), self.skipped)


def read_clip(clip: ListedClip, clip_format: ClipFormat, cache: Path | None = None) -> Frames:
    """All frames of a clip, [T, size_px, size_px, 3]; decoded once with a cache.

    Raises:
        VideoError: the video can't be read.
        ClipError: its folder holds no pictures, or one can't be read.
    """
    if cache is None:
        return decode(clip, clip_format)
    modified = clip.video.stat().st_mtime_ns if clip.video.exists() else 0
    key = f"{clip.video.resolve()}\0{modified}\0{clip.start_s}\0{clip.end_s}\0{clip_format.fps}\0{clip_format.size_px}"
    cached = cache / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.npy"
    if not cached.exists():
        write_array(cached, decode(clip, clip_format))
    frames: Frames = np.load(cached, mmap_mode="r")
    return frames


def write_array(path: Path, frames: Frames) -> None:
    """Write an array in one step, even if several processes write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        np.save(file, frames)
    part.replace(path)


def decode(clip: ListedClip, clip_format: ClipFormat) -> Frames:
    """See `read_clip`. A folder holds a picture per frame, whatever their rate."""
    if clip.video.is_dir():
        return np.stack(list(read_pictures(clip.video, clip_format.fps, clip_format.size_px)))
    with open_frames(
        clip.video, fps=clip_format.fps, size=clip_format.size_px, start_s=clip.start_s, end_s=clip.end_s
    ) as frames:
        return np.stack(list(frames))


Item = tuple[Frames, int, tuple[str, ...]]
"""Windows of a clip, its label, and why others before it were left out."""


class TrainClips(Dataset[Item]):
    """Clips to train on, in epochs of another order each.

    The same number gives the same windows in every process, so a run can be repeated and resumed.
    """

    def __init__(
        self,
        clips: Sequence[ListedClip],
        glosses: Sequence[str],
        clip_format: ClipFormat,
        *,
        seed: int,
        augmenter: Augmenter | None,
        cache: Path | None,
    ) -> None:
        self.clips, self.clip_format, self.seed, self.augmenter, self.cache = clips, clip_format, seed, augmenter, cache
        self.labels = {gloss: label for label, gloss in enumerate(glosses)}

    def __getitem__(self, number: int) -> Item:
        """The windows of a number, or those of the first replacement that can be read.

        Raises:
            DataError: many in a row can't be read.
        """
        skipped: list[str] = []
        for attempt in range(TRIES):
            clip = self.clips[self._row(number + attempt * REPLACEMENT)]
            try:
                frames = read_clip(clip, self.clip_format, self.cache)
            except (ModelError, TrainingError) as error:
                skipped.append(f"{clip.video_id}: {error}")
                continue
            windows = self.clip_format.windows(frames, np.random.default_rng((self.seed, PLACE, number)))
            return self._augmented(windows, number), self.labels[clip.gloss], tuple(skipped)
        raise DataError(f"{TRIES} clips in a row can't be used, the last because {skipped[-1]}")

    def _augmented(self, windows: Frames, number: int) -> Frames:
        """All windows of a clip in the same way: they are one video."""
        if self.augmenter is None:
            return windows
        rng = np.random.default_rng((self.seed, AUGMENT, number))
        augmented, _ = self.augmenter(windows.reshape(-1, *windows.shape[2:]), rng)
        return augmented.reshape(*windows.shape[:2], *augmented.shape[1:])

    def _row(self, number: int) -> int:
        """The row of a number in the shuffled epochs of all clips."""
        epoch, place = divmod(number, len(self.clips))
        return int(np.random.default_rng((self.seed, ORDER, epoch)).permutation(len(self.clips))[place])


def train_batches(
    clips: TrainClips,
    batch_size: int,
    *,
    first_batch: int = 0,
    rank: int = 0,
    num_ranks: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[ClipBatch]:
    """Batches without end; the arguments are those of `training.data.windows.loading.load_batches`.

    Raises:
        DataError: nothing usable comes.
    """
    loader = DataLoader(
        clips,
        batch_sampler=PairNumbers(batch_size, first_batch, rank, num_ranks),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
    )
    return iter(loader)


def collate(items: Sequence[Item]) -> ClipBatch:
    """A batch of clips."""
    windows, labels, skipped = zip(*items, strict=True)
    return ClipBatch(
        torch.from_numpy(np.stack(windows)), torch.tensor(labels), tuple(reason for part in skipped for reason in part)
    )


class EvaluationClips(Dataset[Frames | Failure]):
    """Clips to evaluate on, in order; one that can't be read becomes a failure."""

    def __init__(self, clips: Sequence[ListedClip], clip_format: ClipFormat, cache: Path | None) -> None:
        self.clips, self.clip_format, self.cache = clips, clip_format, cache

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> Frames | Failure:
        """Its windows, or why it can't be read."""
        clip = self.clips[number]
        try:
            return self.clip_format.windows(read_clip(clip, self.clip_format, self.cache))
        except (ModelError, TrainingError) as error:
            return failure_of(clip.video_id, error)


def evaluation_batches(
    clips: Sequence[ListedClip], clip_format: ClipFormat, *, cache: Path | None, batch_size: int, workers: int
) -> Iterator[list[Frames | Failure]]:
    """All clips once, in order."""
    yield from DataLoader(EvaluationClips(clips, clip_format, cache), batch_size, num_workers=workers, collate_fn=list)
