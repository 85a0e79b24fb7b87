"""What a camera makes of dim light and of dark and pale skin."""

import dataclasses

import numpy as np
import pytest

from training.errors import SceneError
from training.synth.people.mannequin import mannequin
from training.synth.render.exposure import (
    USUAL_LIGHT,
    WANTED_SKIN,
    auto_exposed,
    even_out_lights,
    light_level,
    skin_light,
)
from training.synth.render.scene import Film, Lights

DIM = Lights(key_colour=(0.2, 0.2, 0.2), fill_colour=(0.1, 0.1, 0.1), sky_colour=(0.2, 0.2, 0.2))


def test_lights_are_brought_to_usual_strength_and_keep_their_proportions():
    full = even_out_lights(DIM, 1.0)
    assert light_level(DIM) < 0.5 * USUAL_LIGHT
    assert light_level(full) == pytest.approx(USUAL_LIGHT)
    ratio = np.divide(full.key_colour, DIM.key_colour)
    np.testing.assert_allclose(np.divide(full.floor_colour, DIM.floor_colour), ratio)
    assert even_out_lights(DIM, 0.0) == DIM
    assert light_level(DIM) < light_level(even_out_lights(DIM, 0.5)) < USUAL_LIGHT


def test_light_from_all_around_counts_as_it_is():
    black, grey = (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)
    around = Lights(key_colour=black, fill_colour=black, sky_colour=grey, floor_colour=grey)
    assert light_level(around) == pytest.approx(0.5)


def test_skin_gives_back_what_its_colour_says():
    # Colours are stored as square roots of light.
    figure = mannequin(skin=(0.6, 0.6, 0.6))
    assert skin_light(figure) == pytest.approx(0.36, rel=0.15)


def test_the_exposure_makes_up_for_dark_skin_as_far_as_the_film_says(plain_scene):
    dark = mannequin(skin=(0.3, 0.2, 0.15))
    for share in (0.0, 0.4, 1.0):
        scene = auto_exposed(plain_scene(film=Film(exposure=1.2, auto_exposure=share)), dark)
        assert scene.film.exposure == pytest.approx(1.2 * (WANTED_SKIN / skin_light(dark)) ** share)


@pytest.mark.gl
def test_fully_made_up_for_dark_and_pale_hands_come_out_alike(gl, rest, plain_scene):
    from training.synth.people.rig import pose_bones
    from training.synth.render.renderer import Renderer

    renderer = Renderer(96, 96, batch_frames=1)

    def hand(skin, share):
        figure = mannequin(skin=skin)
        scene = auto_exposed(plain_scene(film=Film(auto_exposure=share), wall=0), figure)
        frame = renderer.render(renderer.load(figure), pose_bones(figure.rig, rest(figure.rig)), scene)[0]
        skin_red = frame[..., 0].astype(float)[frame[..., 0] > 1.15 * frame[..., 2]]
        return float(np.median(skin_red))

    pale, dark = (0.8, 0.6, 0.5), (0.4, 0.3, 0.25)
    assert hand(dark, 0.0) < 0.65 * hand(pale, 0.0)
    assert hand(dark, 1.0) == pytest.approx(hand(pale, 1.0), rel=0.08)
    renderer.close()


def test_a_share_of_exposure_outside_0_to_1_is_refused():
    with pytest.raises(SceneError, match=r"film\.auto_exposure is 2\.0; allowed is 0\.0 to 1\.0"):
        dataclasses.replace(Film(), auto_exposure=2.0)
