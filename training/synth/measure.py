"""How good the synthetic motion is, in numbers: are signs told apart, and how true is a re-enactment?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.errors import PoseError
from training.skeleton import L_SHOULDER, R_SHOULDER, Angles, Reals, inverse, mirror_angles, unit
from training.synth.hands import palm_frame
from training.synth.lexicon import make_signs
from training.synth.motion import perform
from training.synth.phonology import Sign
from training.synth.reenact import ClipLandmarks, read_landmarks, reenact
from training.synth.retarget import MIRROR_X
from training.synth.rig import Performance, Rig, pose_bones, pose_landmarks
from training.synth.style import SignerStyle

NUM_SEGMENTS = 8


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

    A clip is cut from where a hand first leaves rest to where the last one is back, and that stretch into `NUM_SEGMENTS`
    of equal length; the features are the sines and cosines of the angles, averaged over each. Nearest is by Euclidean
    distance, to the clip as it is or mirrored, for signers lead with either hand.

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
    """Averages of sine and cosine of the angles over equal parts of the stretch that moves: of both hands, of the body."""
    hands = np.concatenate([angles.left, angles.right], axis=-1)
    active = _active(np.concatenate([hands, angles.body], axis=-1))
    return _segments(hands[active]), _segments(angles.body[active])


def _active(angles: Reals) -> slice:
    """From the first to the last frame whose pose is far from those at the ends."""
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    idle = np.minimum(*(np.linalg.norm(waves - waves[end], axis=-1) for end in (0, -1)))
    moving = np.flatnonzero(idle > 0.35 * idle.max())
    return slice(int(moving[0]), int(moving[-1]) + 1)


def _segments(angles: Reals) -> Reals:
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    bounds = np.linspace(0, len(waves), NUM_SEGMENTS + 1)
    rows = [
        np.arange(int(first), max(int(np.ceil(last)), int(first) + 1))
        for first, last in zip(bounds, bounds[1:], strict=False)
    ]
    return np.concatenate([waves[np.minimum(row, len(waves) - 1)].mean(axis=0) for row in rows])


def _nearest(gallery: Reals, queries: Reals) -> Reals:
    """Row of the gallery's nearest clip for every query: [N]."""
    shown = gallery[:, 0]
    distances = [
        np.square(shown).sum(axis=-1)[None]
        - 2.0 * queries[:, side] @ shown.T
        + np.square(queries[:, side]).sum(axis=-1)[:, None]
        for side in (0, 1)
    ]
    return np.minimum(*distances).argmin(axis=1)


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
    """[2] the clips' own and the performances' unrest: median length of a wrist's second difference over time, in shoulder
    widths."""


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
    parts = [
        _side_errors(clip.body[:, [11, 13, 15]], clip.left, performed[:, 3:6], performed[:, 40:61], rig.landmarks[40:61]),
        _side_errors(
            clip.body[:, [12, 14, 16]] * MIRROR_X,
            clip.right * MIRROR_X,
            performed[:, 0:3] * MIRROR_X,
            performed[:, 19:40] * MIRROR_X,
            rig.landmarks[19:40] * MIRROR_X,
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
    shape = _built_like(hand[found], resting.astype(float))
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
    """A hand's pose on another hand's bones, from its wrist: palm turned as a whole, fingers bone by bone, [N, 21, 3]."""
    palm = palm_frame(resting)
    local = (resting - resting[0]) @ palm
    starts = np.einsum("nab,fb->nfa", palm_frame(hand), local[1::4])
    lengths = np.linalg.norm(np.diff(local[1:].reshape(5, 4, 3), axis=1), axis=-1)
    steps = unit(np.diff(hand[:, 1:].reshape(-1, 5, 4, 3), axis=2)) * lengths[..., None]
    chain = np.concatenate([starts[:, :, None], starts[:, :, None] + np.cumsum(steps, axis=2)], axis=2)
    return np.concatenate([np.zeros((len(hand), 1, 3)), chain.reshape(-1, 20, 3)], axis=1)


def _degrees_between(a: Reals, b: Reals) -> Reals:
    return np.rad2deg(np.arccos(np.clip((unit(a) * unit(b)).sum(axis=-1), -1.0, 1.0)))
