"""Windows from shards: a `PairSource` for pretraining."""

import hashlib
import os
from pathlib import Path

import numpy as np

from model.encoder import Floats, Frames
from model.skeleton.kinematics import L_SHOULDER, LEFT_HAND, R_SHOULDER, RIGHT_HAND, Proportions
from model.skeleton.normalisation import NormalisedPose
from training.data.priors.standard_body import read_body
from training.data.priors.table import NUM_FRAMES
from training.data.priors.targets import prior_targets
from training.data.shards.files import (
    SampleLocation,
    StoredPose,
    check_shard,
    decode_sample,
    find_shards,
    read_format,
    read_pose,
    read_sample,
    read_video,
)
from training.data.windows.samples import Sample
from training.errors import SampleError, ShardError

SQUARE_SHOULDERS = 0.8
"""Side of the square around a hand, shoulder widths: a hand with its fingers stretched, and some room."""
ORDER, START = 11, 12
"""Keep the random numbers of different purposes apart."""


class ShardSource:
    """Pairs of windows from shards: every sample once before any comes again, in another order each time."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        body: Proportions | None = None,
        mirrored: float = 0.0,
        cache: Path | None = None,
    ) -> None:
        """Read the indexes.

        Args:
            folder: of finished shards; more may be added between runs.
            seed: of the order.
            body: the standard body, where several sources must share one; None for the shards' own.
            cache: folder in which decoded clips are cached from their first use on, 3 bytes a pixel; None: not cached.
            mirrored: share of the pairs that are seen as in a mirror, their targets with them.

        Raises:
            ShardError: there is no usable shard; shards cut short are listed in `broken` and their samples left out.
        """
        self.format = read_format(folder)
        self.body = read_body(folder / "body.json") if body is None else body
        self.seed, self.mirrored, self.cache = seed, mirrored, cache
        self.broken: list[str] = []
        """Errors of shards that are left out."""
        self._samples: list[tuple[Path, SampleLocation]] = []
        for shard in find_shards(folder):
            try:
                self._samples += [(shard, location) for location in check_shard(shard).samples]
            except ShardError as error:
                self.broken.append(str(error))
        if not self._samples:
            raise ShardError(f"none of the shards in {folder} has a sample that can be used; {self.broken[:1]}")
        self._round: tuple[int, np.ndarray] = (-1, np.empty(0))

    @property
    def num_samples(self) -> int:
        """Clips in all usable shards."""
        return len(self._samples)

    def pair(self, number: int) -> tuple[Sample, Sample]:
        """See `Source.pair`.

        Raises:
            SampleError: the sample is damaged.
        """
        shard, location = self._samples[self._row(number)]
        rng = np.random.default_rng((self.seed, START, number))
        last = max(0, location.info.num_frames - NUM_FRAMES)
        first, second = rng.integers(0, last + 1, 2)
        flipped = bool(rng.random() < self.mirrored)
        return self._window(shard, location, int(first), flipped), self._window(shard, location, int(second), flipped)

    def _window(self, shard: Path, location: SampleLocation, start: int, flipped: bool) -> Sample:
        try:
            frames, stored = self._read(shard, location, start)
        except ShardError as error:
            raise SampleError(str(error)) from error
        pose, hands = stored.pose.window(start), hands_in_picture(stored.pixels, start, self.format.size_px)
        if flipped:
            frames, pose, hands = frames[:, :, ::-1], pose.mirrored(), mirror_hands(hands)
        return _sample(frames, pose, hands, self.body, location.info.video_id)

    def _read(self, shard: Path, location: SampleLocation, start: int) -> tuple[Frames, StoredPose]:
        if self.cache is None:
            return read_sample(shard, location, start, NUM_FRAMES)
        video = read_video(shard, location)
        # By content: samples of other shards may have the same key.
        cached = self.cache / f"{hashlib.blake2b(video, digest_size=16).hexdigest()}.npy"
        if not cached.exists():
            _write_array(cached, decode_sample(video, shard, location, 0, location.info.num_frames))
        frames = np.load(cached, mmap_mode="r")
        rows = np.minimum(np.arange(start, start + NUM_FRAMES), len(frames) - 1)
        return frames[rows], read_pose(shard, location)

    def _row(self, number: int) -> int:
        """The number-th of endless rounds through all samples."""
        round_number, row = divmod(number, self.num_samples)
        if self._round[0] != round_number:
            rng = np.random.default_rng((self.seed, ORDER, round_number))
            self._round = (round_number, rng.permutation(self.num_samples))
        return int(self._round[1][row])


def _write_array(path: Path, frames: Frames) -> None:
    """Write an array that is whole or not there, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        np.save(file, frames)
    part.replace(path)


def hands_in_picture(pixels: Floats, start: int, size_px: int, num_frames: int = NUM_FRAMES) -> Floats:
    """Squares around the hands in a window: [T, 61, 2] of a clip -> [16, 2, 3], see `Sample.hands`."""
    rows = np.minimum(np.arange(start, start + num_frames), len(pixels) - 1)
    side = SQUARE_SHOULDERS * shoulders_px(pixels)
    squares = [
        np.concatenate([pixels[rows, part].mean(axis=1), np.full((num_frames, 1), side)], axis=1)
        for part in (LEFT_HAND, RIGHT_HAND)
    ]
    return (np.stack(squares, axis=1) / size_px).astype(np.float32)


def shoulders_px(pixels: Floats) -> float:
    """Median distance of a clip's shoulders: [T, 61, 2] pixels; NaN where they are never seen."""
    apart = np.linalg.norm(pixels[:, L_SHOULDER] - pixels[:, R_SHOULDER], axis=-1)
    known = apart[np.isfinite(apart)]
    return float(np.median(known)) if known.size else float("nan")


def mirror_hands(hands: Floats) -> Floats:
    """The same where left is right: [.., 2, 3]."""
    swapped = hands[..., ::-1, :].copy()
    swapped[..., 0] = 1.0 - swapped[..., 0]
    return swapped


def _sample(frames: np.ndarray, pose: NormalisedPose, hands: Floats, body: Proportions, video: str) -> Sample:
    found = prior_targets(pose, body)
    return Sample(
        frames,
        {name: values for name, (values, _) in found.items()},
        {name: known for name, (_, known) in found.items()},
        video,
        hands,
    )
