"""Cameras against the pinhole formula typed again."""

import numpy as np
import pytest

from training.errors import SceneError
from training.synth.people.mannequin_rig import mannequin_rig
from training.synth.render.camera import Camera, frame_signer, project, view_projection


def test_a_point_lands_where_the_pinhole_formula_says():
    camera = Camera((0.0, 1.0, 4.0), (0.0, 1.0, 0.0), 40.0)
    point = np.array([0.5, 1.3, 0.2], np.float32)
    pixels, inside = project(point, view_projection(camera, 640, 360), 640, 360)
    focal = 180 / np.tan(np.radians(20))
    depth = 4.0 - 0.2
    np.testing.assert_allclose(pixels, [320 + focal * 0.5 / depth, 180 - focal * 0.3 / depth], rtol=1e-5)
    assert inside


def test_what_is_behind_the_camera_or_beside_the_picture_is_not_inside():
    matrix = view_projection(Camera((0, 1, 4), (0, 1, 0), 40.0), 100, 100)
    points = np.array([[0, 1, 6], [9, 1, 0], [0, 1, 0]], np.float32)
    assert project(points, matrix, 100, 100)[1].tolist() == [False, False, True]


def test_positive_roll_tips_the_right_side_down():
    points = np.array([[0.5, 1, 0], [-0.5, 1, 0]], np.float32)  # right and left in the picture
    right, left = project(points, view_projection(Camera((0, 1, 4), (0, 1, 0), 40, 10), 100, 100), 100, 100)[0]
    assert right[0] > left[0]
    assert right[1] > left[1]


@pytest.mark.parametrize(("width", "height"), [(640, 360), (480, 480), (360, 640)])
@pytest.mark.parametrize("yaw", [-20.0, 0.0, 20.0])
def test_a_framed_signer_shows_hips_crown_and_elbows(width, height, yaw):
    rig = mannequin_rig()
    camera = frame_signer(rig, aspect=width / height, yaw_deg=yaw, height_m=0.1)
    crown = rig.tails[rig.bone("head")][None]
    points = np.concatenate([rig.landmarks[[0, 1, 3, 4, 6, 7, 8]], crown])
    assert project(points, view_projection(camera, width, height), width, height)[1].all()


def test_a_portrait_leaves_room_for_hands_beside_the_shoulders():
    rig = mannequin_rig()
    beside = rig.landmarks[[0, 3]] + np.float32([[-0.2, 0, 0.15], [0.2, 0, 0.15]])
    matrix = view_projection(frame_signer(rig, aspect=9 / 16), 360, 640)
    assert project(beside, matrix, 360, 640)[1].all()


def test_fill_is_the_share_of_the_picture_between_hips_and_crown():
    rig = mannequin_rig()
    camera = frame_signer(rig, aspect=16 / 9, fill=0.6, lens_deg=20)
    ends = np.stack([rig.landmarks[6:8].mean(0), rig.tails[rig.bone("head")]])
    pixels = project(ends, view_projection(camera, 640, 360), 640, 360)[0]
    assert (pixels[0, 1] - pixels[1, 1]) / 360 == pytest.approx(0.6, abs=0.03)


def test_impossible_cameras_are_refused_with_the_value_named():
    with pytest.raises(SceneError, match="lens_deg is 170"):
        Camera((0, 1, 4), (0, 1, 0), 170)
    with pytest.raises(SceneError, match="also its target"):
        Camera((0, 1, 4), (0, 1, 4), 40)
    with pytest.raises(SceneError, match=r"fill is 1\.5"):
        frame_signer(mannequin_rig(), aspect=1, fill=1.5)
