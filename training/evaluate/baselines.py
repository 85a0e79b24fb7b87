"""What can be done without learning: encoders made of landmarks and of pixels, and time warping.

A landmark baseline is an encoder of the same protocol as the network: windows of 16 frames at 25 per second go in, an
embedding and the activity of both hands come out. Its embedding is a vector per frame, frame after frame:

    name                    per frame
    hand-angles             sines and cosines of the 41 angles of each hand, less those of the stance
    hand-keypoints          21 keypoints of each hand from its wrist, on the standard body
    all-angles              like hand-angles, all 104
    all-keypoints           61 keypoints from between the shoulders, on the standard body
    bone-directions         unit vectors along the 20 bones of each hand
    bone-directions-wrists  those, and each wrist from between the shoulders, in shoulder widths, counted twice
    wrists                  the wrists alone

`dtw` has no embedding: it is the cheapest alignment in time of hand-angles and wrists. `pixels` sees frames only: where
and when the picture changes, 16 x 16 blocks of grey, untrained. `untrained` is the network with random weights.

How one signer is made comparable with another:

- Places count from between the shoulders in shoulder widths, hands from their wrists with bones of standard length.
- Depth counts half: the estimator sees across and up, and guesses depth.
- A hand that is lost for at most half a second is bridged in a straight line from before to after.
- A hand is all zeros in frames where it is lost, and in windows where it rests: it says nothing there, and whether a
  resting hand is found is chance. It rests where it hangs still, by the rule of the activity prior.
- A window's activity is 0 for a hand that rests, else the share of its frames in which the hand is there.
- Left-handed signers, and mirrored films, are for the protocol: it can index every clip mirrored, too.

What reasoning left open (depth at 0, 0.5 or 1; zeros or not; from the stance or not; wrists counted once, twice, three
times) was chosen between two sets of training clips of different signers, never on the test set: docs/training.md.
"""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.config import EncoderConfig
from model.encoder import EncoderInfo, Encoding, Flags, Floats, Frames, Ints
from model.windows import window_starts
from training.errors import NoSignerError
from training.landmarks import Landmarks, observe
from training.prior_table import NUM_FRAMES
from training.priors import hand_activity, normalise, regenerate
from training.skeleton import (
    BONES,
    L_SHOULDER,
    L_WRIST,
    LEFT_HAND,
    NUM_BODY_ANGLES,
    NUM_HAND_ANGLES,
    R_SHOULDER,
    R_WRIST,
    RIGHT_HAND,
    Reals,
    mirror_points,
    standing,
    unit,
)

FPS = 25.0
STRIDE = 2
BRIDGED_S = 0.5
WRIST_WEIGHT = 2.0
DEPTH_WEIGHT = 0.5
_HANDS = ((LEFT_HAND, L_WRIST), (RIGHT_HAND, R_WRIST))
_LEFT_BONES = [row for row, bone in enumerate(BONES) if bone.name.startswith("left") and bone.start >= LEFT_HAND.start]
_RIGHT_BONES = [row - 20 for row in _LEFT_BONES]
_RIGHT_ANGLES = slice(NUM_BODY_ANGLES, NUM_BODY_ANGLES + NUM_HAND_ANGLES)
_LEFT_ANGLES = slice(_RIGHT_ANGLES.stop, _RIGHT_ANGLES.stop + NUM_HAND_ANGLES)
_STANCE = np.concatenate([standing().body, standing().right, standing().left])
_FLATTEN = np.array([1.0, 1.0, DEPTH_WEIGHT])


@dataclass(frozen=True)
class Signing:
    """A clip as the landmark baselines see it, at 25 frames per second."""

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
        return np.stack([np.isfinite(self.keypoints[:, hand]).all(axis=(1, 2)) for hand, _ in _HANDS], axis=-1)

    def activity(self, rows: Ints) -> Floats:
        """Activity of the window of these frames: [2] left, right in [0, 1]."""
        active, _ = hand_activity(self.points[rows], self.known[rows])
        shares: Floats = (active * self.there[rows].mean(axis=0)).astype(np.float32)
        return shares


