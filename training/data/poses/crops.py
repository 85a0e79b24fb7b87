"""Signer-centred crops: one square per clip, the upper trunk with room for the hands."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from model.encoder import Frames
from model.skeleton.kinematics import L_SHOULDER, LEFT_HAND, R_SHOULDER, RIGHT_HAND
from model.skeleton.landmarks import ObservedKeypoints
from model.skeleton.rotations import Reals

SIDE_SHOULDERS = 3.2
"""Side of the square, shoulder widths: from above the head to the hips, elbows in."""
DOWN_SHOULDERS = 0.25
"""Distance of its middle below the shoulders."""
MAX_SIDE_SHOULDERS = 4.5
"""The square grows for hands that reach out, up to this."""
REACH_PERCENTILE = 98.0


@dataclass(frozen=True)
class CropSquare:
    """A part of the picture, in pixels of a picture of `height` rows."""

    left: float
    top: float
    side: float
    height: int

    def crop(self, frame: Frames, size_px: int) -> Frames:
        """This part of a frame, resized: [H, W, 3] to [size_px, size_px, 3]."""
        scale = frame.shape[0] / self.height
        box = [scale * edge for edge in (self.left, self.top, self.left + self.side, self.top + self.side)]
        inside = (max(0.0, box[0]), max(0.0, box[1]), min(frame.shape[1], box[2]), min(frame.shape[0], box[3]))
        picture = Image.fromarray(frame).resize((size_px, size_px), Image.Resampling.BICUBIC, box=inside)
        return np.asarray(picture)

    def pixels(self, shares: Reals, aspect: float, size_px: int) -> Reals:
        """Points of the picture in pixels of the cropped frame.

        Args:
            shares: [.., 2] of the picture's width and height.
            aspect: the picture's width over its height.
            size_px: of the cropped frame.

        Returns:
            [.., 2] pixels, x right and y down.
        """
        points: Reals = shares * np.array([aspect * self.height, self.height]) - np.array([self.left, self.top])
        points *= size_px / self.side
        return points


def signer_square(observed: ObservedKeypoints, height: int) -> CropSquare:
    """The square to crop a clip to (Paper: upper-torso crops, centred on the signer; here: the numbers above).

    It stays where it is for the whole clip, so that movement is the signer's own, and inside the picture, so that
    nothing is padded; where the picture is too small for it, it is as large as the picture's shorter side.

    Args:
        observed: a clip in which somebody was found.
        height: of the picture, pixels.
    """
    size = np.array([observed.aspect * height, height])
    points = observed.project(observed.keypoints) * size
    left, right = points[:, L_SHOULDER], points[:, R_SHOULDER]
    shoulder = float(np.nanmedian(np.linalg.norm(left - right, axis=-1)))
    middle = np.nanmedian((left + right) / 2.0, axis=0) + np.array([0.0, DOWN_SHOULDERS * shoulder])
    side = np.clip(2.0 * _reach(points, middle), SIDE_SHOULDERS * shoulder, MAX_SIDE_SHOULDERS * shoulder)
    side = min(float(side), *size)
    corner = np.clip(middle - side / 2.0, 0.0, size - side)
    return CropSquare(float(corner[0]), float(corner[1]), side, height)


def _reach(points: Reals, middle: Reals) -> float:
    """Reach of the hands from the middle, across or up, pixels; hands that hang below do not count."""
    hands = np.concatenate([points[:, LEFT_HAND], points[:, RIGHT_HAND]], axis=1) - middle
    away = np.maximum(np.abs(hands[..., 0]), -hands[..., 1])
    known = away[np.isfinite(away)]
    return float(np.percentile(known, REACH_PERCENTILE)) if known.size else 0.0
