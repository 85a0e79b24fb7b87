"""The face: gaze, blinks, mouth."""

import numpy as np
import pytest

from training.synth.motion.expression import blinks, with_face
from training.synth.people.mannequin_rig import mannequin_rig
from training.synth.people.rig import Performance, pose_bones


@pytest.fixture
def performance(rest):
    def make(rig, **face):
        return Performance(rotations=rest(rig, 100), fps=25.0, gloss="X", **face)

    return make


def test_blinks_are_short_and_seldom():
    closed = np.stack([blinks(250, 25.0, np.random.default_rng(seed)) for seed in range(20)])
    assert closed.max() > 0.9
    assert 0.02 < (closed > 0.2).mean() < 0.15


def test_the_eyes_look_where_the_gaze_points(performance):
    rig = mannequin_rig()
    gaze = np.tile(np.float32([0.3, 0.2]), (100, 1))
    transforms = pose_bones(rig, with_face(performance(rig, gaze=gaze), rig, np.random.default_rng(0)))
    look = transforms[0, rig.bone("eye.L"), :, :3] @ [0, 0, 1]
    assert look[0] > 0.25  # the person's left
    assert look[1] > 0.15  # up


def test_an_open_mouth_lowers_the_jaw_and_the_performance_is_not_changed(performance, rest):
    rig = mannequin_rig()
    given = performance(rig, mouth_open=np.ones(100, np.float32))
    transforms = pose_bones(rig, with_face(given, rig, np.random.default_rng(0)))
    jaw = rig.bone("jaw")
    tip = transforms[0, jaw, :, :3] @ rig.tails[jaw] + transforms[0, jaw, :, 3]
    assert tip[1] < rig.tails[jaw, 1] - 0.01
    np.testing.assert_array_equal(given.rotations, rest(rig, 100))
