"""Distinctness: how often a sign is found again among those of another signer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.encoder import Ints
from model.skeleton.kinematics import (
    Angles,
    inverse,
    mirror_angles,
)
from model.skeleton.rotations import Reals
from training.synth.clips.lexicon import make_signs
from training.synth.language.phonology import Sign
from training.synth.motion.perform import perform
from training.synth.motion.style import SignerStyle
from training.synth.people.rig import Rig, performance_landmarks

NUM_SEGMENTS = 16
"""Equal parts of a clip that its features are averaged over."""
# The five bones of a palm turn together at the wrist and count as one; so do the sine and cosine of its twist.
_WEIGHTS = np.ones(41)
_WEIGHTS[[0, 1, 8, 9, 16, 17, 24, 25, 32, 33]] = 5.0**-0.5
_WEIGHTS[40] = 2.0**-0.5


@dataclass(frozen=True)
class Distinctness:
    """Rates at which a sign's nearest neighbour among another signer's is the same sign."""

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

    A clip is trimmed to where a hand first leaves rest until the last one is back, and split into
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
        angles = inverse(performance_landmarks(perform(sign, rig, style, rng), rig))
        both = [features_of(angles), features_of(mirror_angles(angles))]
        hands.append([hand for hand, _ in both])
        everything.append([np.concatenate(parts) for parts in both])
        advance()
    return np.array(hands), np.array(everything)


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
    as_performed = gallery[:, 0]
    as_is, mirrored = (
        np.square(as_performed).sum(axis=-1) - 2.0 * queries[:, side] @ as_performed.T for side in (0, 1)
    )
    nearest: Ints = np.minimum(as_is, mirrored).argmin(axis=1)
    return nearest
