"""Windows out of shards: a `Source` for pretraining."""

import hashlib
import os
from pathlib import Path

import numpy as np

from model.encoder import Floats, Frames
from model.skeleton.kinematics import L_SHOULDER, LEFT_HAND, R_SHOULDER, RIGHT_HAND, Proportions
from model.skeleton.normal import NormalPose
from training.data.samples import Sample
from training.data.shard_files import (
    Place,
    StoredPose,
    check_shard,
    decode_sample,
    find_shards,
    read_form,
    read_pose,
    read_sample,
    read_video,
)
from training.errors import SampleError, ShardError
from training.prior_table import NUM_FRAMES
from training.priors import read_body, targets

SQUARE_SHOULDERS = 0.8
"""Side of the square around a hand, shoulder widths: a hand with its fingers stretched, and some room."""
ORDER, PLACE = 11, 12
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
            cache: folder in which decoded clips are kept from their first use on, 3 bytes a pixel; None: decoded anew.
            mirrored: share of the pairs that are seen as in a mirror, their targets with them.

        Raises:
            ShardError: there is no usable shard; shards cut short are listed in `broken` and their samples left out.
        """
        self.form = read_form(folder)
        self.body = read_body(folder / "body.json") if body is None else body
        self.seed, self.mirrored, self.cache = seed, mirrored, cache
        self.broken: list[str] = []
        """What was wrong with shards that are left out."""
        self._places: list[tuple[Path, Place]] = []
        for shard in find_shards(folder):
            try:
                self._places += [(shard, place) for place in check_shard(shard).places]
            except ShardError as error:
                self.broken.append(str(error))
        if not self._places:
            raise ShardError(f"none of the shards in {folder} has a sample that can be used; {self.broken[:1]}")
        self._round: tuple[int, np.ndarray] = (-1, np.empty(0))

    @property
    def num_samples(self) -> int:
        """Clips in all usable shards."""
        return len(self._places)

    def pair(self, number: int) -> tuple[Sample, Sample]:
        """See `Source.pair`.

        Raises:
            SampleError: the sample is damaged.
        """
        shard, place = self._places[self._turn(number)]
        rng = np.random.default_rng((self.seed, PLACE, number))
        last = max(0, place.facts.num_frames - NUM_FRAMES)
        first, second = rng.integers(0, last + 1, 2)
        flipped = bool(rng.random() < self.mirrored)
        return self._window(shard, place, int(first), flipped), self._window(shard, place, int(second), flipped)

    def _window(self, shard: Path, place: Place, start: int, flipped: bool) -> Sample:
        try:
            frames, stored = self._read(shard, place, start)
        except ShardError as error:
            raise SampleError(str(error)) from error
        pose, hands = stored.pose.window(start), hands_in_picture(stored.pixels, start, self.form.size_px)
        if flipped:
            frames, pose, hands = frames[:, :, ::-1], pose.mirrored(), in_mirror(hands)
        return _sample(frames, pose, hands, self.body, place.facts.video_id)

    def _read(self, shard: Path, place: Place, start: int) -> tuple[Frames, StoredPose]:
        if self.cache is None:
            return read_sample(shard, place, start, NUM_FRAMES)
        video = read_video(shard, place)
        # By content: samples of other shards may have the same key.
        kept = self.cache / f"{hashlib.blake2b(video, digest_size=16).hexdigest()}.npy"
        if not kept.exists():
            _keep(kept, decode_sample(video, shard, place, 0, place.facts.num_frames))
        frames = np.load(kept, mmap_mode="r")
        rows = np.minimum(np.arange(start, start + NUM_FRAMES), len(frames) - 1)
        return frames[rows], read_pose(shard, place)

    def _turn(self, number: int) -> int:
        """The number-th of endless rounds through all samples."""
        round_number, place = divmod(number, self.num_samples)
        if self._round[0] != round_number:
            rng = np.random.default_rng((self.seed, ORDER, round_number))
            self._round = (round_number, rng.permutation(self.num_samples))
        return int(self._round[1][place])


def _keep(path: Path, frames: Frames) -> None:
    """Write an array that is whole or not there, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        np.save(file, frames)
    part.replace(path)


def hands_in_picture(pixels: Floats, start: int, size_px: int, num_frames: int = NUM_FRAMES) -> Floats:
    """Where the middle of each hand is in a window: [T, 61, 2] of a clip -> [16, 2, 3], see `Sample.hands`."""
    rows = np.minimum(np.arange(start, start + num_frames), len(pixels) - 1)
    side = SQUARE_SHOULDERS * shoulders_px(pixels)
    squares = [
        np.concatenate([pixels[rows, part].mean(axis=1), np.full((num_frames, 1), side)], axis=1)
        for part in (LEFT_HAND, RIGHT_HAND)
    ]
    return (np.stack(squares, axis=1) / size_px).astype(np.float32)


def shoulders_px(pixels: Floats) -> float:
    """How far a clip's shoulders are apart, usually: [T, 61, 2] pixels; NaN where they are never seen."""
    apart = np.linalg.norm(pixels[:, L_SHOULDER] - pixels[:, R_SHOULDER], axis=-1)
    known = apart[np.isfinite(apart)]
    return float(np.median(known)) if known.size else float("nan")


def in_mirror(hands: Floats) -> Floats:
    """The same where left is right: [.., 2, 3]."""
    swapped = hands[..., ::-1, :].copy()
    swapped[..., 0] = 1.0 - swapped[..., 0]
    return swapped


def _sample(frames: np.ndarray, pose: NormalPose, hands: Floats, body: Proportions, video: str) -> Sample:
    found = targets(pose, body)
    return Sample(
        frames,
        {name: values for name, (values, _) in found.items()},
        {name: known for name, (_, known) in found.items()},
        video,
        hands,
    )
