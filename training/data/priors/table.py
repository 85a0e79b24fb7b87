"""The table of priors: name, dimension, weight in the loss, and scale of the target.

Source: SignRep, supplementary material; the names are those of the published prediction heads.

The contract between `training.data.priors.targets`, the shards and pretraining: a window has, by name, a float32 target
[NUM_FRAMES, dim] and a bool mask of the same shape (True where the value is known), and for `ACTIVITY` a target [2]
(left, right; 1 = signing) with a mask [2]. Targets are stored without psi; the loss multiplies it in.
"""

from dataclasses import dataclass

from model.skeleton import normalisation as normal

NUM_FRAMES = normal.NUM_FRAMES
"""Frames of a window."""

ACTIVITY = "activity"
"""Name of the prior that belongs to the whole window: which hand signs. Left, right."""
ACTIVITY_DIM = 2
ACTIVITY_WEIGHT = 0.2


@dataclass(frozen=True)
class Prior:
    """One prior that is predicted per frame."""

    name: str
    dim: int
    """Values per frame."""
    weight: float
    """w: share in the total loss."""
    psi: float
    """Multiplies the target before it is compared."""


PRIORS = (
    Prior("full_body_angles", 44, weight=10, psi=1),  # 22 angles: their sines, then their cosines
    Prior("full_right_angles", 82, weight=10, psi=1),  # 41 angles: their sines, then their cosines
    Prior("full_left_angles", 82, weight=10, psi=1),
    Prior("body_pose", 183, weight=10, psi=1),  # 61 keypoints x 3
    Prior("right_pose", 63, weight=10, psi=2),  # 21 keypoints x 3, the wrist as origin
    Prior("left_pose", 63, weight=10, psi=2),
    Prior("body_dist", 792, weight=20, psi=1),  # 12 x 22 x 3, signed differences
    Prior("right_dist", 165, weight=20, psi=4),  # 5 x 11 x 3
    Prior("left_dist", 165, weight=20, psi=4),
)
"""In the order of the published heads."""

PRIOR = {prior.name: prior for prior in PRIORS}
