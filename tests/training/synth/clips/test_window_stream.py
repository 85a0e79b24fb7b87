"""Windows for training: 16 frames with their keypoints, the same for a seed."""

import itertools

import numpy as np
import pytest

from training.synth.clips.lexicon import make_signs
from training.synth.clips.preview import grid, motion_sheet, people_sheet
from training.synth.clips.signers import Mannequins
from training.synth.clips.window_stream import stream_windows

pytestmark = pytest.mark.gl
SIGNS = make_signs(3, 5)


def windows(num, **options):
    settings = {"seed": 2, "size": (64, 64), "clips_per_signer": 2} | options
    return list(itertools.islice(stream_windows(SIGNS, Mannequins(), **settings), num))


@pytest.fixture(scope="module")
def some(gl):
    return windows(12)


def test_a_window_has_sixteen_frames_with_keypoints_in_world_and_picture(some):
    for window in some:
        assert (window.frames.shape, window.frames.dtype) == ((16, 64, 64, 3), np.uint8)
        assert window.keypoints.world.shape == (16, 61, 3)
        assert window.keypoints.pixels.shape == (16, 61, 2)
        assert window.keypoints.inside[:, 8].all()  # the nose
        assert window.gloss in {sign.gloss for sign in SIGNS}


def test_signers_and_clips_change(some):
    assert len({window.signer for window in some}) >= 2
    clips = [window.clip for window in some]
    assert clips == sorted(clips)
    assert len(set(clips)) >= 3


def test_the_same_seed_and_worker_give_the_same_windows_and_others_do_not(some):
    again, other_worker, other_seed = windows(3), windows(3, worker=1), windows(3, seed=3)
    for window, same, *others in zip(some, again, other_worker, other_seed, strict=False):
        np.testing.assert_array_equal(window.frames, same.frames)
        np.testing.assert_array_equal(window.keypoints.world, same.keypoints.world)
        assert all((window.frames != other.frames).any() for other in others)


def test_sheets_show_people_and_signs_over_time(gl):
    people = people_sheet(Mannequins(), num=3, seed=1, size_px=64, columns=2)
    assert people.shape == (128, 128, 3)
    motion = motion_sheet(Mannequins(), num=1, seed=1, size_px=64)
    assert motion.shape == (64, 7 * 64, 3)
    assert np.abs(motion[:50, :64].astype(int) - motion[:50, 192:256]).mean() > 1


def test_a_grid_fills_its_last_row_with_black():
    cells = [np.full((2, 3, 3), value, np.uint8) for value in (1, 2, 3)]
    sheet = grid(cells, 2)
    assert sheet.shape == (4, 6, 3)
    assert sheet[2:, 3:].max() == 0
