"""Automatic exposure: neither dim light nor dark skin ends in black."""

from dataclasses import replace

import numpy as np

from training.synth.people.body import Body
from training.synth.render.scene import Colour, Lights, Scene

LUMA = np.array([0.299, 0.587, 0.114])
USUAL_LIGHT = 1.0
"""Light on a signer at which a texture comes out as it is."""
WANTED_SKIN = 0.32
"""Share of white that a camera gives skin, as light; 0.57 of it as a pixel's value."""
_TOWARDS_CAMERA = np.array([(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (-0.6, 0.0, 0.8), (0.0, 0.6, 0.8), (0.0, -0.6, 0.8)])


def light_level(lights: Lights) -> float:
    """Light on surfaces that face the camera, as `light.comp` has it without shadows: about 0.4 to 2."""
    key, fill = (_unit(direction) for direction in (lights.key_direction, lights.fill_direction))
    up = 0.5 + 0.5 * _TOWARDS_CAMERA[:, 1]
    level = np.maximum((_TOWARDS_CAMERA @ key + 0.16) / 1.16, 0.0) * (LUMA @ lights.key_colour)
    level += np.maximum(0.75 * _TOWARDS_CAMERA @ fill + 0.25, 0.0) * (LUMA @ lights.fill_colour)
    level += up * (LUMA @ lights.sky_colour) + (1.0 - up) * (LUMA @ lights.floor_colour)
    return float(level.mean())


def even_out_lights(lights: Lights, strength: float) -> Lights:
    """The same lights nearer to usual strength; 0 leaves them alone, 1 makes up for all of the difference."""
    factor = (USUAL_LIGHT / light_level(lights)) ** strength
    return replace(
        lights,
        key_colour=_times(lights.key_colour, factor),
        fill_colour=_times(lights.fill_colour, factor),
        sky_colour=_times(lights.sky_colour, factor),
        floor_colour=_times(lights.floor_colour, factor),
    )


def skin_light(body: Body) -> float:
    """Share of the light that skin gives back, mean over the body's skin: 0 to 1."""
    part = next(part for part in body.parts if part.kind == "skin")
    rows = np.unique(body.faces[part.first_face : part.first_face + part.num_faces])
    size = np.array(body.textures.shape[2:0:-1])
    columns, lines = np.clip((body.uv[rows] * size).astype(int), 0, size - 1).T
    values = body.textures[body.layers[rows], lines, columns, :3] / 255.0
    return float(np.mean(np.square(values) @ LUMA))


def auto_exposed(scene: Scene, body: Body) -> Scene:
    """The scene as a camera that exposes by itself takes this signer in it."""
    film = scene.film
    factor = (WANTED_SKIN / max(skin_light(body), 1e-3)) ** film.auto_exposure
    return replace(scene, film=replace(film, exposure=float(np.clip(film.exposure * factor, 0.05, 8.0))))


def _times(colour: Colour, factor: float) -> Colour:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _unit(direction: Colour) -> np.ndarray:
    return np.asarray(np.asarray(direction) / np.linalg.norm(direction))
