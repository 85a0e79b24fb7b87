"""Real clips and rendered pairs on the device where they are trained on.

All lie in a few large tensors, so that a batch is a handful of index operations and nothing waits for files or
processes.
"""

import math
import shutil
import tempfile
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.contrastive.clips.pair_renderer import NUM_PERFORMERS, Movement, PositivePair
from training.contrastive.clips.windows import NUM_SHOWN, WIDTH, ClipWindows, arrays
from training.errors import DataError

RENDERED_PARTNER_SHARE = 0.75
"""Share of real clips whose partner is a synthetic signer with the same movement, where there is one."""
NOTHING = "there is nothing to train on: no real clips and no rendered pairs"
BYTES_BESIDES_FRAMES = 2 * NUM_SHOWN * WIDTH + NUM_SHOWN * WIDTH + 512
"""Memory of a window besides its frames."""


@dataclass(frozen=True)
class WindowTable:
    """`ClipWindows` of any clips, on the device."""

    frames: Tensor
    """[N, 2, S, S, 3] uint8."""
    targets: Tensor
    """[N, 2, WIDTH] float16."""
    known: Tensor
    activity: Tensor
    """[N, 2] float32."""
    activity_known: Tensor
    hands: Tensor
    """[N, 2, 3]."""
    points: Tensor
    """[N, 2, 21, 2]."""

    def at(self, rows: Tensor) -> "WindowTable":
        """Some windows, in that order."""
        return WindowTable(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, first: int, windows: ClipWindows) -> None:
        """Overwrite the rows from `first` on."""
        for name, values in arrays(windows).items():
            getattr(self, name)[first : first + len(windows)].copy_(torch.from_numpy(values))