@dataclass(frozen=True)
class Values:
    """What a baseline looks at, frame by frame; zero where unknown."""

    trunk: Reals
    """[T, F]; F may be 0."""
    hands: Reals
    """[T, 2, F] left, right."""

    def gated(self, rows: Ints, activity: Floats) -> Floats:
        """Some frames as one vector, hands that rest as zeros."""
        hands = self.hands[rows] * (activity > 0)[:, None]
        whole = np.concatenate([self.trunk[rows], hands.reshape(len(rows), -1)], axis=1)
        return whole.astype(np.float32).ravel()

    def beside(self, other: "Values") -> "Values":
        """Both together."""
        return Values(
            np.concatenate([self.trunk, other.trunk], axis=-1), np.concatenate([self.hands, other.hands], axis=-1)
        )


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
    pose = normalise(keypoints, np.ones(keypoints.shape[:2]))
    middle = (keypoints[:, L_SHOULDER] + keypoints[:, R_SHOULDER]) / 2.0
    width = np.nanmedian(np.linalg.norm(keypoints[:, L_SHOULDER] - keypoints[:, R_SHOULDER], axis=-1))
    points = regenerate(pose)
    known = np.asarray(np.isfinite(points).all(axis=-1))
    return Signing((keypoints - middle[:, None]) / width, points, pose.angles.astype(np.float64), known)


def bridged_hands(keypoints: Reals) -> Reals:
    """Each hand's keypoints relative to its wrist, filled in over short gaps, where the wrist is known."""
    filled = keypoints.copy()
    for hand, wrist in _HANDS:
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


Feature = Callable[[Signing], Values]


def encode_signing(signing: Signing, feature: Feature) -> Encoding:
    """Windows of a clip as an encoder gives them: the last one ends on the last frame, short clips repeat theirs.

    Raises:
        NoSignerError: no hand was found in the whole clip.
    """
    _require_hands(signing)
    values = feature(signing)
    num_frames = len(values.hands)
    starts = window_starts(num_frames, NUM_FRAMES, STRIDE)
    windows = np.minimum(starts[:, None] + np.arange(NUM_FRAMES), num_frames - 1)
    activity = np.stack([signing.activity(rows) for rows in windows])
    # Where nothing but resting hands is seen, they are what there is to compare.
    shown = activity if activity.any() else np.ones_like(activity)
    embedding = np.stack([values.gated(rows, active) for rows, active in zip(windows, shown, strict=True)])
    return Encoding(embedding, activity)


def _require_hands(signing: Signing) -> None:
    if not signing.there.any():
        raise NoSignerError("no hand was found in the clip")


def hand_angles(signing: Signing) -> Values:
    """164 values per hand."""
    parts = (_LEFT_ANGLES, _RIGHT_ANGLES)
    return _of_hands([_sines_and_cosines(signing.angles[:, part], _STANCE[part]) for part in parts], signing)


def hand_keypoints(signing: Signing) -> Values:
    """63 values per hand."""
    hands = [signing.points[:, hand] - signing.points[:, hand.start, None] for hand, _ in _HANDS]
    return _of_hands([hand * _FLATTEN for hand in hands], signing)


def all_angles(signing: Signing) -> Values:
    """44 values of the trunk and arms, 164 per hand."""
    trunk = slice(0, NUM_BODY_ANGLES)
    body = _sines_and_cosines(signing.angles[:, trunk], _STANCE[trunk])
    return _of_trunk(body).beside(hand_angles(signing))


def all_keypoints(signing: Signing) -> Values:
    """57 values of the body, 63 per hand."""
    points = signing.points * _FLATTEN
    body = points[:, : RIGHT_HAND.start].reshape(len(points), -1)
    return _of_trunk(body).beside(_of_hands([points[:, hand] for hand, _ in _HANDS], signing))


def bone_directions(signing: Signing) -> Values:
    """60 values per hand."""
    points = signing.keypoints * _FLATTEN
    hands = []
    for rows in (_LEFT_BONES, _RIGHT_BONES):
        starts, ends = [BONES[row].start for row in rows], [BONES[row].end for row in rows]
        hands.append(unit(points[:, ends] - points[:, starts]))
    return _of_hands(hands, signing)


def wrists(signing: Signing) -> Values:
    """3 values per hand."""
    points = WRIST_WEIGHT * _FLATTEN * signing.keypoints
    return _of_hands([points[:, wrist] for _, wrist in _HANDS], signing)


def bone_directions_wrists(signing: Signing) -> Values:
    """63 values per hand."""
    return bone_directions(signing).beside(wrists(signing))


FEATURES: dict[str, Feature] = {
    "hand-angles": hand_angles,
    "hand-keypoints": hand_keypoints,
    "all-angles": all_angles,
    "all-keypoints": all_keypoints,
    "bone-directions": bone_directions,
    "bone-directions-wrists": bone_directions_wrists,
    "wrists": wrists,
}


def _sines_and_cosines(angles: Reals, origin: Reals) -> Reals:
    return np.concatenate([np.sin(angles) - np.sin(origin), np.cos(angles) - np.cos(origin)], axis=-1)


