"""A clip's skeleton as something that can be compared without learning: bones' directions and wrists, frame by frame.

How one signer is made comparable with another:

- Places count from between the shoulders in shoulder widths.
- Depth counts half: the estimator sees across and up, and guesses depth.
- A hand that is lost for at most half a second is bridged in a straight line from before to after.
- A hand is all zeros in frames where it is lost, and in windows where it rests: it says nothing there, and whether a
  resting hand is found is chance. It rests where it hangs still, by the rule of the activity prior. In a window in
  which no hand does anything else, resting hands are what there is to compare.
- A window's activity is 0 for a hand that rests, else the share of its frames in which the hand is there.

What reasoning left open (depth at 0, 0.5 or 1; zeros or not; wrists counted once, twice, three times) was chosen
between two sets of training clips of different signers, never on a test set: docs/training.md.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from model.encoder import Flags, Floats, Ints
from model.errors import NoSignerError
from model.skeleton.kinematics import (
    BONES,
    L_SHOULDER,
    L_WRIST,
    LEFT_HAND,
    R_SHOULDER,
    R_WRIST,
    RIGHT_HAND,
    mirror_points,
)
from model.skeleton.landmarks import Landmarks, observe
from model.skeleton.normal import hand_activity, normalise, regenerate
from model.skeleton.rotations import Reals, unit

FPS = 25.0
STRIDE = 2
BRIDGED_S = 0.5
WRIST_WEIGHT = 2.0
DEPTH_WEIGHT = 0.5
HANDS = ((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST))
FLATTEN = np.array([1.0, 1.0, DEPTH_WEIGHT])
_LEFT_BONES = [row for row, bone in enumerate(BONES) if bone.name.startswith("left") and bone.start >= LEFT_HAND.start]
_RIGHT_BONES = [row - 20 for row in _LEFT_BONES]


@dataclass(frozen=True)
class Signing:
    """Frames of one clip, or of several, at 25 per second."""

    keypoints: Reals
    """[T, 61, 3] as observed, from between the shoulders, in shoulder widths; NaN where unknown."""
    points: Reals
    """[T, 61, 3] the same on the standard body, metres."""
    angles: Reals
    """[T, 104] radians: body, right, left."""
    known: Flags
    """[T, 61] of both, as for the priors."""

    @property
    def there(self) -> Flags:
        """[T, 2] left, right: the whole hand was found, or bridged."""
        return hands_there(self.keypoints)

    def activity(self, rows: Ints) -> Floats:
        """Activity of the window of these frames: [2] left, right in [0, 1]."""
        active, _ = hand_activity(self.points[rows], self.known[rows])
        shares: Floats = (active * self.there[rows].mean(axis=0)).astype(np.float32)
        return shares


def hands_there(keypoints: Reals) -> Flags:
    """[T, 2] left, right: the whole hand is known."""
    return np.stack([np.isfinite(keypoints[:, hand]).all(axis=(1, 2)) for hand, _ in HANDS], axis=-1)


def read_signing(landmarks: Landmarks, *, mirrored: bool = False) -> Signing:
    """Make a clip comparable with others; see the top of this module.

    Args:
        landmarks: of the clip.
        mirrored: as if filmed in a mirror.
    """
    keypoints = observe(landmarks).keypoints[landmarks.rows_at(FPS)]
    return make_signing(bridged_hands(mirror_points(keypoints) if mirrored else keypoints))


def make_signing(keypoints: Reals) -> Signing:
    """Make a clip comparable with others.

    Args:
        keypoints: [T, 61, 3] in one unit, at 25 frames per second; NaN where unknown.
    """
    return signing_of(in_shoulder_widths(keypoints))


def signing_of(keypoints: Reals) -> Signing:
    """What follows from keypoints [T, 61, 3] from between the shoulders in shoulder widths, frame by frame."""
    pose = normalise(keypoints, np.ones(keypoints.shape[:2]))
    points = regenerate(pose)
    known = np.asarray(np.isfinite(points).all(axis=-1))
    return Signing(keypoints, points, pose.angles.astype(np.float64), known)


def in_shoulder_widths(keypoints: Reals) -> Reals:
    """A clip's keypoints [T, 61, 3] from between the shoulders of each frame, by their median width over the clip."""
    left, right = keypoints[:, L_SHOULDER], keypoints[:, R_SHOULDER]
    width = np.nanmedian(np.linalg.norm(left - right, axis=-1))
    placed: Reals = (keypoints - ((left + right) / 2.0)[:, None]) / width
    return placed


