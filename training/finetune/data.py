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
from training.batch import Failure, failure
from training.data.augment import Augmenter
from training.data.loading import REPLACEMENT, TRIES, PairNumbers
from training.data.manifest import ListedClip
from training.errors import DataError, TrainingError
from training.features import read_pictures
from training.finetune.frames import choose_frames

ORDER, PLACE, AUGMENT = 31, 32, 33
"""Keep the random numbers of different purposes apart."""


@dataclass(frozen=True)
class View:
    """How a recogniser sees clips."""

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
    """Clips side by side."""

    clips: Tensor
    """[B, N, frames, H, W, 3] uint8."""
    labels: Tensor
    """[B] int64."""
    skipped: tuple[str, ...] = ()
    """Why others were left out while this batch was made."""

    def __len__(self) -> int:
        return len(self.labels)

    def pin_memory(self) -> "ClipBatch":
        """The same in memory that a GPU reads directly; called by torch's loader."""
        return ClipBatch(self.clips.pin_memory(), self.labels.pin_memory(), self.skipped)


def read_clip(clip: ListedClip, view: View, cache: Path | None = None) -> Frames:
    """All frames of a clip, [T, size_px, size_px, 3]; decoded once where there is a cache.

    Raises:
        VideoError: the video can't be read.
        ClipError: its folder holds no pictures, or one can't be read.
    """
    if cache is None:
        return decode(clip, view)
    changed = clip.video.stat().st_mtime_ns if clip.video.exists() else 0
    place = f"{clip.video.resolve()}\0{changed}\0{clip.start_s}\0{clip.end_s}\0{view.fps}\0{view.size_px}"
    kept = cache / f"{hashlib.blake2b(place.encode(), digest_size=16).hexdigest()}.npy"
    if not kept.exists():
        keep(kept, decode(clip, view))
    frames: Frames = np.load(kept, mmap_mode="r")
    return frames


def keep(path: Path, frames: Frames) -> None:
    """Write an array that is whole or not there, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        np.save(file, frames)
    part.replace(path)


def decode(clip: ListedClip, view: View) -> Frames:
    """See `read_clip`. A folder holds a picture per frame, whatever their rate."""
    if clip.video.is_dir():
        return np.stack(list(read_pictures(clip.video, view.fps, view.size_px)))
    with open_frames(clip.video, fps=view.fps, size=view.size_px, start_s=clip.start_s, end_s=clip.end_s) as frames:
        return np.stack(list(frames))


Item = tuple[Frames, int, tuple[str, ...]]
"""Windows of a clip, its label, and why others before it were left out."""


class TrainClips(Dataset[Item]):
    """Clips to learn from: every one once before any comes again, in another order each time.

    The same number gives the same windows, whichever process asks: so a run can be repeated and gone on with.
    """

    def __init__(
        self,
        clips: Sequence[ListedClip],
        glosses: Sequence[str],
        view: View,
        *,
        seed: int,
        augmenter: Augmenter | None,
        cache: Path | None,
    ) -> None:
        self.clips, self.view, self.seed, self.augmenter, self.cache = clips, view, seed, augmenter, cache
        self.labels = {gloss: label for label, gloss in enumerate(glosses)}

    def __getitem__(self, number: int) -> Item:
        """The windows of a number, or of the first replacement that can be had.

        Raises:
            DataError: many in a row can't be had.
        """
        skipped: list[str] = []
        for attempt in range(TRIES):
            clip = self.clips[self._turn(number + attempt * REPLACEMENT)]
            try:
                frames = read_clip(clip, self.view, self.cache)
            except (ModelError, TrainingError) as error:
                skipped.append(f"{clip.video_id}: {error}")
                continue
            windows = self.view.windows(frames, np.random.default_rng((self.seed, PLACE, number)))
            return self._changed(windows, number), self.labels[clip.gloss], tuple(skipped)
        raise DataError(f"{TRIES} clips in a row can't be used, the last because {skipped[-1]}")

    def _changed(self, windows: Frames, number: int) -> Frames:
        """All windows of a clip in the same way: it is one film."""
        if self.augmenter is None:
            return windows
        rng = np.random.default_rng((self.seed, AUGMENT, number))
        changed, _ = self.augmenter(windows.reshape(-1, *windows.shape[2:]), rng)
        return changed.reshape(*windows.shape[:2], *changed.shape[1:])

    def _turn(self, number: int) -> int:
        """The number-th of endless rounds through all clips."""
        round_number, place = divmod(number, len(self.clips))
        return int(np.random.default_rng((self.seed, ORDER, round_number)).permutation(len(self.clips))[place])


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
    """Batches without end; the arguments are those of `training.data.loading.load_batches`.

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
    """Clips to a batch."""
    windows, labels, skipped = zip(*items, strict=True)
    return ClipBatch(
        torch.from_numpy(np.stack(windows)), torch.tensor(labels), tuple(reason for part in skipped for reason in part)
    )


class TestedClips(Dataset[Frames | Failure]):
    """Clips to be tested on, in order; one that can't be read is a failure and not the end."""

    def __init__(self, clips: Sequence[ListedClip], view: View, cache: Path | None) -> None:
        self.clips, self.view, self.cache = clips, view, cache

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> Frames | Failure:
        """Its windows, or why there are none."""
        clip = self.clips[number]
        try:
            return self.view.windows(read_clip(clip, self.view, self.cache))
        except (ModelError, TrainingError) as error:
            return failure(clip.video_id, error)


def tested_batches(
    clips: Sequence[ListedClip], view: View, *, cache: Path | None, batch_size: int, workers: int
) -> Iterator[list[Frames | Failure]]:
    """All clips once, in order."""
    yield from DataLoader(TestedClips(clips, view, cache), batch_size, num_workers=workers, collate_fn=list)
