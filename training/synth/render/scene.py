"""Scenes: camera, lights, background and film."""

from dataclasses import dataclass, field

import numpy as np

from model.encoder import Floats, Frames
from training.errors import SceneError
from training.synth.render.camera import Camera

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Lights:
    """A key light that casts shadows, a fill light, the light of ceiling and floor. Directions point to the light."""

    key_direction: Colour = (0.45, 0.65, 0.62)
    key_colour: Colour = (0.78, 0.75, 0.70)
    fill_direction: Colour = (-0.75, 0.15, 0.65)
    fill_colour: Colour = (0.22, 0.24, 0.28)
    sky_colour: Colour = (0.42, 0.44, 0.47)
    floor_colour: Colour = (0.20, 0.18, 0.16)
    shadows: bool = True


@dataclass(frozen=True)
class Film:
    """Camera settings and recording."""

    exposure: float = 1.0
    """Factor on the light."""
    auto_exposure: float = 0.0
    """How far the camera makes up for dark or pale skin: 0 not at all, 1 until all skin is equally bright."""
    white_balance: Colour = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    noise: float = 0.0
    """Standard deviation of the sensor noise would be 0.41 of this; 0.05 is a dim room's webcam."""
    vignette: float = 0.0
    """Share of the light lost one picture height from the middle."""
    shutter: float = 0.5
    """Share of a frame's time the shutter is open."""
    exposures: int = 1
    """Moments rendered while it is open, at most: 1 is sharp; frames whose hands are slow take fewer."""
    crf: int | None = None
    """x264's quality while streaming: 23 is a good web video, 38 a poor one; None leaves frames uncompressed."""

    def __post_init__(self) -> None:
        """Refuse values that make no picture.

        Raises:
            SceneError: a value outside its range.
        """
        ranges = {
            "exposure": (0.05, 8.0),
            "auto_exposure": (0.0, 1.0),
            "noise": (0.0, 0.5),
            "shutter": (0.0, 1.0),
            "exposures": (1, 16),
            "contrast": (0.2, 3.0),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise SceneError(f"film.{name} is {getattr(self, name)}; allowed is {low} to {high}")


@dataclass(frozen=True)
class Scene:
    """One clip's surroundings."""

    camera: Camera
    background: Frames
    """[H, W, 3] uint8; scaled to the picture."""
    lights: Lights = field(default_factory=Lights)
    film: Film = field(default_factory=Film)
    wall_shadow: Colour = (0.0, 0.0, 0.0)
    """Right and down in picture heights, and strength, of the signer's shadow on the wall; strength 0: none."""
    sway_percent: float = 0.0
    """Sway of a hand-held camera, per cent of the picture's height."""
    seed: int = 0
    """Of noise and sway."""


def sway(scene: Scene, num_frames: int, fps: float) -> Floats:
    """A hand-held camera's slow wandering, [T, 2] in picture heights: three slow waves with random phase."""
    rng = np.random.default_rng((scene.seed, 0x5A))
    time = np.arange(num_frames)[:, None, None] / fps
    rate = rng.uniform(0.15, 1.1, (1, 3, 2))
    phase = rng.uniform(0, 2 * np.pi, (1, 3, 2))
    wander = np.sin(2 * np.pi * rate * time + phase).mean(1) * scene.sway_percent / 100
    return np.asarray(wander, np.float32)
