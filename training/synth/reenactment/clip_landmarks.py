"""Landmarks of a real clip, in the axes of the skeleton."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.skeleton.rotations import Reals
from training.errors import PoseError

LEFT_ARM, RIGHT_ARM = (11, 13, 15), (12, 14, 16)


@dataclass(frozen=True)
class ClipLandmarks:
    """MediaPipe Holistic's landmarks of a clip, in the axes of the skeleton. NaN where nothing was found."""

    body: Reals
    """[T, 33, 3] metres, the world landmarks: x to the signer's left, y up, z towards the camera."""
    image: Reals
    """[T, 33, 2] the same landmarks in the picture, pixels, y up."""
    left: Reals
    right: Reals
    """[T, 21, 3] hands, pixels."""
    fps: float

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return len(self.body)

    def at(self, rows: NDArray[np.int64], fps: float) -> "ClipLandmarks":
        """Some of its frames, in that order, at a frame rate."""
        return ClipLandmarks(self.body[rows], self.image[rows], self.left[rows], self.right[rows], fps)


def read_clip_landmarks(file: Path, size: tuple[int, int] | None = None) -> ClipLandmarks:
    """The landmarks of a clip from a file of arrays: pose, world, left, right, fps, size.

    Args:
        file: .npz.
        size: width and height of the decoded frames, pixels, where the stored ones are those of another encoding.

    Raises:
        PoseError: an array is missing or has another shape, or no body was found anywhere in the clip.
    """
    try:
        with np.load(file) as arrays:
            pose, world, left, right = (arrays[name].astype(float) for name in ("pose", "world", "left", "right"))
            fps, stored = float(arrays["fps"]), tuple(int(side) for side in arrays["size"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as reason:
        raise PoseError(
            f"{file} holds no landmarks: {reason}; wanted are pose, world, left, right, fps, size"
        ) from reason
    shapes = (pose.shape[1:2], world.shape[1:2], left.shape[1:2], right.shape[1:2])
    if shapes != ((33,), (33,), (21,), (21,)):
        raise PoseError(f"{file} has {shapes} landmarks; wanted are 33 of the body twice and 21 of each hand")
    if np.isnan(world[:, 0, 0]).all():
        raise PoseError(f"no body was found in any of the {len(world)} frames of {file}")
    width, height = size or stored
    pixels = np.array([width, -height, -width])
    image = pose[..., :2] * pixels[:2]
    hands = _sorted_hands(left[..., :3] * pixels, right[..., :3] * pixels, image)
    return ClipLandmarks(world[..., :3] * np.array([1.0, -1.0, -1.0]), image, *hands, fps)


def _sorted_hands(left: Reals, right: Reals, image: Reals) -> tuple[Reals, Reals]:
    """Give every hand to the arm whose wrist it is at.

    The detector at times finds one hand twice, or takes the left for the right: a hand that lies much nearer to the
    other arm's wrist goes there when that place is free, and is dropped when it is taken.
    """
    hands = [left.copy(), right.copy()]
    wrists = [image[:, LEFT_ARM[2]], image[:, RIGHT_ARM[2]]]
    for own, other in ((0, 1), (1, 0)):
        here = np.linalg.norm(hands[own][:, 0, :2] - wrists[own], axis=-1)
        there = np.linalg.norm(hands[own][:, 0, :2] - wrists[other], axis=-1)
        stray = there < 0.5 * here
        free = stray & np.isnan(hands[other][:, 0, 0])
        hands[other][free] = hands[own][free]
        hands[own][stray] = np.nan
    return hands[0], hands[1]
