"""Orientation, aspect and colours of single pictures, through real files."""

import io
import itertools
from fractions import Fraction

import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorTrc

from model.video import open_frames
from tests.clips import flat, write_changing, write_clip

COLOURS = {(-1, -1): (220, 40, 40), (1, -1): (40, 200, 40), (-1, 1): (50, 50, 220), (1, 1): (230, 230, 230)}
"""Of the corners of a picture: (left or right, top or bottom)."""


def corners(width: int, height: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    for (x, y), colour in COLOURS.items():
        rows = slice(0, height // 2) if y < 0 else slice(height // 2, None)
        columns = slice(0, width // 2) if x < 0 else slice(width // 2, None)
        picture[rows, columns] = colour
    return picture


def first_frame(pictures, *, size=48, **how):
    file = io.BytesIO()
    write_clip(file, pictures, **how)
    with open_frames(file, fps=25, size=size) as stream:
        frames = list(stream)
    return frames[0], stream


TURNS = [(a, b, c, d) for a, b, c, d in itertools.product((-1, 0, 1), repeat=4) if abs(a) == abs(d) != abs(b) == abs(c)]


@pytest.mark.parametrize("turn", TURNS)
def test_a_picture_is_turned_and_mirrored_as_its_file_says(turn):
    """ISO 14496-12: the point (x, y) is displayed at (a x + c y, b x + d y)."""
    a, b, c, d = turn
    one = 1 << 16
    frame, stream = first_frame([corners(96, 64)], matrix=[a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30])
    for (x, y), colour in COLOURS.items():
        column, row = a * x + c * y, b * x + d * y
        seen = frame[24 + row * 14, 24 + column * 14]
        assert np.abs(seen.astype(int) - colour).max() < 30, (turn, (x, y))
    assert (stream.info.width, stream.info.height) == ((96, 64) if a else (64, 96))


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "degrees"), [(1, 0, 0, 1, 0), (0, 1, -1, 0, 90), (-1, 0, 0, -1, 180), (0, -1, 1, 0, 270)]
)
def test_the_turn_is_told_clockwise(a, b, c, d, degrees):
    one = 1 << 16
    _, stream = first_frame([corners(96, 64)], matrix=[a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30])
    assert stream.info.rotation_deg == degrees


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1, 2), Fraction(64, 45)])
def test_pixels_that_are_not_square_are_made_square(aspect):
    width, height = 120, 96
    picture = flat(30, width=width, height=height)
    half_width = round(24 / aspect) if aspect > 1 else 24
    half_height = 24 if aspect > 1 else round(24 * aspect)
    picture[48 - half_height : 48 + half_height, 60 - half_width : 60 + half_width] = 220
    frame, stream = first_frame([picture], sample_aspect=aspect)
    bright = frame[..., 1] > 125
    assert np.ptp(np.flatnonzero(bright.any(0))) == pytest.approx(np.ptp(np.flatnonzero(bright.any(1))), abs=2)
    assert (stream.info.width, stream.info.height) == (round(width * aspect), height)


def test_shrinking_averages_what_it_leaves_out():
    rng = np.random.default_rng(1)
    coarse = rng.integers(40, 216, (8, 8, 1))
    picture = (
        np.clip(coarse.repeat(40, 0).repeat(40, 1) + rng.normal(0, 15, (320, 320, 1)), 0, 255)
        .astype(np.uint8)
        .repeat(3, 2)
    )
    frame, _ = first_frame([picture], size=32, codec="ffv1", container="matroska", pixel_format="bgr0")
    averages = picture.reshape(32, 10, 32, 10, 3).mean((1, 3))
    assert np.abs(frame - averages).max() < 3


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp10le", "gray", "bgr0", "yuv420p16le"]
)
def test_every_pixel_format_shows_the_same_grey(pixel_format):
    frame, _ = first_frame([flat(150)], codec="ffv1", container="matroska", pixel_format=pixel_format)
    assert np.abs(frame.astype(int) - 150).max() <= 2


def test_full_range_and_limited_range_look_the_same():
    limited, _ = first_frame([corners(96, 64)], codec="libx264", pixel_format="yuv420p")
    full, _ = first_frame(
        [corners(96, 64)], codec="mjpeg", container="avi", pixel_format="yuvj420p", options={"q": "2"}
    )
    assert np.abs(limited.astype(int) - full).mean() < 4


def test_transparent_pixels_are_laid_over_black():
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[..., :3] = 200
    picture[:, :16, 3] = 255
    picture[16:, 16:, 3] = 128
    frame, _ = first_frame(
        [picture], codec="ffv1", container="matroska", pixel_format="bgra", picture_format="rgba", size=32
    )
    assert abs(int(frame[8, 4, 0]) - 200) <= 2
    assert frame[8, 28, 0] == 0
    assert abs(int(frame[28, 28, 0]) - 100) <= 2


def test_pictures_that_change_their_shape_are_fitted_and_warned_about():
    file = io.BytesIO()
    write_changing(file, [flat(100, width=64, height=64)] * 3 + [flat(100, width=64, height=32)] * 3)
    with open_frames(file, fps=25, size=48) as stream:
        frames = list(stream)
    assert [frame.shape for frame in frames] == [(48, 48, 3)] * 6
    assert any("change their shape" in warning for warning in stream.warnings)


# HDR: BT.2100's and BT.2087's formulas, typed in again; SDR white is laid at 203 nits as BT.2408 recommends.

BT709_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def hlg_signal(nits):
    light = nits / 1000
    luminance = light @ np.array([0.2627, 0.6780, 0.0593])
    scene = light * np.maximum(luminance, 1e-9)[..., None] ** ((1 - 1.2) / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def pq_signal(nits):
    power = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@pytest.mark.parametrize(
    ("signal", "transfer"), [(hlg_signal, ColorTrc.ARIB_STD_B67), (pq_signal, ColorTrc.SMPTE2084)], ids=["HLG", "PQ"]
)
def test_hdr_looks_like_the_ordinary_picture_it_was_made_from(signal, transfer):
    rng = np.random.default_rng(3)
    ordinary = rng.integers(20, 235, (4, 6, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    hdr = signal((ordinary / 255) ** 2.4 @ BT709_TO_BT2020.T * 203)
    colour = {"color_trc": transfer, "color_primaries": ColorPrimaries.BT2020}
    frame, stream = first_frame(
        [np.round(np.clip(hdr, 0, 1) * 65535).astype(np.uint16)],
        codec="ffv1",
        container="matroska",
        pixel_format="gbrp10le",
        picture_format="rgb48le",
        colour=colour,
        size=64,
    )
    wanted = ordinary[:, 16:80][8::16, 8::16].astype(int)
    error = np.abs(frame[8::16, 8::16] - wanted)
    assert error.mean() < 2
    assert np.percentile(error, 90) <= 6  # nearly black parts of saturated colours are less exact
    assert any("HDR" in warning for warning in stream.warnings)
