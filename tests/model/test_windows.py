from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import EncoderOutputError
from model.pooling import pool, window_weights
from model.windows import slide, window_starts


def numbered(count: int) -> list[np.ndarray]:
    return [np.full((2, 2, 3), i, np.uint8) for i in range(count)]


@given(count=st.integers(1, 120), stride=st.integers(1, 16))
def test_windows_cover_every_frame_in_order(count: int, stride: int) -> None:
    windows = list(slide(numbered(count), 16, stride))
    seen = {int(frame[0, 0, 0]) for window in windows for frame in window.frames}
    assert seen == set(range(count))
    for window in windows:
        expected = np.minimum(np.arange(window.start_frame, window.start_frame + 16), count - 1)
        assert window.frames[:, 0, 0, 0].tolist() == expected.tolist()
        assert window.num_padded == max(0, 16 - count)
    assert [window.start_frame for window in windows] == window_starts(count, 16, stride).tolist()


def test_the_papers_windows_are_all_there() -> None:
    assert window_starts(50, 16, 2).tolist() == list(range(0, 35, 2))


@pytest.mark.parametrize("stride", [0, 17, -1])
def test_a_stride_that_skips_frames_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=f"stride is {stride}"):
        next(slide(numbered(20), 16, stride))


def test_only_one_window_is_held_at_a_time() -> None:
    alive = 0

    class Counted:
        def __init__(self) -> None:
            nonlocal alive
            alive += 1

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    most = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal most
        for _ in range(200):
            frame = np.zeros((1, 1, 3), np.uint8).view(Tagged)
            frame.tag = Counted()
            yield frame
            del frame
            most = max(most, alive)

    for window in slide(frames(), 16, 2):
        del window
    assert most <= 18


class Tagged(np.ndarray):
    """An array that can carry a tag."""


@given(st.data(), st.integers(1, 12))
def test_pooling_ignores_the_order_of_windows(data: st.DataObject, count: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    embeddings = rng.standard_normal((count, 8)).astype(np.float32)
    activity = rng.random((count, 2), dtype=np.float32)
    order = np.array(data.draw(st.permutations(range(count))))
    np.testing.assert_allclose(pool(embeddings, activity), pool(embeddings[order], activity[order]), atol=1e-5)


def test_pooling_is_the_papers_equation() -> None:
    rng = np.random.default_rng(3)
    z, p = rng.standard_normal((7, 5)).astype(np.float32), rng.random((7, 2), dtype=np.float32)
    gamma = [max(left, right) for left, right in p]
    expected = sum(g * row for g, row in zip(gamma, z, strict=True)) / sum(gamma)
    np.testing.assert_allclose(pool(z, p), expected / np.sqrt((expected**2).sum()), rtol=1e-5)


def test_windows_without_activity_do_not_count() -> None:
    z = np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(pool(z, np.array([[0, 0], [0, 0.4], [0, 0]], np.float32)), z[1])


def test_parts_follow_each_other_in_time_and_one_part_is_the_whole() -> None:
    z, activity = np.eye(6, dtype=np.float32), np.ones((6, 2), np.float32)
    parts = pool(z, activity, 3).reshape(3, 6)
    assert parts[0, :2].min() > parts[0, 2:].max()
    assert parts[2, 4:].min() > parts[2, :4].max()
    np.testing.assert_allclose(parts, parts[::-1, ::-1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(parts, axis=1), np.full(3, 3**-0.5), rtol=1e-6)
    np.testing.assert_array_equal(pool(z, activity, 1), pool(z, activity))


def test_parts_hold_as_much_activity_each_wherever_the_stroke_is() -> None:
    rng = np.random.default_rng(4)
    stroke = rng.standard_normal((8, 5)).astype(np.float32)
    rest = rng.standard_normal((9, 5)).astype(np.float32)
    active, idle = np.full((8, 2), 0.9, np.float32), np.full((9, 2), 0.0, np.float32)
    alone = pool(stroke, active, 4)
    for before, after in ((rest, rest[:0]), (rest[:2], rest[2:]), (rest[:0], rest)):
        padded = np.concatenate([before, stroke, after])
        weights = np.concatenate([idle[: len(before)], active, idle[: len(after)]])
        np.testing.assert_allclose(pool(padded, weights, 4), alone, atol=1e-6)


def test_signing_backwards_is_another_vector_only_in_parts() -> None:
    rng = np.random.default_rng(5)
    z, activity = rng.standard_normal((12, 16)).astype(np.float32), np.ones((12, 2), np.float32)
    assert pool(z, activity) @ pool(z[::-1], activity) > 0.999
    assert pool(z, activity, 4) @ pool(z[::-1], activity, 4) < 0.7


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_not_pooled(value: float) -> None:
    z, activity = np.ones((3, 4), np.float32), np.ones((3, 2), np.float32)
    for spoilt in (z, activity):
        before, spoilt[1, 1] = spoilt[1, 1], value
        with pytest.raises(EncoderOutputError, match="no numbers"):
            pool(z, activity)
        spoilt[1, 1] = before


def test_where_no_window_is_active_all_count_the_same() -> None:
    assert window_weights(np.zeros((4, 2), np.float32)).tolist() == [1, 1, 1, 1]
