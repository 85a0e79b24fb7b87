"""Samples: a window with its priors, the protocol of sources of pairs, and batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.encoder import Flags, Floats, Frames
from training.data.priors.table import ACTIVITY, ACTIVITY_DIM, NUM_FRAMES, PRIORS
from training.errors import SampleError

SHAPES = {prior.name: (NUM_FRAMES, prior.dim) for prior in PRIORS} | {ACTIVITY: (ACTIVITY_DIM,)}
"""Of every target and of its mask, by name."""
HANDS_SHAPE = (NUM_FRAMES, 2, 3)


@dataclass(frozen=True)
class Sample:
    """One window: 16 consecutive frames with their prior targets."""

    frames: Frames
    """[16, H, W, 3] uint8, an upper-torso crop with the signer in its middle."""
    targets: Mapping[str, Floats]
    """By the names of the prior table; without psi."""
    masks: Mapping[str, Flags]
    """The same shapes; True where the target is known."""
    video: str
    """Windows of the same name are of the same video."""
    hands: Floats | None = None
    """[16, 2, 3] where the middle of the left and the right hand is in the picture, x right and y down, and the side of
    a square around it, in shares of the frame; NaN where unknown. None: nothing is known."""


class PairSource(Protocol):
    """A source of pairs of windows."""

    def pair(self, number: int) -> tuple[Sample, Sample]:
        """Two windows of one video.

        The same number gives the same pair, whichever process asks and whatever was asked before: that makes a run
        repeatable, resumable in the middle, and the same on one process as on many. Numbers have no end.

        Raises:
            SampleError: this pair can't be had; the message names the video and why. Others can.
        """
        ...


def check_sample(sample: Sample) -> Sample:
    """Refuse a sample that does not keep the contract of the prior table.

    Raises:
        SampleError: names the video, the prior, and what is wrong.
    """
    if sample.frames.dtype != np.uint8 or sample.frames.ndim != 4 or sample.frames.shape[::3] != (NUM_FRAMES, 3):
        seen = f"{sample.frames.dtype} {list(sample.frames.shape)}"
        raise SampleError(f"{sample.video}: frames are {seen}; a window is uint8 [{NUM_FRAMES}, H, W, 3]")
    if sample.hands is not None and sample.hands.shape != HANDS_SHAPE:
        raise SampleError(f"{sample.video}: hands are {list(sample.hands.shape)}, expected {list(HANDS_SHAPE)}")
    for name, shape in SHAPES.items():
        for kind, arrays in (("target", sample.targets), ("mask", sample.masks)):
            if name not in arrays:
                raise SampleError(f"{sample.video}: no {kind} for {name}; a window has {', '.join(SHAPES)}")
            if arrays[name].shape != shape:
                raise SampleError(
                    f"{sample.video}: {kind} of {name} is {list(arrays[name].shape)}, expected {list(shape)}"
                )
        if not np.isfinite(sample.targets[name][sample.masks[name]]).all():
            raise SampleError(f"{sample.video}: {name} has values that are not numbers where its mask says known")
    return sample


@dataclass(frozen=True)
class Batch:
    """Windows side by side; rows 2i and 2i + 1 are the two of one pair."""

    frames: Tensor
    """[B, 16, H, W, 3] uint8."""
    targets: dict[str, Tensor]
    """By name [B, 16, dim] float32, activity [B, 2]."""
    masks: dict[str, Tensor]
    """The same shapes, bool."""
    videos: tuple[str, ...]
    hands: Tensor
    """[B, 2, 3] where the left and the right hand are, on average over a window's frames: x and y, and the side of a
    square around it, in shares of the frame; NaN where unknown or outside."""
    skipped: tuple[str, ...] = ()
    """Why pairs were left out while this batch was made."""

    def __len__(self) -> int:
        return len(self.frames)

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""

        def moved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

        frames = self.frames.to(device, non_blocking=True)
        hands = self.hands.to(device, non_blocking=True)
        return Batch(frames, moved(self.targets), moved(self.masks), self.videos, hands, self.skipped)

    def pin_memory(self) -> "Batch":
        """The same in memory that a GPU reads directly; called by torch's loader."""

        def pinned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.pin_memory() for name, tensor in tensors.items()}

        frames = self.frames.pin_memory()
        hands = self.hands.pin_memory()
        return Batch(frames, pinned(self.targets), pinned(self.masks), self.videos, hands, self.skipped)


def collate(samples: Sequence[Sample], skipped: Sequence[str] = ()) -> Batch:
    """Samples to a batch.

    Raises:
        SampleError: frames differ in size; the videos are named.
    """
    sizes = {sample.frames.shape[1:3]: sample.video for sample in samples}
    if len(sizes) > 1:
        seen = ", ".join(f"{width}x{height} ({video})" for (height, width), video in sizes.items())
        raise SampleError(f"frames of one batch are {seen}; all sources have to give the same size")
    return Batch(
        torch.from_numpy(np.stack([sample.frames for sample in samples])),
        {name: _stacked([sample.targets[name] for sample in samples], np.float32) for name in SHAPES},
        {name: _stacked([sample.masks[name] for sample in samples], np.bool_) for name in SHAPES},
        tuple(sample.video for sample in samples),
        torch.from_numpy(np.stack([_place(sample.hands) for sample in samples])),
        tuple(skipped),
    )


def _place(hands: Floats | None) -> Floats:
    """[T, 2, 3] -> [2, 3]: the mean over the frames; NaN where a frame is unknown or it lies outside the picture."""
    if hands is None:
        return np.full((2, 3), np.nan, np.float32)
    places = hands.mean(axis=0, dtype=np.float32)
    inside = ((places[:, :2] >= 0.0) & (places[:, :2] <= 1.0)).all(axis=-1, keepdims=True)
    return np.where(inside, places, np.float32(np.nan))


def _stacked(arrays: Sequence[NDArray[Any]], dtype: type) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(dtype))
