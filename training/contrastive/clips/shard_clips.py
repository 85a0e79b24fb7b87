"""Windows of real clips from shards, as filmed and mirrored."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.encoder import Frames, Ints
from model.skeleton.kinematics import Proportions
from training.contrastive.clips.pair_renderer import Movement, mirror_pixels, movement_of
from training.contrastive.clips.windows import NUM_SHOWN, ClipWindows, describe
from training.data.shards.files import SampleLocation, StoredPose, check_shard, find_shards, read_format, read_sample

MAX_WINDOWS = 40
"""Most windows of a clip; from longer ones so many are taken, evenly spread."""


@dataclass(frozen=True)
class RealClip:
    """One clip, as filmed or mirrored."""

    movement: Movement
    windows: ClipWindows
    gloss: str
    signer: str


def read_clips(
    folder: Path,
    body: Proportions | None,
    *,
    threads: int,
    max_windows: int = MAX_WINDOWS,
    wanted: Callable[[Movement], bool] = lambda movement: True,
) -> Iterator[RealClip]:
    """Every clip of a folder of shards, twice.

    Args:
        folder: of finished shards.
        body: the standard body of the targets.
        threads: that decode.
        max_windows: most windows of a clip.
        wanted: which movements; other clips are not decoded.

    Raises:
        ShardError: there is no usable shard, or one is damaged.
    """
    size_px = read_format(folder).size_px
    places = [
        (shard, place)
        for shard in find_shards(folder)
        for place in check_shard(shard).samples
        if wanted(Movement(movement_name(place), mirrored=False))
    ]
    for first in range(0, len(places), 4 * threads):
        with ThreadPoolExecutor(threads) as executor:
            some = places[first : first + 4 * threads]
            for clips in executor.map(lambda at: _both(at[0], at[1], size_px, body, max_windows), some):
                yield from clips


def count_windows(
    folder: Path, *, max_windows: int = MAX_WINDOWS, wanted: Callable[[Movement], bool] = lambda movement: True
) -> int:
    """How many windows `read_clips` gives."""
    return sum(
        2 * len(window_starts(place.info.num_frames, max_windows))
        for shard in find_shards(folder)
        for place in check_shard(shard).samples
        if wanted(Movement(movement_name(place), mirrored=False))
    )


def movement_name(place: SampleLocation) -> str:
    """The name of a clip's movement."""
    return movement_of(Path(Path(place.info.video_id).name))


def window_starts(num_frames: int, max_windows: int = MAX_WINDOWS) -> Ints:
    """First frames of a clip's windows, which do not overlap."""
    every = np.arange(0, max(1, num_frames - NUM_SHOWN + 1), NUM_SHOWN)
    if len(every) <= max_windows:
        return every
    return np.asarray(every[np.linspace(0, len(every) - 1, max_windows).round().astype(int)])


def _both(
    shard: Path, place: SampleLocation, size_px: int, body: Proportions | None, max_windows: int
) -> tuple[RealClip, RealClip]:
    frames, stored = read_sample(shard, place, 0, place.info.num_frames)
    name, gloss, signer = movement_name(place), place.info.gloss, place.info.signer
    turned = StoredPose(stored.pose.mirrored(), mirror_pixels(stored.pixels, size_px))
    return (
        RealClip(Movement(name, mirrored=False), _windows(frames, stored, size_px, body, max_windows), gloss, signer),
        RealClip(
            Movement(name, mirrored=True),
            _windows(frames[:, :, ::-1], turned, size_px, body, max_windows),
            gloss,
            signer,
        ),
    )


def _windows(
    frames: Frames, stored: StoredPose, size_px: int, body: Proportions | None, max_windows: int
) -> ClipWindows:
    firsts = window_starts(len(frames), max_windows)
    rows = np.minimum(firsts[:, None] + np.arange(NUM_SHOWN), len(frames) - 1)
    described = describe(stored.pose, stored.pixels, firsts, size_px, body)
    return ClipWindows(np.ascontiguousarray(frames[rows]), **described)  # type: ignore[arg-type]
