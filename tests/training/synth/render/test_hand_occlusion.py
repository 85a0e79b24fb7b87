"""The rods that keep light from what is near a hand, against keypoints and against pictures without them."""

import dataclasses

import numpy as np
import pytest

from training.synth.motion.expression import about_x
from training.synth.people.rig import LEFT_HAND, RIGHT_HAND, pose_bones, pose_landmarks
from training.synth.render.hand_occlusion import HAND_BONES, REACH_M, hand_capsules, posed_capsules


@pytest.fixture
def hand_before_chest(figure, rest):
    rotations = rest(figure.rig)
    rotations[:, figure.rig.bone("upperarm01.R")] = about_x(np.array([-0.9]))
    rotations[:, figure.rig.bone("lowerarm01.R")] = np.array([[[0.2, 0, 0.98], [0, 1, 0], [-0.98, 0, 0.2]]])
    return pose_bones(figure.rig, rotations)


def test_rods_lie_where_the_keypoints_of_the_fingers_are(figure, hand_before_chest):
    table = posed_capsules(hand_capsules(figure), hand_before_chest)
    keypoints = pose_landmarks(figure.rig, hand_before_chest)
    first = 1 + HAND_BONES.index("finger1-1")
    for hand, part in enumerate((LEFT_HAND, RIGHT_HAND)):
        fingers = keypoints[0, part][1:].reshape(5, 4, 3)
        heads = table[0, hand, first:, 0, :3].reshape(5, 3, 3)
        np.testing.assert_allclose(heads, fingers[:, :3], atol=1e-5)
        np.testing.assert_allclose(table[0, hand, -1, 1, :3], fingers[4, 3], atol=1e-5)


def test_a_hands_ball_holds_all_its_rods_and_what_is_near_them(figure, hand_before_chest):
    table = posed_capsules(hand_capsules(figure), hand_before_chest)[0]
    for hand in table:
        away = np.linalg.norm(hand[1:, :, :3] - hand[0, 0, :3], axis=-1)
        assert away.max() + REACH_M == pytest.approx(hand[0, 0, 3], rel=1e-5)


def test_rods_are_as_thick_as_fingers_and_forearms(figure):
    radii = hand_capsules(figure).radii.reshape(2, -1)
    fingers = radii[:, HAND_BONES.index("finger1-1") :]
    assert ((fingers > 0.004) & (fingers < 0.015)).all()
    assert (radii[:, 0] > fingers.max(axis=1)).all()
    np.testing.assert_allclose(radii[0], radii[1], rtol=0.1)


@pytest.mark.gl
def test_fingers_darken_each_other_and_nothing_gets_brighter(gl, figure, hand_before_chest, plain_scene):
    from training.synth.render.renderer import Renderer

    renderer = Renderer(96, 96, batch_frames=1)
    body = renderer.load(figure)
    nothing = dataclasses.replace(body.capsules, radii=np.zeros_like(body.capsules.radii))
    near, bare = (
        renderer.render(shown, hand_before_chest, plain_scene())[0].astype(int)
        for shown in (body, dataclasses.replace(body, capsules=nothing))
    )
    renderer.close()
    assert ((bare - near).max(2) > 5).sum() > 15
    assert (near - bare).max() <= 1
