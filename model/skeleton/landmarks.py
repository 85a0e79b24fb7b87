"""What MediaPipe Holistic sees in a clip, as the 61 keypoints of the skeleton.

From the picture to space (Paper: says only that poses are MediaPipe's in 3D; here):

- Across and up come from the picture, at one scale: metres per pixel is the least-squares fit of the body's landmarks
  in the picture to its world landmarks, as a running median over two seconds. So hands, face and their contacts are
  where they are seen to be: wrists of the world landmarks' own are 0.05 to 0.13 shoulder widths beside them.
- Depth comes from the world landmarks: the picture's own depth of the body is exaggerated several times. Where it would
  make a bone of an arm longer than that bone's median over the clip, depth gives way: an arm stretched towards the
  camera looks larger than it is, and would have to fall short of its place in the picture.
- A hand hangs at its arm's wrist, which takes the hand's own wrist in the picture (it is the more exact of the two).
  Its 21 landmarks are scaled like the rest; their depth is relative to the wrist, in picture widths.
- A hand that lies much nearer to the other arm's wrist goes there, or is dropped where that place is taken. Where one
  hand was found twice, it stays with the arm whose wrist is seen there.

Confidence is the visibility of the world landmark; a hand has none, so what was found counts as 1.
"""

from dataclasses import dataclass

import numpy as np

from model.encoder import Ints
from model.skeleton.kinematics import (
    FACE,
    L_ELBOW,
    L_SHOULDER,
    L_WRIST,
    LEFT_HAND,
    NUM_KEYPOINTS,
    R_ELBOW,
    R_SHOULDER,
    R_WRIST,
    RIGHT_HAND,
)
from model.skeleton.rotations import Reals

BODY_LANDMARKS = (12, 14, 16, 11, 13, 15, 24, 23, *range(11))
"""The MediaPipe landmarks that keypoints 0-18 are."""
SCALE_MEDIAN_S = 2.0
STRAY = 0.5
"""A hand is the other arm's where that wrist is nearer than this share of the distance to its own."""
TWIN = 0.15
"""Two hands whose landmarks are this near to each other on average are taken for one, shoulder widths."""
BESIDE = 0.3
"""A hand this far from its arm's wrist is doubtful, shoulder widths: found hands are at 0.05, 99 of 100 within 0.35."""
TIME_TOLERANCE_S = 0.0006
"""A frame that starts this much later still counts as on display, as when videos are sampled."""


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of every picture of a clip. NaN where nothing was found."""

    pose: Reals
    """[T, 33, 4] x, y, z, visibility: shares of the picture's width and height, y down; z is not used."""
    world: Reals
    """[T, 33, 4] metres from between the hips, x to the signer's left, y down, z away from the camera; visibility."""
    left: Reals
    """[T, 21, 4] like `pose`; z is relative to the wrist, in picture widths."""
    right: Reals
    fps: float
    """Pictures per second, on average."""
    size: tuple[int, int]
    """Width and height of the picture as displayed. Only their ratio counts."""
    times_s: Reals
    """[T] when each picture came on display, from the first one on."""

    @property
    def num_frames(self) -> int:
        """Pictures of the clip."""
        return len(self.pose)

    def rows_at(self, fps: float, num_frames: int | None = None) -> Ints:
        """Which picture is on display at every `1 / fps` seconds, as a video is sampled.

        Args:
            fps: frames per second that are wanted.
            num_frames: how many; None for as many as the clip lasts.
        """
        if num_frames is None:
            end_s = self.times_s[-1] + 1.0 / self.fps
            num_frames = max(1, int(np.ceil((end_s - TIME_TOLERANCE_S) * fps)))
        moments = np.arange(num_frames) / fps + TIME_TOLERANCE_S
        return np.clip(np.searchsorted(self.times_s, moments, side="right") - 1, 0, self.num_frames - 1)

    def at(self, fps: float) -> "Landmarks":
        """The landmarks of the pictures that are on display at every `1 / fps` seconds."""
        rows = self.rows_at(fps)
        return Landmarks(
            self.pose[rows],
            self.world[rows],
            self.left[rows],
            self.right[rows],
            fps,
            self.size,
            np.arange(len(rows)) / fps,
        )


