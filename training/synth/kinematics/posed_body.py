"""The posed body without the leading arm: its keypoints, axes and girth, as far as a hand has to know them."""

from dataclasses import dataclass

import numpy as np

from model.skeleton.kinematics import (
    L_HIP,
    L_SHOULDER,
    R_HIP,
    R_SHOULDER,
)
from model.skeleton.rotations import Reals, cross, unit
from training.synth.people.rig import GIRTH_STEPS

# Front, back and half width of a dressed adult's trunk in shoulder widths, seen from the joints of the shoulders.
_USUAL_GIRTH = np.array([[0.36, -0.25, 0.45]]).repeat(GIRTH_STEPS, axis=0)


@dataclass(frozen=True)
class PosedBody:
    """The posed body without the leading arm, as far as a hand has to know it."""

    points: Reals
    """[T, 61, 3] keypoints."""
    girth: Reals
    """[8, 3] metres: front, back (negative) and half width of the trunk, from the shoulders down to the hips, seen from
    the line from between the shoulders to between the hips."""
    other_arm_known: bool = False
    """Whether the right arm stands where it will be, so that the left hand can keep out of it."""

    @property
    def trunk(self) -> Reals:
        """[T, 3, 3] axes of the trunk: x to the left shoulder, y up, z forward."""
        across = self.points[:, L_SHOULDER] - self.points[:, R_SHOULDER]
        return trunk_frame(across, self.shoulders - self.hips)

    @property
    def shoulders(self) -> Reals:
        """[T, 3] between the shoulders."""
        return (self.points[:, L_SHOULDER] + self.points[:, R_SHOULDER]) / 2.0

    @property
    def hips(self) -> Reals:
        """[T, 3] between the hips."""
        return (self.points[:, L_HIP] + self.points[:, R_HIP]) / 2.0

    @property
    def width(self) -> float:
        """Metres between the shoulders."""
        return float(np.median(np.linalg.norm(self.points[:, L_SHOULDER] - self.points[:, R_SHOULDER], axis=-1)))


def trunk_frame(across: Reals, up: Reals) -> Reals:
    """The axes of a trunk from its shoulder line and its spine: [..., 3, 3], one per column."""
    z = unit(cross(across, up))
    y = unit(up)
    return np.stack([cross(y, z), y, z], axis=-1)


def usual_girth(landmarks: Reals) -> Reals:
    """The girth of somebody of whom only the landmarks are known: [8, 3] metres."""
    return _USUAL_GIRTH * float(np.linalg.norm(landmarks[L_SHOULDER] - landmarks[R_SHOULDER]))


def girth_at(posed_body: PosedBody, share: Reals) -> Reals:
    """Front, back and half width [..., 3] at heights given as the share of the way from shoulders to hips."""
    steps = np.linspace(0.0, 1.0, GIRTH_STEPS)
    return np.stack([np.interp(share, steps, posed_body.girth[:, column]) for column in range(3)], axis=-1)
