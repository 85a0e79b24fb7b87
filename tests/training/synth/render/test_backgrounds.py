"""Backgrounds and random scenes: right size, same for the same seed, different otherwise."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from training.errors import AssetError, SceneError
from training.synth.people.mannequin_rig import mannequin_rig
from training.synth.render import backgrounds
from training.synth.render.random_scene import SceneVariation, random_scene, studio_scene
from training.synth.render.scene import Film, sway


@pytest.mark.parametrize("paint", [backgrounds.plain, backgrounds.gradient, backgrounds.room])
def test_a_painter_fills_any_frame_and_repeats_itself_for_a_seed(paint):
    first, again, other = (paint(np.random.default_rng(seed), 160, 90) for seed in (3, 3, 4))
    assert (first.shape, first.dtype) == ((90, 160, 3), np.uint8)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 2


def test_every_thing_a_room_can_hold_is_drawn_in_portrait_and_landscape():
    for size in ((64, 112), (112, 64)):
        rooms = [backgrounds.room(np.random.default_rng(seed), *size) for seed in range(25)]
        assert all(room.shape == (size[1], size[0], 3) for room in rooms)
        assert np.mean([room.std() for room in rooms]) > 15


def test_pictures_of_a_folder_are_cut_to_the_frame(tmp_path):
    Image.new("RGB", (300, 50), (200, 10, 10)).save(tmp_path / "red.png")
    painted = backgrounds.folder(tmp_path)(np.random.default_rng(0), 64, 96)
    assert painted.shape == (96, 64, 3)
    np.testing.assert_allclose(painted.mean((0, 1)), (200, 10, 10), atol=1)


def test_a_folder_without_pictures_and_a_broken_picture_are_named(tmp_path):
    with pytest.raises(AssetError, match="holds no picture"):
        backgrounds.folder(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(AssetError, match=r"broken\.jpg can't be read"):
        backgrounds.folder(tmp_path)(np.random.default_rng(0), 64, 64)


def test_scenes_are_all_valid_and_differ():
    rig = mannequin_rig()
    scenes = [random_scene(np.random.default_rng(seed), rig, 96, 96) for seed in range(60)]
    assert len({scene.camera for scene in scenes}) == len({scene.lights for scene in scenes}) == 60
    assert {scene.film.exposures for scene in scenes} == {1, 8}
    assert {scene.film.crf is None for scene in scenes} == {True, False}


def test_no_variety_gives_straight_cameras_and_clean_film():
    rig = mannequin_rig()
    none = SceneVariation(camera=0, light=0, film=0, blur_exposures=1)
    film = random_scene(np.random.default_rng(1), rig, 96, 96, variation=none).film
    assert dataclasses.replace(film, shutter=0.5) == Film()
    assert studio_scene(rig, 96, 96).camera.eye[0] == pytest.approx(0)


def test_clips_are_filmed_closer_by_up_to_as_much_as_is_said_in_the_same_room():
    rig = mannequin_rig()

    def narrower(seed):
        far, near = (
            random_scene(np.random.default_rng(seed), rig, 96, 96, variation=SceneVariation(closest=closest))
            for closest in (1.0, 1.8)
        )
        assert (near.lights, near.film, near.seed) == (far.lights, far.film, far.seed)
        assert near.camera.eye == far.camera.eye
        return np.tan(np.radians(far.camera.lens_deg / 2)) / np.tan(np.radians(near.camera.lens_deg / 2))

    times = [narrower(seed) for seed in range(40)]
    assert 1.0 <= min(times) < 1.1
    assert 1.7 < max(times) <= 1.8


def test_a_camera_that_steps_back_is_refused():
    with pytest.raises(SceneError, match=r"closest is 0\.5"):
        SceneVariation(closest=0.5)


def test_impossible_film_is_refused_with_the_value_named():
    with pytest.raises(SceneError, match=r"film\.exposures is 40; allowed is 1 to 16"):
        Film(exposures=40)


def test_a_hand_held_camera_wanders_a_little_and_slowly():
    rig = mannequin_rig()
    scene = dataclasses.replace(studio_scene(rig, 96, 96), sway_percent=1.0, seed=5)
    path = sway(scene, 100, 25.0)
    assert 0.002 < np.abs(path).max() <= 0.01
    assert np.abs(np.diff(path, axis=0)).max() < 0.003
    assert np.abs(sway(studio_scene(rig, 96, 96), 10, 25.0)).max() == 0
