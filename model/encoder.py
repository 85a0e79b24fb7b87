"""The seam between everything that needs embeddings and whatever computes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.config import EncoderConfig, SkeletonConfig
from model.errors import EncoderContractError

Floats = NDArray[np.float32]
Frames = NDArray[np.uint8]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Windows = NDArray[Any]
"""Pictures (uint8) or skeletons (float32): `model.config.WindowForm` says which."""


@dataclass(frozen=True)
class EncoderInfo:
    """What an encoder file says about itself, and the batch size that suits where it runs."""

    encoder_id: str
    """First 12 hex digits of the sha256 of the file: vectors of different ids never mix."""
    config: EncoderConfig | SkeletonConfig
    """The one of encoders that see pictures, or the one of those that see skeletons."""
    fps: float
    """Frames per second at which videos are sampled for this encoder."""
    stride_frames: int
    """Frames between window starts that the encoder was meant for."""
    provenance: str
    """Where the weights come from, in words."""
    licence: str
    trained: bool
    """False for random weights: answers then carry a warning."""
    precision: str
    """`fp32`, `fp16`, or `fp16-stored`: weights kept in halves, arithmetic in float32."""
    kept_share: float = 1.0
    """Share of a window's mask units, those that move most, that the encoder was meant to see."""
    num_parts: int = 1
    """Parts in time of which a clip's vector is made, see `model.pooling`; 1 is the paper's mean."""
    estimator: str | None = None
    """Name of the pose estimator it needs, see `model.skeleton.estimator`; None where it takes pictures."""
    num_at_once: int = 8
    """Windows that are best encoded together; not from the file, but by the device it runs on."""

    @property
    def vector_dim(self) -> int:
        """Numbers of a clip's vector."""
        return self.num_parts * self.config.dim

    @property
    def pictures(self) -> EncoderConfig:
        """The geometry, where pictures are what there is.

        Raises:
            EncoderContractError: this encoder sees skeletons.
        """
        if isinstance(self.config, SkeletonConfig):
            raise EncoderContractError(
                f"encoder {self.encoder_id} takes skeletons; what is done here needs one that takes pictures"
            )
        return self.config


@dataclass(frozen=True)
class Encoding:
    """What an encoder gives for N windows."""

    embedding: Floats
    """[N, D], not normalised."""
    activity: Floats
    """[N, 2] in [0, 1]: probability that the left, right hand is signing."""

    def rows(self, start: int, stop: int) -> "Encoding":
        """The encoding of windows `start` to `stop`."""
        return Encoding(self.embedding[start:stop], self.activity[start:stop])


def concatenate(parts: Sequence[Encoding]) -> Encoding:
    """The encoding of all windows of several parts, in order."""
    return Encoding(
        np.concatenate([part.embedding for part in parts]), np.concatenate([part.activity for part in parts])
    )


class Encoder(Protocol):
    """Turns windows into embeddings. `OnnxEncoder` takes pictures, those in `model.skeleton.encoders` skeletons."""

    @property
    def info(self) -> EncoderInfo:
        """What this encoder is."""
        ...

    def encode(self, windows: Windows, visible: Ints | None = None) -> Encoding:
        """Encode windows.

        Args:
            windows: [N, *info.config.window_shape], N >= 1: uint8 RGB [N, T, H, W, 3], or skeletons.
            visible: [N, K] numbers of the mask units of pictures to look at; None for all.
        """
        ...