@dataclass(frozen=True)
class ObservedKeypoints:
    """The keypoints of a clip as observed, and where they are in the picture."""

    keypoints: Reals
    """[T, 61, 3] metres from between the hips, x to the signer's left, y up, z to the camera; NaN where not found."""
    confidence: Reals
    """[T, 61] in [0, 1]."""
    origin: Reals
    """[T, 2] where the origin lies, in picture widths and heights."""
    widths_per_m: Reals
    """[T] picture widths per metre."""
    aspect: float
    """Width of the picture over its height."""

    def rows(self, rows: Ints) -> "ObservedKeypoints":
        """Other frames, in another order or number."""
        return ObservedKeypoints(
            self.keypoints[rows], self.confidence[rows], self.origin[rows], self.widths_per_m[rows], self.aspect
        )

    def project(self, points: Reals) -> Reals:
        """Where points in metres lie in the picture: [T, K, 3] to shares of width and height [T, K, 2]."""
        scale = self.widths_per_m[:, None, None] * np.array([1.0, -self.aspect])
        shares: Reals = self.origin[:, None] + points[..., :2] * scale
        return shares


def observe(landmarks: Landmarks) -> ObservedKeypoints:
    """The keypoints of a clip in space, with confidence."""
    width, height = landmarks.size
    to_widths = np.array([1.0, height / width, 1.0])
    picture, world = landmarks.pose[:, BODY_LANDMARKS, :2] * to_widths[:2], landmarks.world[:, BODY_LANDMARKS]
    hands = _sorted_hands(
        landmarks.left[..., :3] * to_widths, landmarks.right[..., :3] * to_widths, picture, world[..., 3]
    )
    scale = _metres_per_width(picture, world[..., :2], round(SCALE_MEDIAN_S * landmarks.fps))
    origin = picture[:, 6:8].mean(axis=1)
    keypoints = np.full((landmarks.num_frames, NUM_KEYPOINTS, 3), np.nan)
    confidence = np.zeros((landmarks.num_frames, NUM_KEYPOINTS))
    keypoints[:, : FACE.stop, :2] = (picture - origin[:, None]) * scale[:, None, None]
    keypoints[:, : FACE.stop, 2] = world[..., 2]
    confidence[:, : FACE.stop] = np.nan_to_num(world[..., 3])
    middle = np.append(origin, np.zeros((len(origin), 1)), axis=1)[:, None]
    arms = [
        ((hand - middle) * scale[:, None, None], rows, wrist)
        for hand, rows, wrist in zip(hands, (LEFT_HAND, RIGHT_HAND), (L_WRIST, R_WRIST), strict=True)
    ]
    for hand, _, wrist in arms:
        found = np.isfinite(hand[:, 0, 0]) & np.isfinite(keypoints[:, wrist, 0])
        keypoints[found, wrist, :2] = hand[found, 0, :2]
        confidence[found, wrist] = 1.0
    _limit_depth(keypoints, confidence)
    for hand, rows, wrist in arms:
        _hang_hand(keypoints, confidence, hand, rows, wrist)
    turned = keypoints * np.array([1.0, -1.0, -1.0])
    return ObservedKeypoints(turned, confidence, origin / to_widths[:2], 1.0 / scale, width / height)


def _limit_depth(keypoints: Reals, confidence: Reals) -> None:
    """Bring elbows and wrists nearer in depth where their bone is longer than its median over clip and arms.

    Args:
        keypoints: [T, 61, 3], written to.
        confidence: [T, 61].
    """
    for rows in (((R_SHOULDER, R_ELBOW), (L_SHOULDER, L_ELBOW)), ((R_ELBOW, R_WRIST), (L_ELBOW, L_WRIST))):
        bones = [keypoints[:, end] - keypoints[:, start] for start, end in rows]
        sure = [(confidence[:, [start, end]] >= 0.5).all(axis=1) for start, end in rows]
        lengths = np.concatenate([np.linalg.norm(bone[seen], axis=-1) for bone, seen in zip(bones, sure, strict=True)])
        if not lengths.size:
            continue
        for (start, end), bone in zip(rows, bones, strict=True):
            room = np.sqrt(np.maximum(np.median(lengths) ** 2 - (bone[:, :2] ** 2).sum(axis=-1), 0.0))
            keypoints[:, end, 2] = keypoints[:, start, 2] + np.clip(bone[:, 2], -room, room)


