"""The square crop goes where the movement is, and stays there."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.video import open_frames
from model.video.crop import crop_offset, movement
from tests.clips import flat, moving_square, write_clip

SIZE = 64


@settings(max_examples=25, deadline=None)
@given(centre=st.integers(14, 178), portrait=st.booleans())
def test_a_moving_square_stays_whole_wherever_it_moves(centre, portrait):
    frames = moving_square(12, width=192, height=SIZE, centre=(centre, 32))
    if portrait:
        frames = [frame.transpose(1, 0, 2) for frame in frames]
    offset = crop_offset(frames, SIZE)
    assert 0 <= offset <= 192 - SIZE
    assert offset <= max(0, centre - 14)
    assert offset + SIZE >= min(192, centre + 14)


def test_movement_in_the_middle_leaves_the_crop_in_the_middle():
    assert crop_offset(moving_square(12, width=192, height=SIZE, centre=(96, 32)), SIZE) == (192 - SIZE) // 2


def test_a_still_clip_is_cut_in_the_middle():
    assert crop_offset([flat(90, width=200, height=SIZE)] * 5, SIZE) == (200 - SIZE) // 2
    assert crop_offset([flat(90, width=200, height=SIZE)], SIZE) == (200 - SIZE) // 2


def test_a_portrait_clip_is_cut_where_the_head_is_unless_the_movement_is_elsewhere():
    assert crop_offset([flat(90, width=SIZE, height=200)] * 5, SIZE) == (200 - SIZE) // 4
    low = [frame.transpose(1, 0, 2) for frame in moving_square(12, width=192, height=SIZE, centre=(160, 32))]
    assert crop_offset(low, SIZE) > (192 - SIZE) // 2


def test_a_cut_to_black_is_no_movement():
    frames = moving_square(12, width=192, height=SIZE, centre=(150, 32))
    black = [np.zeros_like(frames[0])] * 2
    np.testing.assert_array_equal(movement([*frames, *black]), movement(frames))


def test_movement_is_counted_where_it_is():
    frames = [flat(90, width=100, height=SIZE) for _ in range(3)]
    frames[1][10:20, 70:75] = 200
    counts = movement(frames)
    np.testing.assert_array_equal(np.flatnonzero(counts), np.arange(70, 75))
    assert counts[72] == 2 * 10


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), noise=st.sampled_from([0, 1, 3, 12, 90]), portrait=st.booleans())
def test_movement_is_what_stands_out_from_the_median_change(seed, noise, portrait):
    rng = np.random.default_rng(seed)
    pictures = [p + rng.normal(0, noise, p.shape) for p in moving_square(5, width=51, height=32, centre=(25, 16))]
    frames = [np.clip(picture, 0, 255).astype(np.uint8) for picture in pictures]
    if portrait:
        frames = [np.ascontiguousarray(frame.transpose(1, 0, 2)) for frame in frames]
    expected = np.zeros(51, int)
    for before, after in itertools.pairwise(frames):
        change = np.abs(after[..., 1].astype(float) - before[..., 1])
        moving = change > max(10, 4 * np.median(change[::2, ::2]))
        if moving.mean() <= 0.5:
            expected += moving.sum(axis=1 if portrait else 0)
    np.testing.assert_array_equal(movement(frames), expected)


@pytest.mark.parametrize("centre", [40, 96, 152])
def test_the_crop_of_a_file_follows_its_movement_and_stays_fixed(centre):
    file = io.BytesIO()
    pictures = moving_square(60, width=192, height=64, centre=(centre, 32), noise=4)
    for picture in pictures:
        picture[:4, ::16] = 255  # marks on the picture's upper edge tell where the crop lies
    write_clip(file, pictures, options={"preset": "ultrafast", "crf": "4"})
    with open_frames(file, fps=25, size=64) as stream:
        frames = list(stream)
    marks = [np.flatnonzero(frame[1, :, 1] > 190) for frame in frames]
    assert len(marks[0]) == 4
    for mark in marks[1:]:
        np.testing.assert_array_equal(mark, marks[0])
    brightest = np.mean([frame[8:, :, 1] > 190 for frame in frames], axis=(0, 1))
    assert brightest[1:-1].sum() > 0.99 * brightest.sum()
    assert brightest.sum() * 56 == pytest.approx(12 * 12, rel=0.3)
