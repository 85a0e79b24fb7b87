"""What is drawn, against the same figure placed by plain numpy."""

import dataclasses

import moderngl
import numpy as np
import pytest

from training.errors import RenderUnavailableError, SceneError
from training.synth.motion.expression import about_x
from training.synth.people.rig import pose_bones, pose_landmarks
from training.synth.render.camera import frame_signer, project, view_projection
from training.synth.render.gl_resources import open_context
from training.synth.render.motion_blur import exposure_batches, shutter_transforms
from training.synth.render.renderer import Renderer
from training.synth.render.scene import Film, Lights

pytestmark = pytest.mark.gl
WALL = 128


@pytest.fixture(scope="module")
def renderer(gl):
    opened = Renderer(96, 96, batch_frames=4)
    yield opened
    opened.close()


@pytest.fixture
def raised(figure, rest):
    """The right arm lifted further and further, the left forearm turned."""
    rotations = rest(figure.rig, 6)
    angles = np.linspace(0, -1.2, 6)
    c, s = np.cos(angles), np.sin(angles)
    arm = figure.rig.bone("upperarm01.R")
    rotations[:, arm, 0, 0], rotations[:, arm, 0, 1] = c, -s
    rotations[:, arm, 1, 0], rotations[:, arm, 1, 1] = s, c
    rotations[:, figure.rig.bone("lowerarm01.L")] = about_x(np.linspace(0, -1.0, 6))
    return pose_bones(figure.rig, rotations)


def skinned(body, transforms):
    """Linear blend skinning in numpy, [V, 3]."""
    moved = np.einsum("vkab,vb->vka", transforms[body.bones][..., :3], body.vertices) + transforms[body.bones][..., 3]
    return (body.weights[..., None] * moved).sum(1)


def test_the_figure_covers_just_the_pixels_its_vertices_project_to(renderer, figure, raised, plain_scene):
    scene = plain_scene()
    body = renderer.load(figure)
    frames = renderer.render(body, raised, scene)
    matrix = view_projection(scene.camera, 96, 96)
    for frame, transforms in zip(frames, raised, strict=True):
        pixels, inside = project(skinned(figure, transforms), matrix, 96, 96)
        drawn = np.argwhere(np.abs(frame.astype(int) - WALL).max(2) > 8)[:, ::-1]
        low, high = np.clip(pixels.min(0), 0, 96), np.clip(pixels.max(0), 0, 96)
        np.testing.assert_allclose(drawn.min(0), low, atol=1.6)
        np.testing.assert_allclose(drawn.max(0) + 1, high, atol=1.6)
        # Nowhere is anything drawn far from a vertex.
        distance = np.abs(drawn[:, None] + 0.5 - pixels[inside][None]).max(2).min(1)
        assert distance.max() < 6
    body.release()


def test_keypoints_of_the_bare_hand_lie_on_skin(renderer, figure, raised, plain_scene):
    scene = dataclasses.replace(plain_scene(), camera=frame_signer(figure.rig, aspect=1.0, fill=0.4))
    body = renderer.load(figure)
    frame = renderer.render(body, raised[-1:], scene)[0]
    world = pose_landmarks(figure.rig, raised[-1:])[0, 19:40]
    pixels, inside = project(world, view_projection(scene.camera, 96, 96), 96, 96)
    colours = frame[pixels[inside, 1].astype(int), pixels[inside, 0].astype(int)].astype(int)
    assert inside.sum() >= 15
    assert ((colours[:, 0] > colours[:, 2] + 15).mean()) > 0.8  # skin is redder than the grey wall
    body.release()


def test_two_renderers_draw_the_same_bytes_in_any_batch_size(renderer, figure, raised, plain_scene):
    scene = plain_scene(film=Film(noise=0.05), lights=Lights())
    scene = dataclasses.replace(scene, wall_shadow=(0.05, 0.02, 0.3), sway_percent=1.0, seed=9)
    other = Renderer(96, 96, batch_frames=1)
    first, second = (each.render(each.load(figure), raised, scene) for each in (renderer, other))
    again = renderer.render(renderer.load(figure), raised, scene)
    other.close()
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - second).max() <= 2  # tiles round their edges differently
    assert (first != second).mean() < 0.01


def test_a_plain_wall_comes_through_unchanged(renderer, figure, raised, plain_scene):
    body = renderer.load(figure)
    frame = renderer.render(body, raised[:1], plain_scene())[0]
    assert np.abs(frame[:4].astype(int) - WALL).max() <= 3
    body.release()


def test_exposure_brightens_and_white_balance_colours(renderer, figure, raised, plain_scene):
    body = renderer.load(figure)
    film = Film(exposure=1.5, white_balance=(1.2, 1.0, 0.8))
    red, green, blue = renderer.render(body, raised[:1], plain_scene(film=film))[0][0, 0].astype(int)
    assert red > green > WALL
    assert blue < green
    body.release()


