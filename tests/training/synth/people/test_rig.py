"""The rig's kinematics, against numbers worked out by hand."""

import numpy as np
import pytest

from training.synth.people.mannequin_rig import mannequin_rig
from training.synth.people.rig import (
    BONE_NAMES,
    LEFT_HAND,
    PARENT_NAMES,
    RIGHT_HAND,
    make_rig,
    pose_bones,
    pose_landmarks,
    trunk_girth,
)

NUM_BONES = len(BONE_NAMES)


def straight_rig():
    """Every bone 0.1 m long, pointing up, its head on the parent's tail."""
    heads = np.zeros((NUM_BONES, 3), np.float32)
    for row, parent in enumerate(PARENT_NAMES.values()):
        if parent:
            heads[row] = heads[BONE_NAMES.index(parent)] + (0.0, 0.1, 0.0)
    return make_rig(heads, heads + np.float32([0, 0.1, 0]), np.zeros((11, 3), np.float32))


def about_z(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)


def test_parents_come_before_their_children():
    rig = straight_rig()
    assert rig.parents[0] == -1
    assert all(parent < row for row, parent in enumerate(rig.parents))


def test_the_rest_pose_leaves_every_point_where_it_is():
    rig = straight_rig()
    transforms = pose_bones(rig, np.broadcast_to(np.eye(3, dtype=np.float32), (2, NUM_BONES, 3, 3)))
    np.testing.assert_allclose(transforms[..., :3], np.broadcast_to(np.eye(3), (2, NUM_BONES, 3, 3)), atol=1e-6)
    np.testing.assert_allclose(pose_landmarks(rig, transforms)[1], rig.landmarks, atol=1e-6)


def test_a_right_angle_at_the_elbow_swings_wrist_and_fingers_about_it():
    rig = straight_rig()
    rotations = np.tile(np.eye(3, dtype=np.float32), (1, NUM_BONES, 1, 1))
    rotations[0, rig.bone("lowerarm01.R")] = about_z(np.pi / 2)
    posed = pose_landmarks(rig, pose_bones(rig, rotations))[0]
    elbow, at_rest = rig.landmarks[1], rig.landmarks[RIGHT_HAND]
    reach = at_rest[:, 1] - elbow[1]
    np.testing.assert_allclose(posed[RIGHT_HAND, 0], elbow[0] - reach, atol=1e-6)
    np.testing.assert_allclose(posed[RIGHT_HAND, 1], np.full(21, elbow[1]), atol=1e-6)
    np.testing.assert_allclose(posed[LEFT_HAND], rig.landmarks[LEFT_HAND], atol=1e-6)


def test_turns_add_up_along_the_chain():
    rig = straight_rig()
    rotations = np.tile(np.eye(3, dtype=np.float32), (1, NUM_BONES, 1, 1))
    for name in ("spine05", "spine03", "head"):
        rotations[0, rig.bone(name)] = about_z(0.2)
    transforms = pose_bones(rig, rotations)
    np.testing.assert_allclose(transforms[0, rig.bone("head"), :, :3], about_z(0.6), atol=1e-6)


def test_an_unknown_bone_is_named():
    with pytest.raises(KeyError, match="no bone is called 'tail'"):
        straight_rig().bone("tail")


def test_the_girth_of_a_coat_of_few_vertices_is_that_of_its_nearest_ones():
    rig = mannequin_rig()
    spine = BONE_NAMES.index("spine03")
    shoulders, hips = rig.landmarks[[0, 3]].mean(axis=0), rig.landmarks[[6, 7]].mean(axis=0)
    heights = np.linspace(shoulders[1], hips[1], 60)
    back = np.stack([np.zeros(60), heights, np.full(60, -0.12)], axis=1)
    front = np.stack([np.zeros(6), heights[::11], np.full(6, 0.15)], axis=1)  # a button every ten centimetres
    sides = np.stack([np.full(60, 0.1), heights, np.zeros(60)], axis=1)
    vertices = np.concatenate([back, front, sides]).astype(np.float32)
    girth = trunk_girth(rig, vertices, np.full(len(vertices), spine))
    assert girth[:, 0].min() > 0.1
    assert girth[:, 1].max() < -0.1
