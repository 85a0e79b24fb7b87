from pathlib import Path

import numpy as np
import pytest

from tests.training.contrastive.made_up import points
from tests.training.synth.reenactment.test_reenact import detected, saved
from training.evaluate.activity import ActivityCurve, active_at, draw, summarise


def curve(weight: list[float], rest: str) -> ActivityCurve:
    """`r` rest, `g` missing, `s` stroke, `.` nothing of all that."""
    return ActivityCurve(
        "a",
        np.arange(len(weight), dtype=np.float32),
        np.array(weight, np.float32),
        np.array([letter == "r" for letter in rest]),
        np.array([letter == "g" for letter in rest]),
        np.array([letter == "s" for letter in rest]),
    )


def test_rest_and_stroke_are_counted_apart_over_all_clips() -> None:
    good = curve([0.0, 0.1, 0.5, 0.9, 0.95, 0.3], "rr.ss.")
    restless = curve([0.6, 0.5, 0.9, 0.7], "rrss")
    found = summarise([good, restless])
    assert (found.num_rest, found.num_stroke) == (4, 4)
    assert found.rest_low == 0.5
    assert found.rest_median == pytest.approx(0.3)
    assert found.stroke_high == 0.75
    assert found.num_clips_right == 1


def test_windows_without_a_hand_are_counted_apart() -> None:
    found = summarise([curve([0.0, 0.1, 0.5, 0.3, 0.9], "ggrgs"), curve([0.0, 0.9], "gs")])
    assert (found.num_missing, found.num_rest) == (4, 1)
    assert (found.missing_low, found.rest_low) == (0.75, 0.0)
    assert found.num_clips_right == 2
    assert summarise([curve([0.9, 0.9], "gs")]).num_clips_right == 0


def test_hands_that_the_landmarks_do_not_have_are_gone(tmp_path: Path) -> None:
    found = detected(points(40))
    for lost, missing in (((), [False, False]), (("left",), [False, False]), (("left", "right"), [True, True])):
        without = found | {name: np.full_like(found[name], np.nan) for name in lost}
        assert active_at(saved(tmp_path, without), np.array([0.4, 1.0], np.float32))[2].tolist() == missing


def test_a_clip_without_rest_has_only_to_rise() -> None:
    assert summarise([curve([0.9, 0.9], "ss")]).num_clips_right == 1
    assert summarise([curve([0.5, 0.5], "ss")]).num_clips_right == 0


def test_the_plot_shows_rest_and_weight() -> None:
    pixels = np.asarray(draw([curve([0.0, 0.0, 1.0, 1.0], "rrss"), curve([0.0, 1.0], "rs"), curve([1.0, 1.0], "ss")]))
    assert pixels.shape == (240, 760, 3)
    assert (pixels[60, 40] == (228, 232, 238)).all(), "rest is grey"
    assert (pixels[60, 340] == (212, 236, 214)).all(), "the stroke is green"
    lines = np.argwhere((pixels[:120, :380] == (20, 90, 170)).all(axis=-1))
    assert lines[lines[:, 1] < 80][:, 0].min() > 90, "nothing counts at the beginning"
    assert lines[lines[:, 1] > 300][:, 0].max() < 40, "and everything at the end"
