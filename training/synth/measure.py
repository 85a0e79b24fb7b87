"""How good the synthetic motion is, in numbers: are signs told apart, and how true is a re-enactment?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.encoder import Ints
from model.skeleton.kinematics import (
    L_HIP,
    L_SHOULDER,
    L_WRIST,
    LEFT_HAND,
    R_HIP,
    R_SHOULDER,
    R_WRIST,
    RIGHT_HAND,
    Angles,
    inverse,
    mirror_angles,
)
from model.skeleton.rotations import Reals, unit
from training.errors import PoseError
from training.synth.hands import palm_frame
from training.synth.lexicon import make_signs
from training.synth.motion import perform
from training.synth.phonology import Sign
from training.synth.reenact import ClipLandmarks, read_landmarks, reenact
from training.synth.retarget import MIRROR_X
from training.synth.rig import Performance, Rig, pose_bones, pose_landmarks
from training.synth.style import SignerStyle

NUM_SEGMENTS = 16
"""Equal parts of a clip that its features are averaged over."""
# The five bones of a palm turn together at the wrist and count as one; so do the sine and cosine of its twist.
_WEIGHTS = np.ones(41)
_WEIGHTS[[0, 1, 8, 9, 16, 17, 24, 25, 32, 33]] = 5.0**-0.5
_WEIGHTS[40] = 2.0**-0.5


# ------------------------------------------------------------------------------------------------------- distinctness


@dataclass(frozen=True)
class Distinctness:
    """How often a sign's nearest neighbour among another signer's is the same sign."""

    num_signs: int
    hands_rank1: float
    """By the joint angles of both hands alone, wrist twist included: 0 to 1."""
    hands_and_arms_rank1: float
    """By the joint angles of hands and body."""
    confused: tuple[tuple[str, str], ...]
    """Glosses of signs that hands alone mistook, and what for."""


def measure_distinctness(
    signers: Sequence[tuple[Rig, SignerStyle]],
    *,
    num_signs: int = 500,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Distinctness:
    """Exact poses of every sign by two signers; each of the second's is looked up among the first's.

    A clip is cut from where a hand first leaves rest to where the last one is back, and that stretch into
    `NUM_SEGMENTS` of equal length; the features are the sines and cosines of the angles, averaged over each. Nearest
    is by Euclidean distance, to the clip as it is or mirrored, for signers lead with either hand.

    Args:
        signers: two rigs and styles.
        num_signs: how many signs.
        seed: of the signs and of how they are performed.
        advance: called once per performance.
    """
    signs = make_signs(num_signs, seed)
    features: list[tuple[Reals, Reals]] = []
    for number, (rig, style) in enumerate(signers):
        rng = np.random.default_rng((seed, number))
        features.append(_all_features(signs, rig, style, rng, advance))
    hits = [_nearest(gallery, queries) for gallery, queries in zip(*features, strict=True)]
    right = np.arange(num_signs)
    wrong = np.flatnonzero(hits[0] != right)
    return Distinctness(
        num_signs,
        float((hits[0] == right).mean()),
        float((hits[1] == right).mean()),
        tuple((signs[row].gloss, signs[hits[0][row]].gloss) for row in wrong),
    )


def _all_features(
    signs: Sequence[Sign], rig: Rig, style: SignerStyle, rng: np.random.Generator, advance: Callable[[], None]
) -> tuple[Reals, Reals]:
    """Features by hands, and by hands and body: [N, 2, D] each, as performed and mirrored."""
    hands, everything = [], []
    for sign in signs:
        angles = inverse(landmarks_of(perform(sign, rig, style, rng), rig))
        both = [features_of(angles), features_of(mirror_angles(angles))]
        hands.append([hand for hand, _ in both])
        everything.append([np.concatenate(parts) for parts in both])
        advance()
    return np.array(hands), np.array(everything)


def landmarks_of(performance: Performance, rig: Rig) -> Reals:
    """The exact keypoints of a performance: [T, 61, 3] metres."""
    return pose_landmarks(rig, pose_bones(rig, performance.rotations, performance.root)).astype(float)


def features_of(angles: Angles) -> tuple[Reals, Reals]:
    """Sines and cosines of the angles of both hands, and of the body, averaged over equal parts of what moves."""
    hands = np.concatenate([angles.left, angles.right], axis=-1)
    active = _active(np.concatenate([hands, angles.body], axis=-1))
    return _segments(hands[active], np.tile(_WEIGHTS, 2)), _segments(angles.body[active], np.ones(22))


def _active(angles: Reals) -> slice:
    """From the first to the last frame whose pose is far from those at the ends."""
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    idle = np.minimum(*(np.linalg.norm(waves - waves[end], axis=-1) for end in (0, -1)))
    moving = np.flatnonzero(idle > 0.35 * idle.max())
    return slice(int(moving[0]), int(moving[-1]) + 1)


def _segments(angles: Reals, weights: Reals) -> Reals:
    waves = np.concatenate([weights * np.sin(angles), weights * np.cos(angles)], axis=-1)
    bounds = np.linspace(0, len(waves), NUM_SEGMENTS + 1)
    starts = np.minimum(bounds[:-1].astype(int), len(waves) - 1)
    ends = np.maximum(np.ceil(bounds[1:]).astype(int), starts + 1)
    return np.concatenate([waves[start:end].mean(axis=0) for start, end in zip(starts, ends, strict=True)])


def _nearest(gallery: Reals, queries: Reals) -> Ints:
    """Row of the gallery's nearest clip for every query: [N]."""
    shown = gallery[:, 0]
    as_is, mirrored = (np.square(shown).sum(axis=-1) - 2.0 * queries[:, side] @ shown.T for side in (0, 1))
    nearest: Ints = np.minimum(as_is, mirrored).argmin(axis=1)
    return nearest


