"""A decoded picture as the person who filmed it sees it: upright, square pixels, ordinary colours, small."""

import functools
import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from model.encoder import Frames
from model.errors import VideoTooLargeError

MAX_ASPECT = 4.0
"""Long side over short side, as displayed; more is no camera's picture, and the reduced one would be huge."""
HDR_TRANSFERS = (ColorTrc.ARIB_STD_B67, ColorTrc.SMPTE2084)
UNSPECIFIED_MATRIX = 2
"""`AVCOL_SPC_UNSPECIFIED`, for which PyAV has no name."""
HD_ROWS = 576
"""Pictures with more rows and no word about their colour matrix are BT.709, as players take it."""
BLOCK = (128, 1024)
"""Rows and columns of a block of pixels whose colours are converted together."""

# Full chroma resolution and rounding: without them swscale's RGB comes out up to two levels too dark.
EXACT = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


@dataclass(frozen=True)
class Orientation:
    """How a coded picture is turned for display: first transposed, then flipped."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, picture: VideoFrame) -> "Orientation":
        """The orientation that the picture's display matrix asks for, to the nearest quarter turn.

        The matrix (a b; c d) takes the coded column x and row y to column a x + c y and row b x + d y.
        """
        matrix: Any = picture.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
        return cls(flip_rows=d < 0, flip_columns=a < 0)

    @property
    def rotation_deg(self) -> int:
        """The clockwise turn of the coded picture's rows; a mirrored picture is mirrored after it."""
        if self.transpose:
            return 270 if self.flip_rows else 90
        return 180 if self.flip_columns else 0

    def apply(self, pixels: Frames) -> Frames:
        """A view of [rows, columns, 3] pixels, turned."""
        if self.transpose:
            pixels = pixels.transpose(1, 0, 2)
        return pixels[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


class Reducer:
    """Turns a video's decoded pictures into small upright RGB, all of one shape.

    Attributes:
        width, height: pixels of the first picture as displayed.
        shape_changed: a later picture had another aspect and was squeezed into the shape of the first.
        was_hdr: pictures were converted from HDR.
    """

    def __init__(self, first: VideoFrame, sample_aspect: float, size: int) -> None:
        """Fix the shape by the first picture: its shorter side becomes `size` pixels.

        Raises:
            VideoTooLargeError: the picture is more than four times as long as wide.
        """
        self.orientation = Orientation.of(first)
        self.shape_changed = False
        self.was_hdr = False
        self._coded_aspect = first.width / first.height
        width, height = first.width * sample_aspect, float(first.height)
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise VideoTooLargeError(
                f"the pictures are displayed as {width:.0f} x {height:.0f} pixels; the long side may be at most "
                f"{MAX_ASPECT:g} times the short one: export the video in an ordinary shape"
            )
        scale = size / min(width, height)
        self._reduced = max(size, round(width * scale)), max(size, round(height * scale))
        shown = round(width), round(height)
        self.width, self.height = shown[::-1] if self.orientation.transpose else shown
        self._scaler = VideoReformatter()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of every reduced picture."""
        columns, rows = self._reduced
        return (columns, rows) if self.orientation.transpose else (rows, columns)

    def __call__(self, picture: VideoFrame) -> Frames:
        """Reduce one picture: a single pass of swscale from what was decoded.

        Returns:
            [rows, columns, 3] uint8 RGB, the shorter side `size`; not always contiguous.
        """
        self.shape_changed |= not math.isclose(picture.width / picture.height, self._coded_aspect, rel_tol=0.02)
        if _is_hdr(picture):
            self.was_hdr = True
            wide = self._scale(picture, "rgb48le")
            return self.orientation.apply(_to_sdr(wide, picture.color_trc, picture.color_primaries))
        if any(part.is_alpha for part in picture.format.components):
            return self.orientation.apply(_over_black(self._scale(picture, "rgba")))
        return self.orientation.apply(self._scale(picture, "rgb24"))

    def _scale(self, picture: VideoFrame, pixel_format: str) -> NDArray[Any]:
        width, height = self._reduced
        shrinks = width < picture.width
        reduced = self._scaler.reformat(
            picture,
            width=width,
            height=height,
            format=pixel_format,
            src_colorspace=_matrix(picture),
            interpolation=(Interpolation.AREA if shrinks else Interpolation.BICUBIC) | EXACT,
            threads=1,
        )
        pixels: NDArray[Any] = reduced.to_ndarray()
        return pixels


def _matrix(picture: VideoFrame) -> int | None:
    """The colour matrix to assume; None where the picture names its own."""
    if picture.colorspace != UNSPECIFIED_MATRIX:
        return None
    return Colorspace.ITU709 if picture.height > HD_ROWS else Colorspace.ITU601


def _is_hdr(picture: VideoFrame) -> bool:
    return picture.color_trc in HDR_TRANSFERS


def _over_black(rgba: NDArray[np.uint8]) -> Frames:
    """Lay transparent pixels over black, as players do."""
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return colour
    return (colour * (alpha / np.float32(255)) + np.float32(0.5)).astype(np.uint8)


def _to_sdr(wide: NDArray[np.uint16], transfer: int, primaries: int) -> Frames:
    """Map HDR colours to BT.709 with diffuse white (203 nits, BT.2408) as white.

    swscale works out a colour mapping for over a second, anew for each picture size. Colours are mapped pixel by pixel,
    so they are handed over in blocks of one size, and the mapping is worked out once per process.
    """
    pixels = wide.reshape(-1, 3)
    mapped = np.empty(pixels.shape, np.uint8)
    per_block = BLOCK[0] * BLOCK[1]
    for start in range(0, len(pixels), per_block):
        part = pixels[start : start + per_block]
        mapped[start : start + per_block] = _sdr_mapper(transfer, primaries)(part)
    return mapped.reshape(wide.shape)


class SdrMapper:
    """Maps blocks of HDR pixels to SDR; may be shared between threads."""

    def __init__(self, transfer: int, primaries: int) -> None:
        self._transfer = transfer
        self._primaries = primaries
        self._lock = threading.Lock()
        self._converter = VideoReformatter()

    def __call__(self, pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """[N, 3] uint16 in the HDR signal, at most one block, to [N, 3] uint8 in BT.709."""
        block = np.zeros((*BLOCK, 3), np.uint16)
        block.reshape(-1, 3)[: len(pixels)] = pixels
        picture = VideoFrame.from_ndarray(block, "rgb48le")
        picture.color_trc = self._transfer
        picture.color_primaries = self._primaries
        with self._lock:
            mapped = self._converter.reformat(
                picture,
                format="rgb24",
                dst_color_trc=ColorTrc.BT709,
                dst_color_primaries=ColorPrimaries.BT709,
                threads=1,
            )
        blocks: NDArray[Any] = mapped.to_ndarray()
        return blocks.reshape(-1, 3)[: len(pixels)]


@functools.lru_cache(maxsize=8)
def _sdr_mapper(transfer: int, primaries: int) -> SdrMapper:
    return SdrMapper(transfer, primaries)
