"""The geometry of encoders, as plain data: constructor arguments, JSON in checkpoints and in encoder files."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

Triple = tuple[int, int, int]
POSITIVE_FIELDS = (
    "num_frames",
    "image_size",
    "patch_kernel",
    "patch_stride",
    "embed_dim",
    "num_heads",
    "stages",
    "mask_unit",
    "q_stride",
    "mlp_ratio",
    "activity_hidden",
)
"""The fields of which nothing may be zero or less."""

NUM_KEYPOINTS = 61
MEDIAPIPE = "model.skeleton.estimator:open_mediapipe"
"""Name of the pose estimator that serves. The ids of encoders and the keys of caches hold it: it must not change."""


class WindowForm(StrEnum):
    """What an encoder's windows are made of, frame by frame."""

    PICTURES = "pictures"
    """uint8 [size, size, 3]: RGB."""
    METRES = "metres"
    """float32 [61, 4]: x, y, z of the keypoints from between the hips, hands bridged over short gaps, and whether they
    are known, 1 or 0; what is not known is 0. See `model.skeleton`."""
    SHOULDERS = "shoulders"
    """The same, from between the shoulders in shoulder widths."""


@dataclass(frozen=True)
class SkeletonConfig:
    """The geometry of an encoder that sees skeletons."""

    num_frames: int
    """Frames in a window."""
    dim: int
    """Size of an embedding."""
    form: WindowForm = WindowForm.METRES

    def __post_init__(self) -> None:
        """Refuse sizes that can't be.

        Raises:
            ValueError: a size is not positive, or windows would hold no skeletons.
        """
        for name in ("num_frames", "dim"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be more than 0")
        if self.form == WindowForm.PICTURES:
            raise ValueError(f"an encoder of skeletons does not take {self.form}")

    @property
    def window_shape(self) -> tuple[int, ...]:
        """Of one window, float32."""
        return (self.num_frames, NUM_KEYPOINTS, 4)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON-ready data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "SkeletonConfig":
        """The inverse of `to_json`.

        Raises:
            ValueError: unknown fields, or values that do not make a geometry.
        """
        return _validated(cls, fields)


@dataclass(frozen=True)
class EncoderConfig:
    """Geometry of a Hiera video transformer with SignRep's heads. The defaults are the published network.

    Axes of every triple are time, height, width. Sizes are pixels for the image and the patch embedding, tokens for the
    mask units.
    """

    num_frames: int = 16
    """Frames in a window."""
    image_size: int = 224
    """Height and width of a frame, pixels."""
    patch_kernel: Triple = (3, 7, 7)
    patch_stride: Triple = (2, 4, 4)
    patch_padding: Triple = (1, 3, 3)
    stem: tuple[int, ...] = ()
    """Hidden channels of a convolutional stem that takes the patch embedding's place: every layer halves the picture,
    the first does what is left of the patch's size. Empty: the published patch embedding. Patch kernel and padding
    mean nothing beside a stem. Ours: small networks learn fine detail sooner from convolutions (Xiao et al. 2021)."""
    embed_dim: int = 96
    """Channels of the first stage."""
    num_heads: int = 1
    """Attention heads of the first stage."""
    stages: tuple[int, ...] = (2, 3, 16, 3)
    """Blocks per stage. Channels and heads double from one stage to the next."""
    mask_unit: Triple = (1, 8, 8)
    """Tokens of the first stage that are kept, dropped and (early on) attended to together."""
    q_stride: Triple = (1, 2, 2)
    """Pooling between stages."""
    q_pool: int = 2
    """How many stage transitions pool; the later ones only widen the channels. 2 is the layout of Hiera's MAE."""
    local_stages: tuple[bool, ...] = (True, True, False, False)
    """Per stage: attention within a mask unit (True) or over all tokens (False)."""
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    """Stochastic depth of the last block while training; earlier blocks get linearly less."""
    activity_hidden: int = 128
    """Hidden units of the activity head."""
    hand_px: int = 0
    """Side of the square that is cropped around each hand for the hand branch, a second Hiera, in pixels of the frame;
    0: no hand branch. Ours: a hand is a tenth of the picture and most of the sign."""
    hand_stem: tuple[int, ...] = ()
    """Like `stem`, of the hands' network."""
    hand_stages: tuple[int, ...] = ()
    """Like `stages`, as many."""

    def __post_init__(self) -> None:
        """Refuse geometries that do not divide.

        Raises:
            ValueError: a size is not positive, a window does not divide into mask units, or channels not into heads.
        """
        for name in POSITIVE_FIELDS:
            value = getattr(self, name)
            if min(value if isinstance(value, tuple) else (value,), default=0) <= 0:
                raise ValueError(f"{name} is {value}; it must be more than 0")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"{self.embed_dim} channels do not divide into {self.num_heads} heads")
        for axis, pixels, stride, unit in zip(
            ("frames", "rows", "columns"), self.window_size, self.patch_stride, self.mask_unit, strict=True
        ):
            if pixels % (stride * unit):
                raise ValueError(f"{pixels} {axis} of a window do not divide into mask units of {stride * unit}")
        self._check_stem()
        self._check_hands()
        if len(self.stages) != len(self.local_stages):
            raise ValueError(f"{len(self.stages)} stages but {len(self.local_stages)} entries in local_stages")
        if not 0 <= self.q_pool < len(self.stages):
            raise ValueError(
                f"q_pool is {self.q_pool}; {len(self.stages)} stages have {len(self.stages) - 1} transitions"
            )
        for unit, stride in zip(self.mask_unit, self.q_stride, strict=True):
            if unit % stride**self.q_pool:
                raise ValueError(
                    f"a mask unit of {self.mask_unit} can't be pooled {self.q_pool} times by {self.q_stride}"
                )

    def _check_stem(self) -> None:
        rows, columns = self.patch_stride[1:]
        if self.stem and (rows != columns or rows % 2 ** (len(self.stem) + 1)):
            raise ValueError(
                f"a stem of {len(self.stem) + 1} layers, each halving, makes square patches of a multiple of"
                f" {2 ** (len(self.stem) + 1)} pixels; patch_stride is {self.patch_stride}"
            )

    def _check_hands(self) -> None:
        if not self.hand_px:
            return
        if self.hand_px > self.image_size:
            raise ValueError(f"hand_px is {self.hand_px}; a frame has {self.image_size} pixels")
        if len(self.hand_stages) != len(self.stages):
            raise ValueError(f"hand_stages has {len(self.hand_stages)} entries; stages has {len(self.stages)}")
        try:
            self.hand_config  # noqa: B018 says what does not divide
        except ValueError as error:
            raise ValueError(f"of the hands' network: {error}") from error

    @property
    def form(self) -> WindowForm:
        """What windows are made of."""
        return WindowForm.PICTURES

    @property
    def window_shape(self) -> tuple[int, ...]:
        """Of one window, uint8."""
        return (*self.window_size, 3)

    @property
    def window_size(self) -> Triple:
        """Frames, rows and columns of a window."""
        return (self.num_frames, self.image_size, self.image_size)

    @property
    def token_grid(self) -> Triple:
        """Tokens of the first stage along time, height, width."""
        t, h, w = (size // stride for size, stride in zip(self.window_size, self.patch_stride, strict=True))
        return (t, h, w)

    @property
    def unit_grid(self) -> Triple:
        """Mask units along time, height, width; they are numbered row-major over this grid."""
        t, h, w = (tokens // unit for tokens, unit in zip(self.token_grid, self.mask_unit, strict=True))
        return (t, h, w)

    @property
    def num_units(self) -> int:
        """Mask units of a window."""
        t, h, w = self.unit_grid
        return t * h * w

    @property
    def dim(self) -> int:
        """Channels of the last stage, which is also the size of an embedding."""
        return self.embed_dim * int(2 ** (len(self.stages) - 1))

    @property
    def hand_config(self) -> "EncoderConfig":
        """The geometry of the hands' network: one mask unit, the same channels."""
        patch_px = 2 ** (len(self.hand_stem) + 1)
        return dataclasses.replace(
            self,
            image_size=self.hand_px,
            stem=self.hand_stem,
            stages=self.hand_stages,
            patch_stride=(self.patch_stride[0], patch_px, patch_px),
            mask_unit=(self.mask_unit[0], self.hand_px // patch_px, self.hand_px // patch_px),
            hand_px=0,
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON-ready data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "EncoderConfig":
        """The inverse of `to_json`.

        Raises:
            ValueError: unknown fields, or values that do not make a geometry.
        """
        return _validated(cls, fields)


Config = TypeVar("Config", EncoderConfig, SkeletonConfig)


def _validated(cls: type[Config], fields: dict[str, Any]) -> Config:
    """A geometry from JSON data.

    Raises:
        ValueError: unknown fields, or values that do not make a geometry.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(fields) - known):
        raise ValueError(f"unknown encoder fields {unknown}; known are {sorted(known)}")
    try:
        return TypeAdapter(cls).validate_python(fields)
    except ValidationError as error:
        raise ValueError(
            "; ".join(_error_message(detail["loc"], detail["msg"]) for detail in error.errors())
        ) from error


def _error_message(place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(map(str, place))
    return f"{where}: {message}" if where else message.removeprefix("Value error, ")


def base() -> EncoderConfig:
    """The published SignRep: Hiera-Base, 224 pixels, 768 channels, 51.5 M parameters."""
    return EncoderConfig()


def small() -> EncoderConfig:
    """A laptop's encoder: half the channels, half the depth, 384-dimensional embeddings."""
    return EncoderConfig(embed_dim=48, stages=(1, 2, 7, 2))


def tiny() -> EncoderConfig:
    """For tests and first tries: 128 pixels, 192-dimensional embeddings, under 1 M parameters."""
    return EncoderConfig(image_size=128, embed_dim=24, stages=(1, 2, 3, 1))


def compact() -> EncoderConfig:
    """Two frames of 256 pixels seen coarsely, their hands by the hand branch; what ships has five more blocks."""
    return EncoderConfig(
        num_frames=2,
        image_size=256,
        patch_stride=(2, 16, 16),
        stem=(32, 64),
        embed_dim=96,
        num_heads=2,
        stages=(1, 2),
        q_pool=1,
        local_stages=(True, False),
        mask_unit=(1, 4, 4),
        hand_px=96,
        hand_stem=(32, 64),
        hand_stages=(2, 3),
    )


PRESETS = {"base": base, "small": small, "compact": compact, "tiny": tiny}