# ------------------------------------------------------------------------------------------------------- re-enactment


@dataclass(frozen=True)
class Fidelity:
    """How truly clips are performed by other bodies.

    Errors are those of keypoints, in the performing body's shoulder widths, against the clip's own bone directions, as
    the detector gave them frame by frame, put on the performing body's bone lengths from its shoulders on. So they hold
    what limits of joints, smoothing and keeping hands out of the body cost, and not that people are built differently.
    """

    num_clips: int
    num_frames: int
    arm_error: Reals
    """[3] median, mean and 90th percentile over elbows and wrists."""
    hand_error: Reals
    """[3] likewise over the 42 keypoints of hands that the detector found, in place: what the arm is off counts."""
    hand_shape_error: Reals
    """[3] likewise with both wrists put together."""
    arm_degrees: Reals
    """[3] likewise of the directions of upper arms and forearms."""
    finger_degrees: Reals
    """[3] likewise of the directions of finger bones."""
    jitter: Reals
    """[2] unrest of the clips and of the performances: median length of a wrist's second difference over time, in
    shoulder widths."""


def measure_reenactment(
    files: Sequence[Path], rigs: Sequence[Rig], *, advance: Callable[[], None] = lambda: None
) -> Fidelity:
    """Perform clips, each by one of the bodies in turn, and compare.

    Args:
        files: landmarks of clips.
        rigs: bodies.
        advance: called once per clip.

    Raises:
        PoseError: there are no clips, or one can't be read.
    """
    if not files:
        raise PoseError("no clips to perform; give files of landmarks (.npz)")
    columns: dict[str, list[Reals]] = {}
    num_frames = 0
    for number, file in enumerate(files):
        clip, rig = read_landmarks(file), rigs[number % len(rigs)]
        for name, values in _errors(clip, rig).items():
            columns.setdefault(name, []).append(values)
        num_frames += clip.num_frames
        advance()
    found = {name: np.concatenate(values) for name, values in columns.items()}
    summary = {name: _summary(found[name]) for name in found if not name.startswith("jitter")}
    jitter = np.array([np.median(found["jitter_before"]), np.median(found["jitter_after"])])
    return Fidelity(len(files), num_frames, jitter=jitter, **summary)


def _summary(values: Reals) -> Reals:
    return np.array([np.median(values), values.mean(), np.percentile(values, 90)])


def _errors(clip: ClipLandmarks, rig: Rig) -> dict[str, Reals]:
    performed = landmarks_of(reenact(clip, rig, "clip"), rig)
    width = float(np.linalg.norm(rig.landmarks[L_SHOULDER] - rig.landmarks[R_SHOULDER]))
    resting = rig.landmarks.astype(float)
    parts = [
        _side_errors(clip.body[:, [11, 13, 15]], clip.left, performed[:, 3:6], performed[:, 40:61], resting[40:61]),
        _side_errors(
            clip.body[:, [12, 14, 16]] * MIRROR_X,
            clip.right * MIRROR_X,
            performed[:, 0:3] * MIRROR_X,
            performed[:, 19:40] * MIRROR_X,
            resting[19:40] * MIRROR_X,
        ),
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: values if name.endswith("degrees") else values / width for name, values in joined.items()}


