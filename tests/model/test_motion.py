import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.clip_stream import moving_windows, with_motion
from model.config import base, tiny
from model.motion import block_means, motion, moving_units
from model.windows import Window


def still_window(seed: int = 0, size: int = 128) -> np.ndarray:
    frame = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return np.repeat(frame[None], 16, axis=0)


def test_block_means_agree_with_a_plain_mean() -> None:
    window = np.random.default_rng(0).integers(0, 256, (16, 64, 32, 3), dtype=np.uint8)
    plain = window[..., 1].reshape(16, 8, 8, 4, 8).astype(np.float64).mean(axis=(2, 4))
    np.testing.assert_allclose(block_means(window), plain, rtol=1e-6)


def test_a_frozen_picture_has_no_motion_and_a_moving_patch_has_its_contrast() -> None:
    window = still_window()
    assert motion(block_means(window)) == 0
    window = np.full((16, 128, 128, 3), 100, np.uint8)
    window[8:, 40:48, 40:48] = 120
    assert motion(block_means(window)) == 10  # half the time 100, half 120


def test_the_units_around_what_moves_are_kept() -> None:
    window = np.full((16, 224, 224, 3), 90, np.uint8)
    window[6:, 64:96, 128:160] = 200  # appears in frame 6: unit row 2, column 4; pairs 2 (frames 4, 5) and 3
    kept = moving_units(window, base(), 2)
    assert kept.tolist() == [2 * 49 + 2 * 7 + 4, 3 * 49 + 2 * 7 + 4]


def test_units_are_distinct_even_when_nothing_moves() -> None:
    kept = moving_units(still_window(), tiny(), 50)
    assert len(set(kept.tolist())) == 50
    assert kept.tolist() == sorted(kept.tolist())


@given(
    motions=st.lists(st.sampled_from([0, 0, 1, 30]), min_size=1, max_size=12), still=st.sampled_from([0, 0.6, 3, 99])
)
def test_the_gate_never_drops_every_window(motions: list[int], still: float) -> None:
    windows = []
    for i, amount in enumerate(motions):
        frames = np.full((16, 8, 8, 3), 100, np.uint8)
        frames[8:] += np.uint8(2 * amount)
        windows.append(Window(i, frames))
    passed = [(window.start_frame, amount) for window, amount in moving_windows(with_motion(windows, 0), still)]
    expected = [(i, amount) for i, amount in enumerate(motions) if amount >= still]
    assert passed == (expected or [(motions.index(max(motions)), max(motions))])
