"""The figure made from nothing: a body like any other."""

import numpy as np

from training.synth.people.mannequin import mannequin
from training.synth.people.mannequin_rig import mannequin_rig
from training.synth.people.rig import BONE_NAMES, LEFT_HAND, RIGHT_HAND


def test_it_has_every_bone_and_keypoint_and_is_symmetric():
    rig = mannequin_rig()
    assert rig.names == BONE_NAMES
    mirror = np.array([-1, 1, 1])
    np.testing.assert_allclose(rig.landmarks[RIGHT_HAND], rig.landmarks[LEFT_HAND] * mirror, atol=1e-6)
    np.testing.assert_allclose(rig.landmarks[[0, 1, 2, 6]], rig.landmarks[[3, 4, 5, 7]] * mirror, atol=1e-6)


def test_every_bone_has_a_length_and_fingers_taper_off():
    rig = mannequin_rig()
    lengths = np.linalg.norm(rig.tails - rig.heads, axis=1)
    assert (lengths > 0.005).all()
    for finger in range(1, 6):
        first, second, third = (lengths[rig.bone(f"finger{finger}-{bone}.L")] for bone in (1, 2, 3))
        assert first > second > third


def test_left_is_positive_x_and_it_faces_positive_z():
    rig = mannequin_rig()
    assert rig.landmarks[3, 0] > 0 > rig.landmarks[0, 0]
    assert rig.landmarks[8, 2] > rig.heads[rig.bone("head"), 2]


def test_faces_look_outward(figure):
    a, b, c = (figure.vertices[figure.faces[:, corner]] for corner in range(3))
    outward = (np.cross(b - a, c - a) * figure.normals[figure.faces].sum(1)).sum(1)
    assert (outward >= -1e-9).mean() > 0.99


def test_keypoints_lie_within_the_mesh_they_belong_to(figure):
    distance = np.linalg.norm(figure.vertices[None] - figure.rig.landmarks[:, None], axis=2).min(1)
    assert distance.max() < 0.11  # hip joints lie deep
    assert distance[19:].max() < 0.03


def test_weights_sum_to_one_and_size_and_girth_scale():
    small, large = mannequin(scale=0.9), mannequin(scale=1.1, girth=1.2)
    np.testing.assert_allclose(small.weights.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(large.rig.heads, small.rig.heads * 1.1 / 0.9, rtol=1e-5)