def _side_errors(arm: Reals, hand: Reals, performed: Reals, fingers: Reals, resting: Reals) -> dict[str, Reals]:
    """Errors of a left arm, metres and degrees.

    Args:
        arm: [T, 3, 3] shoulder, elbow, wrist of the clip.
        hand: [T, 21, 3] of the clip, NaN where not found.
        performed: [T, 3, 3] the arm as performed.
        fingers: [T, 21, 3] the hand as performed.
        resting: [21, 3] the performing hand at rest.
    """
    lengths = np.linalg.norm(np.diff(performed, axis=1), axis=-1)
    wanted = unit(np.diff(arm, axis=1))
    elbow = performed[:, 0] + lengths[:, :1] * wanted[:, 0]
    wrist = elbow + lengths[:, 1:] * wanted[:, 1]
    found = ~np.isnan(hand[:, 0, 0])
    shape = _built_like(hand[found], resting)
    in_place = np.linalg.norm(wrist[found, None] + shape - fingers[found], axis=-1)
    own = np.linalg.norm(shape - (fingers[found] - fingers[found, :1]), axis=-1)
    meant, done = (np.diff(points[:, 1:].reshape(-1, 5, 4, 3), axis=2) for points in (hand[found], fingers[found]))
    before = np.diff((wrist - performed[:, 0]), 2, axis=0)
    after = np.diff((performed[:, 2] - performed[:, 0]), 2, axis=0)
    return {
        "arm_error": np.linalg.norm(np.stack([elbow, wrist], axis=1) - performed[:, 1:], axis=-1).ravel(),
        "hand_error": in_place[:, 1:].ravel(),
        "hand_shape_error": own[:, 1:].ravel(),
        "arm_degrees": _degrees_between(wanted, np.diff(performed, axis=1)).ravel(),
        "finger_degrees": _degrees_between(meant, done).ravel(),
        "jitter_before": np.linalg.norm(before, axis=-1),
        "jitter_after": np.linalg.norm(after, axis=-1),
    }


def _built_like(hand: Reals, resting: Reals) -> Reals:
    """A hand's pose on another hand's bones, from its wrist: palm as a whole, fingers bone by bone, [N, 21, 3]."""
    palm = palm_frame(resting)
    local = (resting - resting[0]) @ palm
    starts = np.einsum("nab,fb->nfa", palm_frame(hand), local[1::4])
    lengths = np.linalg.norm(np.diff(local[1:].reshape(5, 4, 3), axis=1), axis=-1)
    steps = unit(np.diff(hand[:, 1:].reshape(-1, 5, 4, 3), axis=2)) * lengths[..., None]
    chain = np.concatenate([starts[:, :, None], starts[:, :, None] + np.cumsum(steps, axis=2)], axis=2)
    return np.concatenate([np.zeros((len(hand), 1, 3)), chain.reshape(-1, 20, 3)], axis=1)


def _degrees_between(a: Reals, b: Reals) -> Reals:
    degrees: Reals = np.rad2deg(np.arccos(np.clip((unit(a) * unit(b)).sum(axis=-1), -1.0, 1.0)))
    return degrees


# ---------------------------------------------------------------------------------------------------------- detection


@dataclass(frozen=True)
class Detection:
    """What MediaPipe Holistic finds in rendered clips, against the truth.

    A hand counts as active in a frame where its wrist is above the middle of the trunk and all of it is in the picture.
    Errors are in the picture, in shoulder widths; where the detector sees a joint differs from where the skeleton has
    it, so a part of every error is the same in every frame.
    """

    num_clips: int
    num_active_frames: int
    body_found: float
    """Share of the frames with an active hand in which the body was found."""
    hands_found: float
    """Share of active hands that were found."""
    real_hands_found: float
    """Share found of the active hands of the real clips, where the wrist of the body the detector found tells which are
    active and in the picture; NaN where no real clips were given."""
    arm_error: Reals
    """[3] median, mean and 90th percentile over shoulders, elbows and wrists."""
    hand_error: Reals
    """[3] likewise over the 21 keypoints of active hands that were found."""
    hand_shape_error: Reals
    """[3] likewise with the wrists put together."""
    jitter: Reals
    """[2] of the detector over the rendered and over the real clips: median distance of an active hand's keypoint from
    the middle of where it was a frame before and a frame after; the latter NaN where no real clips were given."""


