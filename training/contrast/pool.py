"""What is learned from, kept where it is learned: real clips, and drawn pairs.

Everything lies in a few large tensors on the device, so that a batch is a handful of lookups and nothing waits for
files or processes.
"""

import math
import shutil
import tempfile
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.contrast.moments import NUM_SHOWN, WIDTH, Moments, arrays
from training.contrast.theatre import NUM_PERFORMERS, Duet, Movement
from training.errors import DataError

WITH_ANOTHER = 0.75
"""Share of real clips that come with their movement by somebody drawn, where there is one."""
NOTHING = "there is nothing to learn from yet: no real clips, and no pair was drawn"
BYTES_BESIDES = 2 * NUM_SHOWN * WIDTH + NUM_SHOWN * WIDTH + 512
"""What a moment takes besides its frames."""


@dataclass(frozen=True)
class Rows:
    """`Moments` on the device, of any clips."""

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

    def at(self, rows: Tensor) -> "Rows":
        """Some of them, in that order."""
        return Rows(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, first: int, moments: Moments) -> None:
        """Write over what stands from a row on."""
        for name, values in arrays(moments).items():
            getattr(self, name)[first : first + len(moments)].copy_(torch.from_numpy(values))


def make_rows(capacity: int, size_px: int, device: torch.device) -> Rows:
    """Room for so many moments; without a GPU their frames lie in a temporary file, of which memory holds what fits.

    Raises:
        DataError: the disk has no room for it.
    """

    def room(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(capacity, *shape, dtype=dtype, device=device)

    return Rows(
        frames=make_frames((capacity, NUM_SHOWN, size_px, size_px, 3), device),
        targets=room(NUM_SHOWN, WIDTH, dtype=torch.float16),
        known=room(NUM_SHOWN, WIDTH, dtype=torch.bool),
        activity=room(2, dtype=torch.float32),
        activity_known=room(2, dtype=torch.bool),
        hands=room(2, 3, dtype=torch.float32),
        points=room(2, 21, 2, dtype=torch.float32),
    )


def make_frames(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Room for pictures: uint8 of a shape.

    Raises:
        DataError: temporary files have no room for them.
    """
    if device.type != "cpu" or not shape[0]:
        return torch.zeros(shape, dtype=torch.uint8, device=device)
    # Asked beforehand: a full disk that is found out by writing to a mapped page ends the process.
    wanted, folder = math.prod(shape), tempfile.gettempdir()
    if wanted > (free := shutil.disk_usage(folder).free):
        raise DataError(
            f"{wanted / 1e9:.1f} GB of frames do not fit into {folder}, which has {free / 1e9:.1f} GB; make room, set"
            " TMPDIR to another folder, or learn from fewer moments"
        )
    with tempfile.TemporaryFile(prefix="signdex-frames-") as file:
        return torch.from_numpy(np.memmap(file, np.uint8, "w+", shape=shape))


def moment_bytes(size_px: int) -> int:
    """What a moment takes on the device."""
    return NUM_SHOWN * size_px**2 * 3 + BYTES_BESIDES


@dataclass(frozen=True)
class Kept:
    """Where a clip's moments are."""

    movement: Movement
    first: int
    count: int


@dataclass(frozen=True)
class Draw:
    """What a step learns from."""

    rows: Tensor
    """[P, 2, W] moments of P movements, twice each."""
    movements: Tensor
    """[P] int64: the same number where the movement is the same, in every process."""


class Pool:
    """Real clips and drawn pairs, and what a step learns from them."""

    def __init__(self, rows: Rows, num_moments: int, num_pairs: int) -> None:
        """Nothing is in it yet.

        Args:
            rows: room for the real clips' moments, then for those of the pairs.
            num_moments: of each of a pair's clips.
            num_pairs: how many pairs there is room for.
        """
        self.rows, self.num_moments, self.room = rows, num_moments, num_pairs
        self._per_pair = NUM_PERFORMERS * num_moments
        self._first_pair = len(rows.frames) - num_pairs * self._per_pair
        self._end = 0
        self.real: list[Kept] = []
        self._casts: dict[int, list[tuple[Kept, Kept]]] = {}
        self._performed: dict[Movement, list[Kept]] = {}
        self.num_drawn = 0

    def keep(self, moments: Moments, movement: Movement) -> None:
        """Add a real clip.

        Raises:
            DataError: there is no room.
        """
        if self._end + len(moments) > self._first_pair:
            raise DataError(f"{self._end + len(moments)} moments of real clips; there is room for {self._first_pair}")
        self.rows.put(self._end, moments)
        self.real.append(Kept(movement, self._end, len(moments)))
        self._end += len(moments)

    def add(self, duet: Duet) -> None:
        """Add a drawn pair.

        Raises:
            DataError: there is no room.
        """
        if self.num_drawn == self.room:
            raise DataError(f"there is room for {self.room} pairs, and all of it is taken")
        start = self._first_pair + self.num_drawn * self._per_pair
        first, second = (
            Kept(duet.movement, start + part * self.num_moments, self.num_moments) for part in range(NUM_PERFORMERS)
        )
        for clip, moments in zip((first, second), duet.performances, strict=True):
            self.rows.put(clip.first, moments)
            self._performed.setdefault(duet.movement, []).append(clip)
        self._casts.setdefault(duet.cast, []).append((first, second))
        self.num_drawn += 1

    def __len__(self) -> int:
        return self.num_drawn

    def draw(self, num_real: int, num_rendered: int, num_windows: int, rng: np.random.Generator) -> Draw:
        """Movements at random, each by two people.

        A real clip comes with its movement by somebody drawn, where there is one, else with itself. Drawn pairs come
        cast by cast, so that among what must not look alike are other movements by the same people.

        Args:
            num_real: real clips, at most as many as there are.
            num_rendered: drawn pairs, at most as many as there are.
            num_windows: moments of every clip.
            rng: draws.

        Raises:
            DataError: nothing is in the pool.
        """
        couples = [*self._real_couples(num_real, rng), *self._drawn_couples(num_rendered, rng)]
        if not couples:
            raise DataError(NOTHING)
        rows = np.stack([[moments_of(clip, num_windows, rng) for clip in couple] for couple in couples])
        numbers = [couple[0].movement.number for couple in couples]
        device = self.rows.frames.device
        return Draw(torch.from_numpy(rows).to(device), torch.tensor(numbers, device=device))

    def some(self, count: int, rng: np.random.Generator) -> Tensor:
        """Rows of so many moments at random, half of them real where there are both: [count].

        Raises:
            DataError: nothing is in the pool.
        """
        ends = [(0, self._end), (self._first_pair, self._first_pair + self.num_drawn * self._per_pair)]
        filled = [part for part in ends if part[1] > part[0]]
        if not filled:
            raise DataError(NOTHING)
        shares = [len(part) for part in np.array_split(np.arange(count), len(filled))]
        rows = [rng.integers(*part, size=share) for part, share in zip(filled, shares, strict=True)]
        return torch.from_numpy(np.concatenate(rows)).to(self.rows.frames.device)

    def _real_couples(self, count: int, rng: np.random.Generator) -> list[tuple[Kept, Kept]]:
        chosen = rng.permutation(len(self.real))[:count]
        couples = []
        for clip in (self.real[number] for number in chosen):
            performed = self._performed.get(clip.movement, [])
            others = performed if performed and rng.random() < WITH_ANOTHER else [clip]
            couples.append((clip, others[int(rng.integers(len(others)))]))
        return couples

    def _drawn_couples(self, count: int, rng: np.random.Generator) -> list[tuple[Kept, Kept]]:
        couples: list[tuple[Kept, Kept]] = []
        for cast in rng.permutation(list(self._casts)):
            if len(couples) >= count:
                break
            couples += self._casts[int(cast)]
        return couples[:count]


def moments_of(clip: Kept, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many moments of a clip, one from each of as many equal parts of it: their rows."""
    edges = np.linspace(0, clip.count, count + 1)
    rows = np.floor(rng.uniform(edges[:-1], edges[1:])).astype(np.int64)
    return np.asarray(clip.first + np.minimum(rows, clip.count - 1))
