"""Features that compare skeletons without training: directions of bones and positions of wrists, frame by frame.

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
from model.skeleton.normalisation import hand_activity, normalise, regenerate
from model.skeleton.rotations import Reals, unit

FPS = 25.0
STRIDE = 2
MAX_GAP_S = 0.5
WRIST_WEIGHT = 2.0
DEPTH_WEIGHT = 0.5
HANDS = ((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST))
DEPTH_SCALE = np.array([1.0, 1.0, DEPTH_WEIGHT])
_LEFT_BONES = [row for row, bone in enumerate(BONES) if bone.name.startswith("left") and bone.start >= LEFT_HAND.start]
_RIGHT_BONES = [row - 20 for row in _LEFT_BONES]


@dataclass(frozen=True)
class SkeletonSequence:
    """The skeletons of one clip, or of several, at 25 frames per second, comparable between signers."""

    keypoints: Reals
    """[T, 61, 3] as observed, from between the shoulders, in shoulder widths; NaN where unknown."""
    points: Reals
    """[T, 61, 3] the same on the standard body, metres."""
    angles: Reals
    """[T, 104] radians: body, right, left."""
    known: Flags
    """[T, 61] of both, as for the priors."""

    @property
    def hands_found(self) -> Flags:
        """[T, 2] left, right: the whole hand was found, or bridged."""
        return hands_found(self.keypoints)

    def activity(self, rows: Ints) -> Floats:
        """Activity of the window of these frames: [2] left, right in [0, 1]."""
        active, _ = hand_activity(self.points[rows], self.known[rows])
        shares: Floats = (active * self.hands_found[rows].mean(axis=0)).astype(np.float32)
        return shares


def hands_found(keypoints: Reals) -> Flags:
    """[T, 2] left, right: the whole hand is known."""
    return np.stack([np.isfinite(keypoints[:, hand]).all(axis=(1, 2)) for hand, _ in HANDS], axis=-1)


def sequence_from_landmarks(landmarks: Landmarks, *, mirrored: bool = False) -> SkeletonSequence:
    """A clip's skeletons made comparable with others; see the top of this module.

    Args:
        landmarks: of the clip.
        mirrored: as if filmed in a mirror.
    """
    keypoints = observe(landmarks).keypoints[landmarks.rows_at(FPS)]
    return sequence_from_keypoints(bridge_hand_gaps(mirror_points(keypoints) if mirrored else keypoints))


def sequence_from_keypoints(keypoints: Reals) -> SkeletonSequence:
    """A clip's skeletons made comparable with others.

    Args:
        keypoints: [T, 61, 3] in one unit, at 25 frames per second; NaN where unknown.
    """
    return sequence_from_normalised(in_shoulder_widths(keypoints))


def sequence_from_normalised(keypoints: Reals) -> SkeletonSequence:
    """The skeletons of keypoints [T, 61, 3] that count from between the shoulders in shoulder widths already."""
    pose = normalise(keypoints, np.ones(keypoints.shape[:2]))
    points = regenerate(pose)
    known = np.asarray(np.isfinite(points).all(axis=-1))
    return SkeletonSequence(keypoints, points, pose.angles.astype(np.float64), known)


def in_shoulder_widths(keypoints: Reals) -> Reals:
    """A clip's keypoints [T, 61, 3] from between the shoulders of each frame, by their median width over the clip."""
    left, right = keypoints[:, L_SHOULDER], keypoints[:, R_SHOULDER]
    width = np.nanmedian(np.linalg.norm(left - right, axis=-1))
    placed: Reals = (keypoints - ((left + right) / 2.0)[:, None]) / width
    return placed


def bridge_hand_gaps(keypoints: Reals) -> Reals:
    """Keypoints [T, 61, 3] at 25 frames per second, each hand filled in over short gaps where its wrist is known."""
    filled = keypoints.copy()
    for hand, wrist in HANDS:
        shape = keypoints[:, hand] - keypoints[:, wrist, None]
        filled[:, hand] = keypoints[:, wrist, None] + bridge_gaps(shape, round(MAX_GAP_S * FPS))
    return filled


def bridge_gaps(values: Reals, longest: int) -> Reals:
    """Gaps of at most `longest` frames filled in a straight line: [T, ...] NaN where unknown."""
    flat = values.reshape(len(values), -1)
    rows = np.flatnonzero(np.isfinite(flat).all(axis=1))
    filled = flat.copy()
    for before, after in itertools.pairwise(rows):
        if 1 < after - before <= longest + 1:
            share = (np.arange(before + 1, after) - before)[:, None] / (after - before)
            filled[before + 1 : after] = (1.0 - share) * flat[before] + share * flat[after]
    return filled.reshape(values.shape)


def require_hands(found: Flags) -> None:
    """Make sure that there is something to compare.

    Args:
        found: [T, 2] of `hands_found`.

    Raises:
        NoSignerError: no hand was found in the whole clip.
    """
    if not found.any():
        raise NoSignerError("no hand was found in the clip: is a signer in the picture, with both hands?")


def hands_to_compare(activity: Floats) -> Flags:
    """[2] which hands of a window count: those that sign, or both where none does."""
    active = np.asarray(activity > 0)
    return active if active.any() else ~active


# ------------------------------------------------------------------------------------------------- values per frame


@dataclass(frozen=True)
class FrameFeatures:
    """Features per frame; zero where unknown."""

    trunk: Reals
    """[T, F]; F may be 0."""
    hands: Reals
    """[T, 2, F] left, right."""

    def window_vector(self, rows: Ints, counted: Flags) -> Floats:
        """Some frames as one vector; a hand that does not count is zeros.

        Args:
            rows: [T] of the frames.
            counted: [2] left, right.
        """
        hands = self.hands[rows] * counted[:, None]
        whole = np.concatenate([self.trunk[rows], hands.reshape(len(rows), -1)], axis=1)
        return whole.astype(np.float32).ravel()

    def joined_with(self, other: "FrameFeatures") -> "FrameFeatures":
        """These features followed by others, of trunk and of each hand."""
        return FrameFeatures(
            np.concatenate([self.trunk, other.trunk], axis=-1), np.concatenate([self.hands, other.hands], axis=-1)
        )


def bone_directions(sequence: SkeletonSequence) -> FrameFeatures:
    """Directions of the bones of both hands: 60 values per hand."""
    points = sequence.keypoints * DEPTH_SCALE
    hands = []
    for rows in (_LEFT_BONES, _RIGHT_BONES):
        starts, ends = [BONES[row].start for row in rows], [BONES[row].end for row in rows]
        hands.append(unit(points[:, ends] - points[:, starts]))
    return hand_features(hands, sequence)


def wrists(sequence: SkeletonSequence) -> FrameFeatures:
    """Positions of both wrists: 3 values per hand."""
    points = WRIST_WEIGHT * DEPTH_SCALE * sequence.keypoints
    return hand_features([points[:, wrist] for _, wrist in HANDS], sequence)


def bone_directions_wrists(sequence: SkeletonSequence) -> FrameFeatures:
    """Both of them: 63 values per hand."""
    return bone_directions(sequence).joined_with(wrists(sequence))


def hand_features(hands: list[Reals], sequence: SkeletonSequence) -> FrameFeatures:
    """Values [T, ...] of the left and the right hand, zero in frames where it is lost."""
    both = np.stack([hand.reshape(len(hand), -1) for hand in hands], axis=1)
    kept = np.where(sequence.hands_found[..., None], np.nan_to_num(both), 0.0)
    return FrameFeatures(np.zeros((len(kept), 0)), kept)