def test_noise_has_the_size_it_says_and_no_mean(renderer, figure, raised, plain_scene):
    body = renderer.load(figure)
    clean, noisy = (
        renderer.render(body, raised, plain_scene(film=Film(noise=noise)))[:, :10].astype(float) for noise in (0.0, 0.1)
    )
    # Two uniform numbers less their mean: variance 1/6; mid grey gets 1.3 - 0.5 of it.
    assert (noisy - clean).std() / 255 == pytest.approx(0.1 * 0.8 / np.sqrt(6), rel=0.15)
    assert abs((noisy - clean).mean()) < 1.0
    body.release()


def test_motion_blur_is_the_mean_of_the_moments_it_is_made_of(renderer, figure, raised, plain_scene):
    body = renderer.load(figure)
    film = Film(exposures=4, shutter=1.0)
    blurred = renderer.render(body, raised, plain_scene(film=film))
    moments = renderer.render(body, shutter_transforms(raised, 6, 1.0, 4), plain_scene())
    # Frames are stored as square roots of light, and so are the moments before they are averaged.
    mean = moments.reshape(6, 4, 96, 96, 3).astype(float).mean(1)
    assert np.abs(blurred - mean).mean() < 0.6
    assert np.abs(blurred.astype(int) - renderer.render(body, raised, plain_scene())).max() > 40
    body.release()


def test_frames_with_slow_hands_take_fewer_exposures_and_come_in_order():
    assert list(exposure_batches(np.array([1, 1, 1, 2, 2, 2, 8, 1]), 4 * 2)) == [
        (0, 3, 1),
        (3, 3, 2),
        (6, 1, 8),
        (7, 1, 1),
    ]
    assert list(exposure_batches(np.array([4, 4, 4, 1]), 8)) == [(0, 2, 4), (2, 1, 4), (3, 1, 1)]


def test_a_still_figure_is_as_sharp_with_many_exposures_as_with_one(renderer, figure, raised, plain_scene):
    body, still = renderer.load(figure), np.repeat(raised[:1], 5, axis=0)
    many = renderer.render(body, still, plain_scene(film=Film(exposures=16)))
    np.testing.assert_array_equal(many, renderer.render(body, still, plain_scene()))
    body.release()


def test_a_hand_before_the_chest_casts_a_shadow(renderer, figure, rest, plain_scene):
    rotations = rest(figure.rig)
    rotations[:, figure.rig.bone("upperarm01.R")] = about_x(np.array([-0.9]))
    rotations[:, figure.rig.bone("lowerarm01.R")] = np.array([[[0.2, 0, 0.98], [0, 1, 0], [-0.98, 0, 0.2]]])
    transforms = pose_bones(figure.rig, rotations)
    body = renderer.load(figure)
    lit, dark = (
        renderer.render(body, transforms, plain_scene(lights=Lights(shadows=shadows)))[0].astype(int)
        for shadows in (False, True)
    )
    darkened = (lit - dark).max(2) > 15
    assert 20 < darkened.sum() < 2000
    assert (dark - lit).max() <= 3
    body.release()


def test_what_no_picture_shows_can_be_left_out(renderer, figure, raised, plain_scene):
    scene = plain_scene()
    whole, upper = renderer.load(figure), renderer.load(figure, lowest_m=0.6)
    assert upper.num_vertices < whole.num_vertices
    frames = [renderer.render(body, raised, scene).astype(int) for body in (whole, upper)]
    assert np.abs(frames[0] - frames[1]).max() <= 2


def test_a_thinned_figure_looks_the_same(renderer, figure, raised, plain_scene):
    scene = plain_scene()
    fine, thinned = renderer.load(figure), renderer.load(figure, cell_m=renderer.pixel_m(scene))
    frames = [renderer.render(body, raised, scene).astype(int) for body in (fine, thinned)]
    assert np.abs(frames[0] - frames[1]).mean() < 1.5


def test_sizes_that_can_not_be_drawn_are_refused():
    with pytest.raises(SceneError, match="8 x 96 pixels; allowed are 16 to 4096"):
        Renderer(8, 96)
    with pytest.raises(SceneError, match="oversample is 9"):
        Renderer(96, 96, oversample=9)


def test_without_egl_the_error_names_the_packages(monkeypatch):
    def missing(**options):
        raise Exception("libEGL.so not loaded")

    monkeypatch.setattr(moderngl, "create_context", missing)
    with pytest.raises(RenderUnavailableError, match=r"libEGL\.so not loaded.*apt-get install libegl1 libgl1-mesa-dri"):
        open_context()
