"""Real clips out of shards as moments, as filmed and as in a mirror."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.encoder import Frames, Ints
from model.skeleton.kinematics import Proportions
from training.contrast.moments import NUM_SHOWN, Moments, describe
from training.contrast.theatre import Movement, mirror_pixels, movement_of
from training.data.shard_files import Place, StoredPose, check_shard, find_shards, read_form, read_sample

MOST_MOMENTS = 40
"""Of a clip; of longer ones so many are kept, evenly spread."""


@dataclass(frozen=True)
class RealClip:
    """One clip, as filmed or as in a mirror."""

    movement: Movement
    moments: Moments
    gloss: str
    signer: str


def read_real(
    folder: Path,
    body: Proportions | None,
    *,
    threads: int,
    most: int = MOST_MOMENTS,
    wanted: Callable[[Movement], bool] = lambda movement: True,
) -> Iterator[RealClip]:
    """Every clip of a folder of shards, twice.

    Args:
        folder: of finished shards.
        body: the standard body of the targets.
        threads: that decode.
        most: moments of a clip.
        wanted: which movements; others are not decoded.

    Raises:
        ShardError: there is no usable shard, or one is damaged.
    """
    size_px = read_form(folder).size_px
    places = [
        (shard, place)
        for shard in find_shards(folder)
        for place in check_shard(shard).places
        if wanted(Movement(name_of(place), mirrored=False))
    ]
    for first in range(0, len(places), 4 * threads):
        with ThreadPoolExecutor(threads) as executor:
            some = places[first : first + 4 * threads]
            for clips in executor.map(lambda at: _both(at[0], at[1], size_px, body, most), some):
                yield from clips


def num_moments(
    folder: Path, *, most: int = MOST_MOMENTS, wanted: Callable[[Movement], bool] = lambda movement: True
) -> int:
    """How many moments `read_real` gives."""
    return sum(
        2 * len(starts(place.facts.num_frames, most))
        for shard in find_shards(folder)
        for place in check_shard(shard).places
        if wanted(Movement(name_of(place), mirrored=False))
    )


def name_of(place: Place) -> str:
    """The name of a clip's movement."""
    return movement_of(Path(Path(place.facts.video_id).name))


def starts(num_frames: int, most: int = MOST_MOMENTS) -> Ints:
    """First frames of a clip's moments, which do not overlap."""
    every = np.arange(0, max(1, num_frames - NUM_SHOWN + 1), NUM_SHOWN)
    if len(every) <= most:
        return every
    return np.asarray(every[np.linspace(0, len(every) - 1, most).round().astype(int)])


def _both(shard: Path, place: Place, size_px: int, body: Proportions | None, most: int) -> tuple[RealClip, RealClip]:
    frames, stored = read_sample(shard, place, 0, place.facts.num_frames)
    name, gloss, signer = name_of(place), place.facts.gloss, place.facts.signer
    turned = StoredPose(stored.pose.mirrored(), mirror_pixels(stored.pixels, size_px))
    return (
        RealClip(Movement(name, mirrored=False), _moments(frames, stored, size_px, body, most), gloss, signer),
        RealClip(
            Movement(name, mirrored=True), _moments(frames[:, :, ::-1], turned, size_px, body, most), gloss, signer
        ),
    )


def _moments(frames: Frames, stored: StoredPose, size_px: int, body: Proportions | None, most: int) -> Moments:
    firsts = starts(len(frames), most)
    rows = np.minimum(firsts[:, None] + np.arange(NUM_SHOWN), len(frames) - 1)
    described = describe(stored.pose, stored.pixels, firsts, size_px, body)
    return Moments(np.ascontiguousarray(frames[rows]), **described)  # type: ignore[arg-type]