def _hang_hand(keypoints: Reals, confidence: Reals, hand: Reals, rows: slice, wrist: int) -> None:
    """Write a hand into the keypoints of a clip that is being put together, at its arm's wrist.

    Args:
        keypoints: [T, 61, 3], written to.
        confidence: [T, 61], written to.
        hand: [T, 21, 3] metres from the origin, its depth from the wrist; NaN where not found.
        rows: the hand's keypoints.
        wrist: the arm's wrist.
    """
    found = np.isfinite(hand[:, 0, 0]) & np.isfinite(keypoints[:, wrist, 0])
    depth = hand[..., 2] - hand[:, :1, 2] + keypoints[:, wrist, None, 2]
    keypoints[found, rows] = np.concatenate([hand[..., :2], depth[..., None]], axis=-1)[found]
    confidence[found, rows] = 1.0
    keypoints[:, rows.start], confidence[:, rows.start] = keypoints[:, wrist], confidence[:, wrist]


def _sorted_hands(left: Reals, right: Reals, picture: Reals, visibility: Reals) -> tuple[Reals, Reals]:
    """Every hand at the arm whose wrist it is at: the estimator at times finds one hand twice, or exchanges them."""
    left, right = _without_twins(left, right, picture, visibility)
    hands = [left.copy(), right.copy()]
    wrists = [picture[:, L_WRIST], picture[:, R_WRIST]]
    away = np.array([[np.linalg.norm(hand[:, 0, :2] - wrist, axis=-1) for wrist in wrists] for hand in hands])
    strays = [away[own, other] < STRAY * away[own, own] for own, other in ((0, 1), (1, 0))]
    for hand, stray in zip(hands, strays, strict=True):
        hand[stray] = np.nan
    for own, other in ((0, 1), (1, 0)):
        free = strays[own] & np.isnan(hands[other][:, 0, 0])
        hands[other][free] = (left, right)[own][free]
    return hands[0], hands[1]


def _without_twins(left: Reals, right: Reals, picture: Reals, visibility: Reals) -> tuple[Reals, Reals]:
    """Two hands of which each landmark lies at its fellow's are one hand: the less likely arm loses it.

    Hands that are laid together pass for one too; they are kept, since both wrists are then seen where the hands are.
    """
    shoulders = np.linalg.norm(picture[:, L_SHOULDER] - picture[:, R_SHOULDER], axis=-1)
    same = np.linalg.norm(left[..., :2] - right[..., :2], axis=-1).mean(axis=-1) < TWIN * shoulders
    away = {
        side: np.linalg.norm(hand[:, 0, :2] - picture[:, side], axis=-1) / shoulders
        for hand, side in ((left, L_WRIST), (right, R_WRIST))
    }
    doubtful = {side: (away[side] > BESIDE) | (visibility[:, side] < 0.5) for side in away}
    loses_left = same & doubtful[L_WRIST] & ~(doubtful[R_WRIST] & (away[R_WRIST] > away[L_WRIST]))
    loses_right = same & doubtful[R_WRIST] & ~loses_left
    return np.where(loses_left[:, None, None], np.nan, left), np.where(loses_right[:, None, None], np.nan, right)


def _metres_per_width(picture: Reals, world: Reals, num_frames: int) -> Reals:
    """[T] scale at which the picture's body fits the world's best, as a running median; NaN before any body."""
    seen = np.isfinite(picture).all(axis=(1, 2)) & np.isfinite(world).all(axis=(1, 2))
    a, b = (points[seen] - points[seen].mean(axis=1, keepdims=True) for points in (picture, world))
    fitted = (a * b).sum(axis=(1, 2)) / (a * a).sum(axis=(1, 2))
    half = num_frames // 2
    padded = np.pad(fitted, half, mode="edge")
    calm = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=-1)
    scale = np.full(len(picture), np.nan)
    scale[seen] = calm
    return scale
