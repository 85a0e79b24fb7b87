"""Training-free baselines: encoders of landmarks and of pixels, and time warping.

A landmark baseline is an encoder like the network: it takes windows of 16 frames at 25 per second and gives an
embedding and the activity of both hands. Its embedding is a vector per frame, frame after frame:

    name                    per frame
    hand-angles             sines and cosines of the 41 angles of each hand, less those of the stance
    hand-keypoints          21 keypoints of each hand from its wrist, on the standard body
    all-angles              like hand-angles, all 104
    all-keypoints           61 keypoints from between the shoulders, on the standard body
    bone-directions         unit vectors along the 20 bones of each hand
    bone-directions-wrists  those, and each wrist from between the shoulders, in shoulder widths, counted twice
    wrists                  the wrists alone

`dtw` has no embedding: it is the cheapest alignment in time of hand-angles and wrists. `pixels` takes frames: where and
when the picture changes, in 16 x 16 blocks of grey. `untrained` is the network with random weights.

Normalisation of signers, and the values of bones and wrists, which serving uses too, are in `model.skeleton.features`.
Left-handed signers and mirrored videos are up to the protocol, which can index every clip mirrored, too.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from model.config import EncoderConfig
from model.encoder import EncoderInfo, Encoding, Floats, Frames, Ints
from model.skeleton.features import (
    DEPTH_SCALE,
    FPS,
    HANDS,
    STRIDE,
    FrameFeatures,
    SkeletonSequence,
    bone_directions,
    bone_directions_wrists,
    hand_features,
    hands_to_compare,
    require_hands,
    wrists,
)
from model.skeleton.kinematics import NUM_BODY_ANGLES, NUM_HAND_ANGLES, RIGHT_HAND, standing
from model.skeleton.rotations import Reals
from model.windows import window_starts
from training.data.priors.table import NUM_FRAMES

_RIGHT_ANGLES = slice(NUM_BODY_ANGLES, NUM_BODY_ANGLES + NUM_HAND_ANGLES)
_LEFT_ANGLES = slice(_RIGHT_ANGLES.stop, _RIGHT_ANGLES.stop + NUM_HAND_ANGLES)
_STANCE = np.concatenate([standing().body, standing().right, standing().left])


Feature = Callable[[SkeletonSequence], FrameFeatures]


def encode_signing(signing: SkeletonSequence, feature: Feature) -> Encoding:
    """The encoding of a clip by windows: the last one ends on the last frame, short clips repeat theirs.

    Raises:
        NoSignerError: no hand was found in the whole clip.
    """
    require_hands(signing.hands_found)
    values = feature(signing)
    num_frames = len(values.hands)
    starts = window_starts(num_frames, NUM_FRAMES, STRIDE)
    windows = np.minimum(starts[:, None] + np.arange(NUM_FRAMES), num_frames - 1)
    activity = np.stack([signing.activity(rows) for rows in windows])
    embedding = np.stack(
        [values.window_vector(rows, hands_to_compare(active)) for rows, active in zip(windows, activity, strict=True)]
    )
    return Encoding(embedding, activity)


def hand_angles(signing: SkeletonSequence) -> FrameFeatures:
    """164 values per hand."""
    parts = (_LEFT_ANGLES, _RIGHT_ANGLES)
    return hand_features([_sines_and_cosines(signing.angles[:, part], _STANCE[part]) for part in parts], signing)


def hand_keypoints(signing: SkeletonSequence) -> FrameFeatures:
    """63 values per hand."""
    hands = [signing.points[:, hand] - signing.points[:, hand.start, None] for hand, _ in HANDS]
    return hand_features([hand * DEPTH_SCALE for hand in hands], signing)


def all_angles(signing: SkeletonSequence) -> FrameFeatures:
    """44 values of the trunk and arms, 164 per hand."""
    trunk = slice(0, NUM_BODY_ANGLES)
    body = _sines_and_cosines(signing.angles[:, trunk], _STANCE[trunk])
    return _of_trunk(body).joined_with(hand_angles(signing))


def all_keypoints(signing: SkeletonSequence) -> FrameFeatures:
    """57 values of the body, 63 per hand."""
    points = signing.points * DEPTH_SCALE
    body = points[:, : RIGHT_HAND.start].reshape(len(points), -1)
    return _of_trunk(body).joined_with(hand_features([points[:, hand] for hand, _ in HANDS], signing))


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


def _of_trunk(values: Reals) -> FrameFeatures:
    return FrameFeatures(np.nan_to_num(values), np.zeros((len(values), 2, 0)))


# --------------------------------------------------------------------------------------------------------- time warping


def signing_sequence(signing: SkeletonSequence) -> Floats:
    """The sequence for time warping: hand angles and wrists from the first to the last frame in which a hand is active.

    Returns:
        [T, 334].

    Raises:
        NoSignerError: no hand was found in the whole clip.
    """
    require_hands(signing.hands_found)
    values = hand_angles(signing).joined_with(wrists(signing))
    num_frames = len(values.hands)
    around = np.arange(num_frames)[:, None] + np.arange(NUM_FRAMES) - NUM_FRAMES // 2
    activity = np.stack([signing.activity(rows) for rows in np.clip(around, 0, num_frames - 1)])
    if not activity.any():
        activity = np.ones_like(activity)
    rows = np.flatnonzero(activity.any(axis=1))
    frames = [values.window_vector(np.array([row]), activity[row] > 0) for row in range(rows[0], rows[-1] + 1)]
    return np.stack(frames)


def warp_costs(query: Floats, gallery: Sequence[Floats]) -> Floats:
    """LookupCost of the cheapest alignment of a query with each of many sequences, by steps (1, 0), (0, 1), (1, 1).

    D(i, j) = |q_i - g_j| + min(D(i-1, j), D(i, j-1), D(i-1, j-1)), divided by the sum of both lengths. All sequences
    are computed at once, padded to the longest.

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
    """A training-free encoder: where and when the picture gets lighter or darker.

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
        """See `Encoder.encode`; all blocks are always used."""
        num_windows, num_frames, rows, columns, _ = windows.shape
        shape = (num_windows, num_frames, self.BLOCKS, rows // self.BLOCKS, self.BLOCKS, columns // self.BLOCKS, 3)
        blocks = windows.reshape(shape).mean(axis=(3, 5, 6), dtype=np.float32)
        embedding = (blocks - blocks.mean(axis=1, keepdims=True)).reshape(num_windows, -1)
        return Encoding(embedding, np.ones((num_windows, 2), np.float32))
