import numpy as np
import pytest

from model.clip_stream import WindowingConfig, moving_windows, with_motion
from model.motion import block_means, motion
from model.windows import Window


def windows_of(levels: list[int]) -> list[Window]:
    """One window of two frames per level: the second is as bright as it says, the first one black."""
    frames = [np.stack([np.zeros((16, 16, 3)), np.full((16, 16, 3), level)]).astype(np.uint8) for level in levels]
    return [Window(number, pixels) for number, pixels in enumerate(frames)]


@pytest.mark.parametrize("neighbours", [0, 1, 4, 9])
def test_motion_is_that_of_the_window_and_its_neighbours(neighbours: int) -> None:
    windows = windows_of([0, 10, 3, 80, 0, 0, 7])
    told = list(with_motion(windows, neighbours))
    assert [window.start_frame for window, _ in told] == list(range(7))
    for number, (_, amount) in enumerate(told):
        around = windows[max(0, number - neighbours) : number + neighbours + 1]
        expected = motion(np.concatenate([block_means(window.frames) for window in around]))
        assert amount == pytest.approx(expected)


def test_a_hold_between_two_movements_counts_as_moving() -> None:
    windows = windows_of([60, 0, 60, *[0] * 20])
    kept = [window.start_frame for window, _ in moving_windows(with_motion(windows, 4), 3.0)]
    assert kept == [0, 1, 2, 3, 4, 5, 6]


def test_of_a_clip_without_motion_one_window_is_left() -> None:
    assert len(list(moving_windows(with_motion(windows_of([0, 1, 0, 0]), 1), 3.0))) == 1


@pytest.mark.parametrize(("num_frames", "stride", "neighbours"), [(16, 2, 0), (2, 2, 4), (1, 1, 8), (8, 8, 1)])
def test_motion_is_measured_over_sixteen_frames_at_least(num_frames: int, stride: int, neighbours: int) -> None:
    windowing = WindowingConfig(fps=25, num_frames=num_frames, size=64, stride_frames=stride)
    assert windowing.num_neighbours == neighbours
    assert num_frames + 2 * neighbours * stride >= 16
