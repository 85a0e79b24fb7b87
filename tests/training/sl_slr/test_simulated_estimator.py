"""The estimator that never was."""

import numpy as np
import pytest

from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND
from tests.posed import keypoints_of, raised_arm
from training.sl_slr import simulated_estimator as estimator
from training.sl_slr.simulated_estimator import RecordingConditions, random_conditions, simulate_estimator

STRAIGHT = RecordingConditions(np.zeros(3), 1.0, 1.0, 1.0, hips=True)


def test_without_errors_what_is_seen_is_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JITTER_M", "WANDER_M"):
        monkeypatch.setattr(estimator, name, 0.0)
    world = keypoints_of(raised_arm()) + np.array([1.0, 2.0, 3.0])
    seen, confidence = simulate_estimator(world, STRAIGHT, np.random.default_rng(0), 25.0)
    found = np.isfinite(seen)
    np.testing.assert_allclose(seen[found], (world - world[:, [6, 7]].mean(axis=1, keepdims=True))[found], atol=1e-9)
    assert np.isfinite(seen[:, : LEFT_HAND.start - 21]).all()
    assert (confidence[:, :8] == 1).all()


def test_raised_hands_are_lost_seldom_and_shortly_low_ones_mostly() -> None:
    world = keypoints_of(raised_arm(4000))
    seen, confidence = simulate_estimator(world, STRAIGHT, np.random.default_rng(0), 25.0)
    raised, low = np.isnan(seen[:, RIGHT_HAND.start + 5, 0]), np.isnan(seen[:, LEFT_HAND.start + 5, 0])
    assert raised.mean() == pytest.approx(0.05, abs=0.02)
    assert low.mean() == pytest.approx(0.89, abs=0.05)
    starts = raised & ~np.roll(raised, 1)
    assert raised.sum() / starts.sum() == pytest.approx(2.0, abs=0.5)
    np.testing.assert_array_equal(confidence[:, RIGHT_HAND.start + 5] == 0, raised)
    assert np.isfinite(seen[:, RIGHT_HAND.start]).all()


def test_a_hands_depth_is_flattened_and_the_bodys_is_not() -> None:
    world = keypoints_of(raised_arm(200))
    flat = RecordingConditions(np.zeros(3), 1.0, 1.0, 0.3, hips=True)
    depths = []
    for conditions in (STRAIGHT, flat):
        seen, _ = simulate_estimator(world, conditions, np.random.default_rng(0), 25.0)
        hand = seen[:, RIGHT_HAND] - seen[:, RIGHT_HAND.start, None]
        depths.append(np.nanstd(hand[:, 1:, 2]))
    assert depths[1] / depths[0] == pytest.approx(0.3, abs=0.1)


def test_hips_out_of_the_picture_have_no_confidence() -> None:
    world = keypoints_of(raised_arm(10))
    _, confidence = simulate_estimator(
        world, RecordingConditions(np.zeros(3), 1.0, 1.0, 1.0, hips=False), np.random.default_rng(0), 25.0
    )
    assert (confidence[:, 6:8] == 0).all()


def test_cameras_differ_but_stay_before_the_signer() -> None:
    filmings = [random_conditions(np.random.default_rng(seed)) for seed in range(300)]
    turns = np.rad2deg([conditions.turn for conditions in filmings])
    assert np.abs(turns).max() <= 16.0
    assert turns[:, 1].std() == pytest.approx(8.0, abs=1.5)
    assert np.mean([conditions.hips for conditions in filmings]) == pytest.approx(0.42, abs=0.1)
