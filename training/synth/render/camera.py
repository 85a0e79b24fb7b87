"""Cameras: position, lens and projection, of pictures and keypoints alike."""

from dataclasses import dataclass, replace

import numpy as np

from model.encoder import Flags, Floats
from training.errors import SceneError
from training.synth.people.rig import Rig

NEAR_M, FAR_M = 0.1, 20.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. Angles are degrees, lengths metres, in the axes of the rig."""

    eye: tuple[float, float, float]
    """Position."""
    target: tuple[float, float, float]
    """What the middle of the picture shows."""
    lens_deg: float
    """Angle of view over the picture's height."""
    roll_deg: float = 0.0
    """Turn about the line of sight; positive tips the picture's right side down."""

    def __post_init__(self) -> None:
        """Refuse lenses that no camera has.

        Raises:
            SceneError: the lens is outside 5 to 120 degrees, or the camera stands in its target.
        """
        if not 5 <= self.lens_deg <= 120:
            raise SceneError(f"lens_deg is {self.lens_deg}; a camera has 5 to 120 degrees")
        if np.allclose(self.eye, self.target):
            raise SceneError(f"the camera stands at {self.eye}, which is also its target; move one of them")


def view_projection(camera: Camera, width: int, height: int) -> Floats:
    """[4, 4] float32 from world to clip space, with +y of clip space DOWN the picture."""
    forward = _unit(np.subtract(camera.target, camera.eye))
    right = _unit(np.cross(forward, (0.0, 1.0, 0.0)))
    up = np.cross(right, forward)
    c, s = np.cos(np.radians(camera.roll_deg)), np.sin(np.radians(camera.roll_deg))
    axes = np.stack([c * right + s * up, c * up - s * right, -forward])
    view = np.eye(4)
    view[:3, :3] = axes
    view[:3, 3] = -axes @ np.asarray(camera.eye)
    scale = 1.0 / np.tan(np.radians(camera.lens_deg) / 2)
    depth = np.array([[0, 0, -(FAR_M + NEAR_M), -2 * FAR_M * NEAR_M]]) / (FAR_M - NEAR_M)
    projection = np.array([[scale * height / width, 0, 0, 0], [0, -scale, 0, 0], depth[0], [0, 0, -1, 0]])
    return (projection @ view).astype(np.float32)


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def project(points: Floats, matrix: Floats, width: int, height: int) -> tuple[Floats, Flags]:
    """Pixels of points, and which of them lie in the picture.

    Args:
        points: [..., 3] metres.
        matrix: [4, 4] from `view_projection`, or one per leading index.
        width: pixels.
        height: pixels.

    Returns:
        [..., 2] float32: x right and y down from the picture's top left corner, in pixels; [...] bool.
    """
    clip = np.einsum("...ab,...b->...a", matrix, np.concatenate([points, np.ones_like(points[..., :1])], -1))
    in_front = clip[..., 3] > NEAR_M
    pixels = (clip[..., :2] / np.where(in_front, clip[..., 3], 1.0)[..., None] * 0.5 + 0.5) * (width, height)
    inside = ((pixels >= 0) & (pixels < (width, height))).all(-1) & in_front
    return pixels.astype(np.float32), inside


def frame_signer(
    rig: Rig,
    *,
    aspect: float,
    fill: float = 0.72,
    lens_deg: float = 35.0,
    yaw_deg: float = 0.0,
    height_m: float = 0.0,
    roll_deg: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Camera:
    """A camera that shows a signer from the hips to above the head.

    Args:
        rig: whose joints are to be seen.
        aspect: width over height of the picture.
        fill: share of the picture's height between hips and crown; on narrow pictures the distance grows until hands
            held out beside the shoulders fit in, so that a portrait shows more of the legs instead of cutting the arms.
        lens_deg: angle of view over the height.
        yaw_deg: from where the camera looks, to the signer's left.
        height_m: how much higher than the chest the camera stands; it looks down or up accordingly.
        roll_deg: see `Camera`.
        shift: where the signer stands in the picture, right and down, in picture heights.

    Raises:
        SceneError: fill outside 0.2 to 1.
    """
    if not 0.2 <= fill <= 1.0:
        raise SceneError(f"fill is {fill}; the signer may take 0.2 to 1 of the picture's height")
    hips = rig.landmarks[6:8].mean(0)
    crown = rig.tails[rig.bone("head")]
    tall = float(crown[1] - hips[1])
    broad = 2.2 * float(np.abs(rig.landmarks[[0, 3], 0]).mean()) + 0.58
    visible_m = max(tall / fill, broad / aspect)
    distance = visible_m / 2 / np.tan(np.radians(lens_deg) / 2)
    middle = np.array([0.0, crown[1] - tall / 2 - 0.015, float(hips[2]) + 0.05])
    # The raised head room: on portrait pictures the head stays in the upper third.
    middle[1] -= max(0.0, visible_m - tall / fill) * 0.18
    yaw = np.radians(yaw_deg)
    sideways = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    target = middle - shift[0] * visible_m * sideways + np.array([0.0, shift[1] * visible_m, 0.0])
    level = np.sqrt(max(distance**2 - height_m**2, 0.25 * distance**2))
    eye = target + level * np.array([np.sin(yaw), 0.0, np.cos(yaw)]) + np.array([0.0, height_m, 0.0])
    return Camera(_triple(eye), _triple(target), lens_deg, roll_deg)


def step_closer(camera: Camera, rig: Rig, zoom: float) -> Camera:
    """The same camera with a longer lens, turned so that the crown stays as far below the picture's upper edge.

    Args:
        camera: that shows the signer upright.
        rig: whose crown stays in the picture.
        zoom: 1 or more; what is near the lower and the side edges is lost.
    """
    distance = float(np.linalg.norm(np.subtract(camera.target, camera.eye)))
    half = distance * np.tan(np.radians(camera.lens_deg) / 2)
    crown = float(rig.tails[rig.bone("head")][1])
    share = (crown - camera.target[1]) / half
    target = np.array([camera.target[0], crown - share * half / zoom, camera.target[2]])
    lens_deg = float(2 * np.degrees(np.arctan(half / zoom / distance)))
    return replace(camera, target=_triple(target), lens_deg=lens_deg)


def step_back(camera: Camera, times: float, lower_m: float) -> Camera:
    """The same camera further away, looking lower: hands that rest come into the picture.

    Args:
        camera: any.
        times: 1 or more, its new distance by the old one.
        lower_m: how much lower it stands and looks.
    """
    away = np.subtract(camera.eye, camera.target)
    target = np.subtract(camera.target, (0.0, lower_m, 0.0))
    return replace(camera, eye=_triple(target + times * away), target=_triple(target))


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))
