"""Random scenes: another room, light, camera and recording for every clip."""

from dataclasses import dataclass, replace

import numpy as np

from training.errors import SceneError
from training.synth.people.rig import Rig
from training.synth.render.backgrounds import Painter, any_background
from training.synth.render.camera import Camera, frame_signer, step_closer
from training.synth.render.exposure import even_out_lights
from training.synth.render.scene import Colour, Film, Lights, Scene

REAL_CLIP_CLOSENESS = 1.8
"""`closest` with which shoulders are as wide as in real clips: 0.38 of the picture's height in the middle, as in 431 of
ASL; without it 0.27 (docs/benchmarks/synth-pictures.md)."""


@dataclass(frozen=True)
class SceneVariation:
    """How far scenes differ; each from 0 (all alike) to 1."""

    camera: float = 1.0
    light: float = 1.0
    film: float = 1.0
    blur_exposures: int = 8
    """Exposures of a fast frame in clips with motion blur, a third of all; 1: no clip has any."""
    closest: float = 1.0
    """The most that a clip is filmed closer than an upper body with both arms held out needs; 1: none is."""

    def __post_init__(self) -> None:
        """Refuse a camera that steps back.

        Raises:
            SceneError: closest below 1.
        """
        if self.closest < 1:
            raise SceneError(f"closest is {self.closest}; a clip is filmed 1 time as close, or closer")


def random_scene(
    rng: np.random.Generator,
    rig: Rig,
    width: int,
    height: int,
    *,
    variation: SceneVariation | None = None,
    pictures: Painter | None = None,
) -> Scene:
    """A scene for one clip of one signer.

    Args:
        rng: samples everything.
        rig: who is to be in the picture.
        width: pixels of a frame.
        height: pixels of a frame.
        variation: how far scenes differ.
        pictures: backgrounds from a folder, used for half of the scenes.
    """
    variation = variation or SceneVariation()
    scene = Scene(
        camera=_camera(rng, rig, width / height, variation.camera),
        background=any_background(rng, width, height, pictures),
        lights=_lights(rng, variation.light),
        film=_film(rng, variation),
        wall_shadow=(float(rng.uniform(-0.1, 0.1)), float(rng.uniform(0.0, 0.06)), float(rng.uniform(0.1, 0.4)))
        if rng.random() < 0.35 * variation.light
        else (0.0, 0.0, 0.0),
        sway_percent=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.25 * variation.camera else 0.0,
        seed=int(rng.integers(1 << 31)),
    )
    if variation.closest == 1:
        return scene
    return replace(scene, camera=step_closer(scene.camera, rig, float(rng.uniform(1.0, variation.closest))))


def studio_scene(rig: Rig, width: int, height: int, background: Colour = (0.62, 0.68, 0.72)) -> Scene:
    """A tidy dictionary studio: straight camera, even light, one colour behind."""
    wall = np.broadcast_to(np.round(255 * np.array(background)).astype(np.uint8), (8, 8, 3)).copy()
    return Scene(
        # Room above the head for signs that are made there.
        camera=frame_signer(rig, aspect=width / height, fill=0.64, shift=(0.0, 0.05)),
        background=wall,
        lights=Lights(),
        film=Film(noise=0.01, vignette=0.1),
        wall_shadow=(0.04, 0.02, 0.15),
    )


def _camera(rng: np.random.Generator, rig: Rig, aspect: float, strength: float) -> Camera:
    lens = float(np.clip(rng.normal(38, 9 * strength), 18, 65))
    return frame_signer(
        rig,
        aspect=aspect,
        fill=float(np.clip(rng.normal(0.70, 0.07 * strength), 0.5, 0.84)),
        lens_deg=lens,
        yaw_deg=float(np.clip(rng.normal(0, 9 * strength), -25, 25)),
        height_m=float(np.clip(rng.normal(0.05, 0.14 * strength), -0.35, 0.45)),
        roll_deg=float(np.clip(rng.normal(0, 1.2 * strength), -4, 4)),
        shift=(float(rng.normal(0, 0.03 * strength)), float(rng.normal(0, 0.012 * strength))),
    )


def _lights(rng: np.random.Generator, strength: float) -> Lights:
    side = rng.uniform(-1, 1) * (0.3 + 0.7 * strength)
    warmth = rng.normal(0, 0.09 * strength)
    ambient = float(rng.uniform(1 - 0.45 * strength, 1 + 0.25 * strength))
    lights = Lights(
        key_direction=(float(side), float(rng.uniform(0.35, 1.0)), float(rng.uniform(0.5, 1.0))),
        key_colour=_scaled((0.76, 0.74, 0.71), float(rng.uniform(1 - 0.5 * strength, 1 + 0.35 * strength)), warmth),
        fill_direction=(float(-side - np.sign(side) * 0.4), float(rng.uniform(-0.1, 0.4)), 0.65),
        fill_colour=_scaled((0.22, 0.23, 0.25), float(rng.uniform(1 - 0.6 * strength, 1 + 0.6 * strength)), -warmth),
        sky_colour=_scaled((0.42, 0.44, 0.46), ambient, float(rng.normal(0, 0.05 * strength))),
        floor_colour=_scaled((0.20, 0.18, 0.16), ambient, float(rng.normal(0, 0.08 * strength))),
    )
    # The wall behind has its own brightness: who stands in front of it is in the same light, more or less.
    return even_out_lights(lights, 0.6)


def _scaled(colour: Colour, factor: float, warmth: float) -> Colour:
    return (colour[0] * factor * (1 + warmth), colour[1] * factor, colour[2] * factor * (1 - warmth))


def _film(rng: np.random.Generator, variation: SceneVariation) -> Film:
    spread = variation.film
    warmth = float(rng.normal(0, 0.06 * spread))
    blurred = variation.blur_exposures > 1 and rng.random() < 1 / 3
    return Film(
        exposure=float(np.exp(rng.normal(0, 0.22 * spread))),
        auto_exposure=0.4 * spread,
        white_balance=(1 + warmth, 1.0, 1 - warmth),
        contrast=float(rng.uniform(1 - 0.18 * spread, 1 + 0.18 * spread)),
        saturation=float(rng.uniform(1 - 0.3 * spread, 1 + 0.15 * spread)),
        noise=float(rng.beta(1, 4) * 0.075 * spread),
        vignette=float(rng.uniform(0, 0.35 * spread)),
        shutter=float(rng.uniform(0.35, 0.9)),
        exposures=variation.blur_exposures if blurred else 1,
        crf=int(rng.integers(20, 37)) if rng.random() < 0.6 * spread else None,
    )