def bridged_hands(keypoints: Reals) -> Reals:
    """Keypoints [T, 61, 3] at 25 frames per second, each hand filled in over short gaps where its wrist is known."""
    filled = keypoints.copy()
    for hand, wrist in HANDS:
        shape = keypoints[:, hand] - keypoints[:, wrist, None]
        filled[:, hand] = keypoints[:, wrist, None] + bridge(shape, round(BRIDGED_S * FPS))
    return filled


def bridge(values: Reals, longest: int) -> Reals:
    """Gaps of at most `longest` frames filled in a straight line: [T, ...] NaN where unknown."""
    flat = values.reshape(len(values), -1)
    rows = np.flatnonzero(np.isfinite(flat).all(axis=1))
    filled = flat.copy()
    for before, after in itertools.pairwise(rows):
        if 1 < after - before <= longest + 1:
            share = (np.arange(before + 1, after) - before)[:, None] / (after - before)
            filled[before + 1 : after] = (1.0 - share) * flat[before] + share * flat[after]
    return filled.reshape(values.shape)


def require_hands(there: Flags) -> None:
    """Make sure that there is something to compare.

    Args:
        there: [T, 2] of `hands_there`.

    Raises:
        NoSignerError: no hand was found in the whole clip.
    """
    if not there.any():
        raise NoSignerError("no hand was found in the clip: is a signer in the picture, with both hands?")


def shown(activity: Floats) -> Flags:
    """[2] which hands of a window are looked at: those that sign, or both where none does."""
    active = np.asarray(activity > 0)
    return active if active.any() else ~active


# ------------------------------------------------------------------------------------------------- values per frame


@dataclass(frozen=True)
class Values:
    """What is looked at, frame by frame; zero where unknown."""

    trunk: Reals
    """[T, F]; F may be 0."""
    hands: Reals
    """[T, 2, F] left, right."""

    def gated(self, rows: Ints, shown: Flags) -> Floats:
        """Some frames as one vector; a hand that is not shown is zeros.

        Args:
            rows: [T] of the frames.
            shown: [2] left, right.
        """
        hands = self.hands[rows] * shown[:, None]
        whole = np.concatenate([self.trunk[rows], hands.reshape(len(rows), -1)], axis=1)
        return whole.astype(np.float32).ravel()

    def beside(self, other: "Values") -> "Values":
        """Both together."""
        return Values(
            np.concatenate([self.trunk, other.trunk], axis=-1), np.concatenate([self.hands, other.hands], axis=-1)
        )


def bone_directions(signing: Signing) -> Values:
    """60 values per hand."""
    points = signing.keypoints * FLATTEN
    hands = []
    for rows in (_LEFT_BONES, _RIGHT_BONES):
        starts, ends = [BONES[row].start for row in rows], [BONES[row].end for row in rows]
        hands.append(unit(points[:, ends] - points[:, starts]))
    return of_hands(hands, signing)


def wrists(signing: Signing) -> Values:
    """3 values per hand."""
    points = WRIST_WEIGHT * FLATTEN * signing.keypoints
    return of_hands([points[:, wrist] for _, wrist in HANDS], signing)


def bone_directions_wrists(signing: Signing) -> Values:
    """63 values per hand."""
    return bone_directions(signing).beside(wrists(signing))


def of_hands(hands: list[Reals], signing: Signing) -> Values:
    """Values [T, ...] of the left and the right hand, zero in frames where it is lost."""
    both = np.stack([hand.reshape(len(hand), -1) for hand in hands], axis=1)
    kept = np.where(signing.there[..., None], np.nan_to_num(both), 0.0)
    return Values(np.zeros((len(kept), 0)), kept)