def measure_detection(truths: Sequence[Path], found: Sequence[Path], real: Sequence[Path] = ()) -> Detection:
    """Compare a detector's landmarks with the exact keypoints.

    Args:
        truths: exact keypoints of rendered clips (.npz: world, pixels, inside).
        found: the landmarks of the same clips, in the same order (.npz as `read_landmarks` takes).
        real: landmarks of real clips, for the detector's own jitter.

    Raises:
        PoseError: there are no clips, their numbers differ, or landmarks are missing or damaged.
    """
    if not truths or len(truths) != len(found):
        raise PoseError(
            f"{len(truths)} clips with keypoints and {len(found)} with landmarks; wanted are the same, one at least"
        )
    columns: dict[str, list[Reals]] = {}
    for truth, landmarks in zip(truths, found, strict=True):
        for name, values in _detected(truth, landmarks).items():
            columns.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    others = float(np.median(np.concatenate([_real_jitter(file) for file in real]))) if real else np.nan
    real_found = float(np.concatenate([_real_found(file) for file in real]).mean()) if real else np.nan
    return Detection(
        len(truths),
        len(joined["body_found"]),
        float(joined["body_found"].mean()),
        float(joined["hand_found"].mean()),
        real_found,
        _summary(joined["arm_error"]),
        _summary(joined["hand_error"]),
        _summary(joined["hand_shape_error"]),
        np.array([np.median(joined["jitter"]), others]),
    )


def _detected(truth: Path, landmarks: Path) -> dict[str, Reals]:
    with np.load(truth) as arrays:
        pixels, inside, size = arrays["pixels"].astype(float), arrays["inside"], arrays["size"]
    clip = read_landmarks(landmarks, (int(size[0]), int(size[1])))
    num_frames = min(len(pixels), clip.num_frames)
    pixels, inside = pixels[:num_frames] * np.array([1.0, -1.0]), inside[:num_frames]
    width = float(np.median(np.linalg.norm(pixels[:, L_SHOULDER] - pixels[:, R_SHOULDER], axis=-1)))
    middle = pixels[:, [L_SHOULDER, R_SHOULDER, L_HIP, R_HIP], 1].mean(axis=1)
    body = ~np.isnan(clip.body[:num_frames, 0, 0])
    arms = np.linalg.norm(clip.image[:num_frames][:, [12, 14, 16, 11, 13, 15]] - pixels[:, :6], axis=-1)
    result: dict[str, list[Reals]] = {name: [] for name in ("hand_found", "hand_error", "hand_shape_error", "jitter")}
    any_active = np.zeros(num_frames, bool)
    for hand, part, wrist in ((clip.left, LEFT_HAND, L_WRIST), (clip.right, RIGHT_HAND, R_WRIST)):
        active = (pixels[:, wrist, 1] > middle) & inside[:, part].all(axis=1)
        any_active |= active
        seen = hand[:num_frames, :, :2]
        there = active & ~np.isnan(seen[:, 0, 0])
        away = seen - pixels[:, part]
        result["hand_found"].append(there[active].astype(float))
        result["hand_error"].append(np.linalg.norm(away[there], axis=-1).ravel() / width)
        result["hand_shape_error"].append(np.linalg.norm(away - away[:, :1], axis=-1)[there].ravel() / width)
        result["jitter"].append(_jitter(np.where(active[:, None, None], seen, np.nan)) / width)
    joined = {name: np.concatenate(values) for name, values in result.items()}
    return joined | {
        "body_found": body[any_active].astype(float),
        "arm_error": arms[any_active & body].ravel() / width,
    }


def _real_found(file: Path) -> Reals:
    """For every active hand of a real clip 1 if it was found, 0 if not."""
    clip = read_landmarks(file)
    with np.load(file) as arrays:
        size = arrays["size"].astype(float)
    middle = clip.image[:, [11, 12, 23, 24], 1].mean(axis=1)
    found = []
    for hand, row in ((clip.left, 15), (clip.right, 16)):
        wrist = clip.image[:, row] * np.array([1.0, -1.0])
        active = (clip.image[:, row, 1] > middle) & ((wrist >= 0) & (wrist < size)).all(axis=-1)
        found.append(~np.isnan(hand[active, 0, 0]))
    return np.concatenate(found).astype(float)


def _real_jitter(file: Path) -> Reals:
    clip = read_landmarks(file)
    shoulders = clip.image[:, 11] - clip.image[:, 12]
    middle = clip.image[:, [11, 12, 23, 24], 1].mean(axis=1)
    width = float(np.nanmedian(np.linalg.norm(shoulders, axis=-1)))
    moved = [
        _jitter(np.where((clip.image[:, wrist, 1] > middle)[:, None, None], hand[..., :2], np.nan))
        for hand, wrist in ((clip.left, 15), (clip.right, 16))
    ]
    return np.concatenate(moved) / width


def _jitter(points: Reals) -> Reals:
    """Distance of every point from the middle of where it was before and is after, where all three are known."""
    away = np.linalg.norm(points[1:-1] - 0.5 * (points[:-2] + points[2:]), axis=-1)
    known: Reals = away[~np.isnan(away)]
    return known
