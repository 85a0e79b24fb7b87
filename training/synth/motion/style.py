"""Signing style: what is the same in all signs of one person and differs between people."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from model.skeleton.rotations import Reals
from training.synth.kinematics.hands import NUM_FINGER_ANGLES


@dataclass(frozen=True)
class SignerStyle:
    """The signing style of one person."""

    leading: Literal["left", "right"] = "right"
    speed: float = 1.0
    """1 is usual, 1.2 a fifth faster."""
    amplitude: float = 1.0
    """Size of movements; 1 is usual."""
    jitter: float = 1.0
    """Size of what is never twice the same; 0 is a machine."""
    rest_s: float = 0.16
    """Seconds of rest before a sign, and after it."""
    rest: Literal["sides", "front"] = "sides"
    """Position of idle hands: hanging, or before the belly."""
    elbow_out_deg: float = 0.0
    """How much farther out than usual the elbows are held."""
    lean_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Posture of the trunk: forward, turned left, tilted right."""
    head_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Posture of the head, likewise."""
    location_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Personal offset of locations: to the leading side, up, out."""
    orientation_offset_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Personal rotation of the hand: about the leading side's axis, up, out."""
    laxness: float = 0.0
    """0 crisp handshapes; 0.2 a fifth of the way to a hand at rest."""
    finger_deg: tuple[float, ...] = (0.0,) * NUM_FINGER_ANGLES
    """Their own way of holding every finger joint."""
    mouthing: float = 0.5
    """How much the mouth moves: 0 to 1."""


def random_style(rng: np.random.Generator) -> SignerStyle:
    """A random signing style; one in eight leads with the left hand."""

    def some(size: float, count: int = 1) -> Reals:
        return np.clip(rng.standard_normal(count), -2.0, 2.0) * size

    style = SignerStyle(
        leading="left" if rng.random() < 0.125 else "right",
        speed=float(np.exp(rng.uniform(-0.25, 0.25))),
        amplitude=float(np.exp(rng.uniform(-0.25, 0.22))),
        jitter=float(rng.uniform(0.5, 1.5)),
        rest="sides" if rng.random() < 0.6 else "front",
        elbow_out_deg=float(rng.uniform(-7.0, 13.0)),
        lean_deg=_triple(some(2.0), some(3.0), some(1.5)),
        head_deg=_triple(some(3.0), some(3.0), some(2.0)),
    )
    rng.random()  # skipped: signers of a seed stay who they were when there was one more value here
    return replace(
        style,
        location_offset_m=_triple(some(0.012), some(0.014), some(0.014)),
        orientation_offset_deg=_triple(some(4.0), some(4.0), some(4.0)),
        laxness=float(rng.uniform(0.0, 0.13)),
        finger_deg=tuple(float(angle) for angle in some(2.0, NUM_FINGER_ANGLES)),
        mouthing=float(rng.uniform(0.0, 1.0)),
    )


def _triple(a: Reals, b: Reals, c: Reals) -> tuple[float, float, float]:
    return float(a[0]), float(b[0]), float(c[0])
