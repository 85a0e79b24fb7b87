"""Sources in memory: arrays, generated clips, and mixtures of sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.encoder import Flags, Floats, Frames
from training.data.priors.table import ACTIVITY, NUM_FRAMES
from training.data.windows.samples import SHAPES, PairSource, Sample
from training.errors import SampleError

ORDER, START, MIXTURE, GENERATED = range(4)
"""Keep the random numbers of different purposes apart."""


@dataclass(frozen=True)
class ArrayClip:
    """A whole clip in memory: frames with per-frame priors, and who signs in each window."""

    video: str
    frames: Frames
    """[T, H, W, 3] uint8, T >= 16."""
    targets: Mapping[str, Floats]
    """By name [T, dim]; activity [T, 2], of the window that starts there."""
    masks: Mapping[str, Flags]

    def window(self, start: int) -> Sample:
        """The 16 frames from `start`."""
        return Sample(
            self.frames[start : start + NUM_FRAMES],
            {name: values[_rows(name, start)] for name, values in self.targets.items()},
            {name: values[_rows(name, start)] for name, values in self.masks.items()},
            self.video,
        )


class ArraySource:
    """Pairs from clips in memory: every clip once before any comes again, in another order each time."""

    def __init__(self, clips: Sequence[ArrayClip], seed: int = 0) -> None:
        """Take the clips.

        Raises:
            SampleError: no clip, or one with fewer frames than a window.
        """
        if not clips:
            raise SampleError("no clips were given; a source needs at least one")
        for clip in clips:
            if len(clip.frames) < NUM_FRAMES:
                raise SampleError(f"{clip.video} has {len(clip.frames)} frames; a window takes {NUM_FRAMES}")
        self.clips, self.seed = clips, seed

    def pair(self, number: int) -> tuple[Sample, Sample]:
        """Two windows of one clip, at random places."""
        clip = self.clips[shuffled(number, len(self.clips), self.seed)]
        rng = np.random.default_rng((self.seed, START, number))
        first, second = rng.integers(0, len(clip.frames) - NUM_FRAMES + 1, 2)
        return clip.window(int(first)), clip.window(int(second))


class MixedSource:
    """Several sources, each sampled in proportion to its weight."""

    def __init__(self, sources: Sequence[PairSource], weights: Sequence[float], seed: int = 0) -> None:
        self.sources, self.seed = sources, seed
        self.bounds = np.cumsum(weights) / np.sum(weights)

    def pair(self, number: int) -> tuple[Sample, Sample]:
        """A pair of one of the sources, under the same number.

        A source so sees only some numbers, other ones each time round, and reads its clips in the order it likes best.
        """
        draw = np.random.default_rng((self.seed, MIXTURE, number)).random()
        return self.sources[int(np.searchsorted(self.bounds, draw, side="right"))].pair(number)


def shuffled(number: int, count: int, seed: int) -> int:
    """The number-th of endless rounds through `count` things, each round in an order of its own."""
    round_number, place = divmod(number, count)
    return int(np.random.default_rng((seed, ORDER, round_number)).permutation(count)[place])


def generate_clips(count: int, size_px: int, num_frames: int = 24, seed: int = 0) -> list[ArrayClip]:
    """Clips for trying a training loop without any data: two squares that move, and priors that follow from where.

    Every prior is a fixed random mixture of the squares' places and speeds, so it can be learned from the pixels, and
    changes smoothly with time. A tenth of the values is not known.
    """
    return [_generate_clip(number, size_px, num_frames, seed) for number in range(count)]


def _generate_clip(number: int, size_px: int, num_frames: int, seed: int) -> ArrayClip:
    rng = np.random.default_rng((seed, GENERATED, number))
    time = np.arange(num_frames)[:, None, None] / NUM_FRAMES
    phase, pace = rng.uniform(0, 2 * np.pi, (2, 2)), rng.uniform(2, 5, (2, 2))
    places = 0.5 + 0.35 * np.sin(phase + pace * time)  # [T, square, x and y] in shares of the frame
    speeds = 0.35 * pace * np.cos(phase + pace * time)
    state = np.concatenate([places - 0.5, 0.2 * speeds], axis=2).reshape(num_frames, -1)
    targets, masks = {}, {}
    mixing = np.random.default_rng((seed, GENERATED))
    for name, shape in SHAPES.items():
        values = state @ mixing.standard_normal((state.shape[1], shape[-1]))
        targets[name] = (values > 0 if name == ACTIVITY else values).astype(np.float32)
        masks[name] = rng.random(values.shape) < 0.9
    return ArrayClip(f"generated {number}", _draw_squares(places, size_px, rng), targets, masks)


def _draw_squares(places: NDArray[np.float64], size_px: int, rng: np.random.Generator) -> Frames:
    frames = np.empty((len(places), size_px, size_px, 3), np.uint8)
    frames[:] = rng.integers(40, 120, 3)
    colours = rng.integers(0, 256, (2, 3))
    side = size_px // 5
    for frame, corners in zip(frames, (places * (size_px - side)).astype(int), strict=True):
        for (x, y), colour in zip(corners, colours, strict=True):
            frame[y : y + side, x : x + side] = colour
    return frames


def _rows(name: str, start: int) -> int | slice:
    return start if name == ACTIVITY else slice(start, start + NUM_FRAMES)