def _of_hands(hands: list[Reals], signing: Signing) -> Values:
    """Values [T, ...] of the left and the right hand, zero in frames where it is lost."""
    both = np.stack([hand.reshape(len(hand), -1) for hand in hands], axis=1)
    kept = np.where(signing.there[..., None], np.nan_to_num(both), 0.0)
    return Values(np.zeros((len(kept), 0)), kept)


def _of_trunk(values: Reals) -> Values:
    return Values(np.nan_to_num(values), np.zeros((len(values), 2, 0)))


# --------------------------------------------------------------------------------------------------------- time warping


def signing_sequence(signing: Signing) -> Floats:
    """What time warping compares: hand angles and wrists from the first to the last frame in which a hand is active.

    Returns:
        [T, 334].

    Raises:
        NoSignerError: no hand was found in the whole clip.
    """
    _require_hands(signing)
    values = hand_angles(signing).beside(wrists(signing))
    num_frames = len(values.hands)
    around = np.arange(num_frames)[:, None] + np.arange(NUM_FRAMES) - NUM_FRAMES // 2
    activity = np.stack([signing.activity(rows) for rows in np.clip(around, 0, num_frames - 1)])
    if not activity.any():
        activity = np.ones_like(activity)
    rows = np.flatnonzero(activity.any(axis=1))
    frames = [values.gated(np.array([row]), activity[row]) for row in range(rows[0], rows[-1] + 1)]
    return np.stack(frames)


def warp_costs(query: Floats, gallery: Sequence[Floats]) -> Floats:
    """Cost of the cheapest alignment of a query with each of many sequences, by steps (1, 0), (0, 1), (1, 1).

    D(i, j) = |q_i - g_j| + min(D(i-1, j), D(i, j-1), D(i-1, j-1)), divided by the sum of both lengths. All sequences
    are worked on at once, padded to the longest.

    Args:
        query: [Tq, F].
        gallery: [Tg, F] each.
    """
    lengths = np.array([len(other) for other in gallery])
    padded = np.zeros((len(gallery), lengths.max(), query.shape[1]), np.float32)
    for row, other in enumerate(gallery):
        padded[row, : len(other)] = other
    squares = (padded**2).sum(axis=-1)
    best = np.full((len(gallery), lengths.max()), np.inf, np.float32)
    for number, frame in enumerate(query):
        away = np.sqrt(np.maximum(squares + frame @ frame - 2.0 * (padded @ frame), 0.0))
        best = _next_row(away, best, first=number == 0)
    ends: Floats = best[np.arange(len(gallery)), lengths - 1] / (lengths + len(query))
    return ends


def _next_row(away: Floats, before: Floats, *, first: bool) -> Floats:
    """Costs [G, T] of one more frame of the query."""
    if first:
        return np.cumsum(away, axis=1)
    reached = np.minimum(
        before, np.concatenate([np.full((len(before), 1), np.inf, np.float32), before[:, :-1]], axis=1)
    )
    row = np.empty_like(away)
    row[:, 0] = reached[:, 0] + away[:, 0]
    for column in range(1, away.shape[1]):
        row[:, column] = np.minimum(reached[:, column], row[:, column - 1]) + away[:, column]
    return row


# -------------------------------------------------------------------------------------------------------------- pixels


class PixelEncoder:
    """An encoder without any training: where and when the picture gets lighter or darker.

    A window's embedding is 16 x 16 blocks of grey per frame, less their mean over the window. Activity is 1 throughout.
    """

    BLOCKS = 16

    def __init__(self) -> None:
        self.info = EncoderInfo(
            encoder_id=hashlib.sha256(b"pixels 16 x 16").hexdigest()[:12],
            config=EncoderConfig(image_size=64, embed_dim=512),
            fps=FPS,
            stride_frames=STRIDE,
            provenance="blocks of grey, less their mean over the window",
            licence="Apache-2.0",
            trained=True,
            precision="fp32",
        )

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """See `Encoder.encode`; all blocks are always looked at."""
        num_windows, num_frames, rows, columns, _ = windows.shape
        shape = (num_windows, num_frames, self.BLOCKS, rows // self.BLOCKS, self.BLOCKS, columns // self.BLOCKS, 3)
        blocks = windows.reshape(shape).mean(axis=(3, 5, 6), dtype=np.float32)
        embedding = (blocks - blocks.mean(axis=1, keepdims=True)).reshape(num_windows, -1)
        return Encoding(embedding, np.ones((num_windows, 2), np.float32))
