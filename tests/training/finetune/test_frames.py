import numpy as np
import pytest

from training.finetune.frames import TRIMMED, choose_frames


def test_a_window_as_long_as_the_clip_is_the_clip() -> None:
    assert choose_frames(64, 1, 64).tolist() == [list(range(64))]


def test_a_short_clip_is_followed_by_its_last_frame() -> None:
    assert choose_frames(5, 1, 8).tolist() == [[0, 1, 2, 3, 4, 4, 4, 4]]
    assert choose_frames(1, 3, 2).tolist() == [[0, 0]] * 3


def test_a_long_clip_is_taken_in_whole_at_even_steps() -> None:
    numbers = choose_frames(160, 1, 64)[0]
    assert numbers[0] == 0
    assert numbers[-1] == 158
    assert set(np.diff(numbers)) == {2, 3}


def test_several_windows_are_of_consecutive_frames_and_spread_over_the_clip() -> None:
    numbers = choose_frames(50, 4, 2)
    assert np.diff(numbers, axis=1).tolist() == [[1]] * 4
    assert numbers[:, 0].tolist() == [6, 18, 30, 42]  # the middles of four parts of 48 places


@pytest.mark.parametrize(("num_seen", "num_windows", "length"), [(1, 1, 64), (200, 1, 64), (40, 8, 2), (3, 5, 2)])
def test_training_moves_windows_within_the_clip_and_never_twice_alike(
    num_seen: int, num_windows: int, length: int
) -> None:
    drawn = [choose_frames(num_seen, num_windows, length, np.random.default_rng(seed)) for seed in range(30)]
    assert all(numbers.min() >= 0 and numbers.max() < num_seen for numbers in drawn)
    assert all((np.diff(numbers[:, 0]) >= 0).all() for numbers in drawn)
    assert num_seen < length or len({numbers.tobytes() for numbers in drawn}) > 5 or num_seen <= 3
    assert num_windows > 1 or all(num_seen - numbers.max() <= TRIMMED * num_seen + 4 for numbers in drawn)