def make_table(capacity: int, size_px: int, device: torch.device) -> WindowTable:
    """An empty table for `capacity` windows; without a GPU their frames lie in a memory-mapped temporary file.

    Raises:
        DataError: the disk has no room for it.
    """

    def room(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(capacity, *shape, dtype=dtype, device=device)

    return WindowTable(
        frames=make_frames((capacity, NUM_SHOWN, size_px, size_px, 3), device),
        targets=room(NUM_SHOWN, WIDTH, dtype=torch.float16),
        known=room(NUM_SHOWN, WIDTH, dtype=torch.bool),
        activity=room(2, dtype=torch.float32),
        activity_known=room(2, dtype=torch.bool),
        hands=room(2, 3, dtype=torch.float32),
        points=room(2, 21, 2, dtype=torch.float32),
    )


def make_frames(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Memory for pictures: uint8 of a shape.

    Raises:
        DataError: the disk has no room for the temporary file.
    """
    if device.type != "cpu" or not shape[0]:
        return torch.zeros(shape, dtype=torch.uint8, device=device)
    # Checked beforehand: writing to a mapped page of a full disk ends the process.
    wanted, folder = math.prod(shape), tempfile.gettempdir()
    if wanted > (free := shutil.disk_usage(folder).free):
        raise DataError(
            f"{wanted / 1e9:.1f} GB of frames do not fit into {folder}, which has {free / 1e9:.1f} GB; make room, set"
            " TMPDIR to another folder, or train on fewer windows"
        )
    with tempfile.TemporaryFile(prefix="signdex-frames-") as file:
        return torch.from_numpy(np.memmap(file, np.uint8, "w+", shape=shape))


def window_bytes(size_px: int) -> int:
    """Memory of a window on the device."""
    return NUM_SHOWN * size_px**2 * 3 + BYTES_BESIDES_FRAMES


@dataclass(frozen=True)
class StoredClip:
    """The rows of a clip's windows."""

    movement: Movement
    first: int
    count: int


@dataclass(frozen=True)
class StepSample:
    """The windows that a step trains on."""

    rows: Tensor
    """[P, 2, W] rows of the windows of P movements, by two signers each."""
    movements: Tensor
    """[P] int64: the same number where the movement is the same, in every process."""


class ClipPool:
    """Real clips and rendered pairs, and random samples of them for a step."""

    def __init__(self, rows: WindowTable, num_windows: int, max_pairs: int) -> None:
        """An empty pool.

        Args:
            rows: for the real clips' windows, then for those of the pairs.
            num_windows: of each of a pair's clips.
            max_pairs: pairs that fit in.
        """
        self.rows, self.num_windows, self.max_pairs = rows, num_windows, max_pairs
        self._per_pair = NUM_PERFORMERS * num_windows
        self._first_pair = len(rows.frames) - max_pairs * self._per_pair
        self._end = 0
        self.real: list[StoredClip] = []
        self._by_cast: dict[int, list[tuple[StoredClip, StoredClip]]] = {}
        self._by_movement: dict[Movement, list[StoredClip]] = {}
        self.num_pairs = 0

    def add_clip(self, windows: ClipWindows, movement: Movement) -> None:
        """Add a real clip.

        Raises:
            DataError: there is no room.
        """
        if self._end + len(windows) > self._first_pair:
            raise DataError(f"{self._end + len(windows)} windows of real clips; there is room for {self._first_pair}")
        self.rows.put(self._end, windows)
        self.real.append(StoredClip(movement, self._end, len(windows)))
        self._end += len(windows)

    def add_pair(self, pair: PositivePair) -> None:
        """Add a rendered pair.

        Raises:
            DataError: there is no room.
        """
        if self.num_pairs == self.max_pairs:
            raise DataError(f"there is room for {self.max_pairs} pairs, and all of it is taken")
        start = self._first_pair + self.num_pairs * self._per_pair
        first, second = (
            StoredClip(pair.movement, start + part * self.num_windows, self.num_windows)
            for part in range(NUM_PERFORMERS)
        )
        for clip, windows in zip((first, second), pair.clips, strict=True):
            self.rows.put(clip.first, windows)
            self._by_movement.setdefault(pair.movement, []).append(clip)
        self._by_cast.setdefault(pair.cast, []).append((first, second))
        self.num_pairs += 1

    def __len__(self) -> int:
        return self.num_pairs

    def sample(self, num_real: int, num_rendered: int, num_windows: int, rng: np.random.Generator) -> StepSample:
        """Random movements, each by two signers.

        The partner of a real clip is the same movement by a synthetic signer, where there is one, else the clip itself.
        Rendered pairs come cast by cast, so that the negatives include other movements by the same people.

        Args:
            num_real: real clips, at most as many as there are.
            num_rendered: rendered pairs, at most as many as there are.
            num_windows: windows of every clip.
            rng: random numbers.

        Raises:
            DataError: the pool is empty.
        """
        pairs = [*self._real_pairs(num_real, rng), *self._rendered_pairs(num_rendered, rng)]
        if not pairs:
            raise DataError(NOTHING)
        rows = np.stack([[spread_rows(clip, num_windows, rng) for clip in pair] for pair in pairs])
        numbers = [pair[0].movement.number for pair in pairs]
        device = self.rows.frames.device
        return StepSample(torch.from_numpy(rows).to(device), torch.tensor(numbers, device=device))

    def sample_windows(self, count: int, rng: np.random.Generator) -> Tensor:
        """Rows of random windows, half of them real where there are both kinds: [count].

        Raises:
            DataError: the pool is empty.
        """
        ends = [(0, self._end), (self._first_pair, self._first_pair + self.num_pairs * self._per_pair)]
        filled = [part for part in ends if part[1] > part[0]]
        if not filled:
            raise DataError(NOTHING)
        shares = [len(part) for part in np.array_split(np.arange(count), len(filled))]
        rows = [rng.integers(*part, size=share) for part, share in zip(filled, shares, strict=True)]
        return torch.from_numpy(np.concatenate(rows)).to(self.rows.frames.device)

    def _real_pairs(self, count: int, rng: np.random.Generator) -> list[tuple[StoredClip, StoredClip]]:
        chosen = rng.permutation(len(self.real))[:count]
        pairs = []
        for clip in (self.real[number] for number in chosen):
            rendered = self._by_movement.get(clip.movement, [])
            partners = rendered if rendered and rng.random() < RENDERED_PARTNER_SHARE else [clip]
            pairs.append((clip, partners[int(rng.integers(len(partners)))]))
        return pairs

    def _rendered_pairs(self, count: int, rng: np.random.Generator) -> list[tuple[StoredClip, StoredClip]]:
        pairs: list[tuple[StoredClip, StoredClip]] = []
        for cast in rng.permutation(list(self._by_cast)):
            if len(pairs) >= count:
                break
            pairs += self._by_cast[int(cast)]
        return pairs[:count]


def spread_rows(clip: StoredClip, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of `count` windows of a clip, a random one from each of as many equal parts of it."""
    edges = np.linspace(0, clip.count, count + 1)
    rows = np.floor(rng.uniform(edges[:-1], edges[1:])).astype(np.int64)
    return np.asarray(clip.first + np.minimum(rows, clip.count - 1))
