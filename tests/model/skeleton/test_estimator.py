"""The seam before MediaPipe; MediaPipe itself is tried in tests/pose."""

import importlib.util
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from model.encoder import Frames
from model.errors import EstimatorError, NoSignerError
from model.skeleton.estimator import (
    FrameLandmarks,
    MediaPipeEstimator,
    SharedEstimator,
    open_estimator,
    require_mediapipe,
    shared_estimator,
    stack_landmarks,
)
from tests import signers


class GreySeer:
    """A Holistic whose every landmark is at the picture's grey; a right hand in bright pictures, a left one never."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def process(self, image: Frames) -> SimpleNamespace:
        grey = image.mean() / 255
        mark = SimpleNamespace(x=grey, y=2 * grey, z=3 * grey, visibility=0.9)
        return SimpleNamespace(
            pose_landmarks=SimpleNamespace(landmark=[mark] * 33),
            pose_world_landmarks=None,
            left_hand_landmarks=None,
            right_hand_landmarks=SimpleNamespace(landmark=[mark] * 21) if grey > 0.5 else None,
        )

    def reset(self) -> None:
        self.calls.append("reset")

    def close(self) -> None:
        self.calls.append("close")


def picture(grey: int) -> Frames:
    return np.full((4, 4, 3), grey, np.uint8)


def test_what_mediapipe_finds_becomes_numbers_and_what_it_does_not_none() -> None:
    holistic = GreySeer()
    estimator = MediaPipeEstimator(holistic)
    estimator.start_clip()
    dark, bright = estimator.find(picture(51)), estimator.find(picture(204))
    estimator.close()
    assert dark.pose == pytest.approx(np.tile([0.2, 0.4, 0.6, 0.9], (33, 1)))
    assert bright.right == pytest.approx(np.tile([0.8, 1.6, 2.4, 0.9], (21, 1)))
    assert [np.isnan(part).all() for part in (dark.world, dark.left, dark.right, bright.left)] == [True] * 4
    assert (dark.world.shape, dark.left.shape) == ((33, 4), (21, 4))
    assert holistic.calls == ["reset", "close"]


def test_nobody_in_any_picture_is_said() -> None:
    nothing = MediaPipeEstimator(GreySeer()).find(picture(200))
    with pytest.raises(NoSignerError, match="nobody was found in any of the 3 frames"):
        stack_landmarks([nothing] * 3, [0.0, 0.1, 0.2], fps=10, size=(4, 4))
    someone = FrameLandmarks(nothing.pose, nothing.pose, nothing.left, nothing.right)
    found = stack_landmarks([nothing, someone], [0.0, 0.1], fps=10, size=(4, 4))
    assert found.times_s.tolist() == [0.0, 0.1]
    assert np.isfinite(found.world[:, 0, 0]).tolist() == [False, True]


def test_without_mediapipe_it_says_which_group_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.skeleton.estimator.find_spec", lambda name: None)
    with pytest.raises(EstimatorError, match=r"dependency group `pose`.*make \.venv-pose/\.ready.*libgl1"):
        require_mediapipe()
    with pytest.raises(EstimatorError, match="not installed"):
        open_estimator("model.skeleton.estimator:open_mediapipe")


def test_an_estimator_is_opened_by_its_name() -> None:
    assert isinstance(open_estimator(signers.NAME), signers.ColourSeer)
    assert importlib.util.find_spec("tests.signers") is not None
    assert shared_estimator(signers.NAME) is shared_estimator(signers.NAME)


def test_threads_take_turns_with_the_estimator_of_a_process() -> None:
    shared = SharedEstimator(signers.NAME)
    waiting, got = threading.Event(), []

    def second() -> None:
        waiting.set()
        with shared.acquire() as estimator:
            got.append(estimator)

    with shared.acquire() as first:
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        thread.join(0.2)
        assert got == []
    thread.join(10)
    assert got == [first]
