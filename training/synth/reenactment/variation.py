"""Variation of motion between people, which a re-enactment that repeats a clip to the frame lacks.

Two people who sign the same sign hold their arms, hands and fingers a few degrees apart, move more or less, and take
their time at other moments. Landmarks are varied like this before a body performs them, which gives a sign by two
people from a clip of one. How far is a decision; signers of the lexicon differ about as much (motion.style).
"""

from dataclasses import dataclass, replace

import numpy as np

from model.skeleton.rotations import Reals, pitch_yaw_roll, unit
from training.synth.kinematics.hands import palm_frame
from training.synth.motion.timing import smooth_noise
from training.synth.reenactment.clip_landmarks import ClipLandmarks

_ARMS = ((11, 13, 15), (12, 14, 16))
"""Shoulder, elbow, wrist of the left and the right arm."""
_TOWARDS = (np.array([1.0, 1.0, 1.0]), np.array([1.0, -1.0, -1.0]))
"""Pitch, yaw and roll of the left side, and of the right as in a mirror."""
_DRIFT_S = 0.8
"""About how long what is never twice the same goes one way."""


@dataclass(frozen=True)
class MotionVariation:
    """Variation of motion between people: standard deviations."""

    arm_deg: float = 4.0
    """Of upper arms and forearms, both sides alike: where the sign is made."""
    apart_deg: float = 1.5
    """Of one side by itself."""
    drift_deg: float = 1.5
    """Of an arm's bones, changing all the time."""
    hand_deg: float = 7.0
    """Rotation of a hand."""
    finger_deg: float = 6.0
    """Of every finger's bones."""
    log_amplitude: float = 0.12
    """Amplitude of the arms about their mean, as a logarithm."""
    log_speed: float = 0.15
    """Speed of the whole, as a logarithm."""
    log_pace: float = 0.25
    """Speed of moments of it, as a logarithm."""


def vary_motion(
    clip: ClipLandmarks, rng: np.random.Generator, variation: MotionVariation = MotionVariation()
) -> ClipLandmarks:
    """The clip as another person would perform the same movement.

    Args:
        clip: the landmarks; what is missing stays so.
        rng: samples the person.
        variation: how far people differ.

    Returns:
        landmarks at the same rate, of about as many frames.
    """
    clip = _vary_speed(clip, rng, variation)
    both = _some(rng, variation.arm_deg, 2, 3)
    amplitude = float(np.exp(variation.log_amplitude * rng.standard_normal()))
    body = clip.body.copy()
    hands = []
    for (shoulder, elbow, wrist), hand, towards in zip(_ARMS, (clip.left, clip.right), _TOWARDS, strict=True):
        turns = both * towards + _some(rng, variation.apart_deg, 2, 3)
        drift = np.deg2rad(variation.drift_deg) * smooth_noise(rng, clip.num_frames, 6, _DRIFT_S, clip.fps)
        upper, fore = (pitch_yaw_roll(turns[bone] + drift[:, 3 * bone : 3 * bone + 3]) for bone in (0, 1))
        chain = clip.body[:, [shoulder, elbow, wrist]]
        bones = _moving(np.diff(chain, axis=1), amplitude)
        body[:, elbow] = chain[:, 0] + _turned(upper, bones[:, 0])
        body[:, wrist] = body[:, elbow] + _turned(fore, bones[:, 1])
        hands.append(_held(hand, rng, variation))
    return replace(clip, body=body, left=hands[0], right=hands[1])


def _some(rng: np.random.Generator, deg: float, *shape: int) -> Reals:
    """Angles in radians, none of them beyond twice the standard deviation."""
    return np.asarray(np.deg2rad(deg) * np.clip(rng.standard_normal(shape), -2.0, 2.0))


def _turned(rotations: Reals, vectors: Reals) -> Reals:
    return np.asarray(np.einsum("...ab,...b->...a", rotations, vectors))


def _vary_speed(clip: ClipLandmarks, rng: np.random.Generator, variation: MotionVariation) -> ClipLandmarks:
    """Every frame the nearest one of a clock that runs faster and slower."""
    speed = variation.log_speed * np.clip(rng.standard_normal(), -2.0, 2.0)
    num_frames = max(1, round(clip.num_frames / np.exp(speed)))
    pace = np.exp(variation.log_pace * smooth_noise(rng, num_frames, 1, _DRIFT_S, clip.fps)[:, 0])
    clock = np.cumsum(pace) - pace[0]
    rows = (clock / max(float(clock[-1]), 1e-9) * (clip.num_frames - 1)).round().astype(int)
    return clip.at(rows, clip.fps)


def _moving(bones: Reals, amplitude: float) -> Reals:
    """Bones [T, 2, 3] whose directions go farther from their mean, or less far, at their own lengths."""
    length = np.linalg.norm(bones, axis=-1, keepdims=True)
    directions = bones / np.maximum(length, 1e-9)
    known = ~np.isnan(directions).any(axis=(1, 2))
    if not known.any():
        return bones
    mean = directions[known].mean(axis=0)
    moved = unit(mean + amplitude * (directions - mean))
    return np.asarray(length * moved)


def _held(hand: Reals, rng: np.random.Generator, variation: MotionVariation) -> Reals:
    """A hand [T, 21, 3] turned about its wrist, with every bone of its fingers turned in the palm's frame."""
    turn = pitch_yaw_roll(_some(rng, variation.hand_deg, 3))
    fingers = pitch_yaw_roll(_some(rng, variation.finger_deg, 5, 3, 3))
    known = ~np.isnan(hand).any(axis=(1, 2))
    held = hand.copy()
    if not known.any():
        return held
    seen = hand[known]
    palm = palm_frame(seen)
    chains = seen[:, 1:].reshape(len(seen), 5, 4, 3)
    steps = np.einsum("tba,tfkb->tfka", palm, np.diff(chains, axis=2))
    steps = np.einsum("tab,tfkb->tfka", palm, np.einsum("fkab,tfkb->tfka", fingers, steps))
    ends = chains[:, :, :1] + np.cumsum(steps, axis=2)
    posed = np.concatenate([seen[:, :1], np.concatenate([chains[:, :, :1], ends], axis=2).reshape(-1, 20, 3)], axis=1)
    held[known] = seen[:, :1] + _turned(turn, posed - seen[:, :1])
    return held
