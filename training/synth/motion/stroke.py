"""Strokes: what each kind of movement does to a hand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.skeleton.rotations import Reals
from training.synth.language.phonology import Movement, direction
from training.synth.motion.timing import minimum_jerk

SECONDS: dict[str, tuple[float, float]] = {
    "HELD": (0.45, 0.45),
    "STRAIGHT": (0.42, 0.95),
    "ARC": (0.50, 1.05),
    "CIRCLE": (0.70, 1.20),
    "ZIGZAG": (0.85, 0.85),
    "TWIST": (0.50, 0.95),
    "NOD": (0.50, 0.90),
    "SWAY": (0.50, 0.90),
    "WIGGLE": (0.90, 0.90),
    "OPENING": (0.42, 0.95),
    "CLOSING": (0.42, 0.95),
    "CONTACT": (0.45, 0.80),
    "BRUSH": (0.48, 0.95),
}
"""Seconds a stroke lasts at usual speed, done once and repeated."""
AWAY_M = 0.03
"""Distance of a hand from a location that it does not touch."""
_LENGTH, _RADIUS = 0.34, 0.13
_PLANES = {"FRONTAL": (0, 1), "LEVEL": (0, 2), "SAGITTAL": (2, 1)}


@dataclass(frozen=True)
class Stroke:
    """A movement over the frames of a stroke."""

    path: Reals
    """[n, 3] arm lengths from the location, along the leading hand's side, up and out."""
    turn: Reals
    """[n, 3] radians added to pronation, flexion and deviation."""
    shut: Reals
    """[n] 0 the handshape, 1 its partner."""
    wiggle: Reals
    """[n, 4] radians added to the first joint of index to little finger."""
    gap: Reals
    """[n] metres between hand and skin, where the location has skin."""


def make_stroke(movement: Movement, num_frames: int, *, amplitude: float = 1.0, opposed: bool = False) -> Stroke:
    """A movement as numbers.

    Args:
        movement: of the lexicon.
        num_frames: n.
        amplitude: 1 is usual.
        opposed: True for the second hand of an alternating sign, which is half a cycle behind.
    """
    u = np.linspace(0.0, 1.0, num_frames)
    s = _there_and_back(u) if movement.repeated else minimum_jerk(u)
    s = 1.0 - s if opposed else s
    zero = np.zeros((num_frames, 3))
    parts = {"path": zero, "turn": zero, "shut": zero[:, 0], "wiggle": np.zeros((num_frames, 4))}
    parts["gap"] = np.full(num_frames, 0.0 if movement.kind == "HELD" else AWAY_M)
    parts |= _KINDS[movement.kind](movement, u, s, opposed)
    parts["path"] = parts["path"] * amplitude
    parts["turn"] = parts["turn"] * np.clip(amplitude, 0.75, 1.25)
    return Stroke(**parts)


def _there_and_back(u: Reals) -> Reals:
    """There, nearly back, there again."""
    first, second, third = (
        minimum_jerk((u - start) / length) for start, length in ((0, 0.36), (0.36, 0.28), (0.64, 0.36))
    )
    return first - 0.92 * second + 0.92 * third


def _swings(u: Reals, cycles: float) -> Reals:
    """Back and forth, starting and ending gently: [n] in -1 to 1."""
    envelope = minimum_jerk(u / 0.15) * minimum_jerk((1.0 - u) / 0.15)
    return np.sin(2.0 * np.pi * cycles * u) * envelope


Parts = dict[str, Reals]
Kind = Callable[[Movement, Reals, Reals, bool], Parts]


def _held(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    return {}


def _straight(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    return {"path": _LENGTH * (s[:, None] - 0.5) * np.array(direction(movement.toward))}


def _arc(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    bulge = direction("OUT" if movement.toward in ("UP", "DOWN") else "UP")
    height = 0.45 * np.sin(np.pi * s)[:, None] * np.array(bulge)
    return {"path": _LENGTH * (1.1 * (s[:, None] - 0.5) * np.array(direction(movement.toward)) + height)}


def _circle(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    turns = 2.0 if movement.repeated else 1.0
    angle = 2.0 * np.pi * turns * (0.35 * minimum_jerk(u) + 0.65 * u) + (np.pi if opposed else 0.0)
    path = np.zeros((len(u), 3))
    first, second = _PLANES[movement.toward]
    path[:, first], path[:, second] = np.sin(angle), np.cos(angle)
    return {"path": _RADIUS * path}


def _zigzag(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    across = direction("ASIDE" if movement.toward in ("DOWN", "OUT") else "UP")
    along = 1.25 * (u[:, None] - 0.5) * np.array(direction(movement.toward))
    return {"path": _LENGTH * (along + 0.24 * _swings(u, 3.0)[:, None] * np.array(across))}


def _turned(column: int, size: float) -> Kind:
    def make(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
        turn = np.zeros((len(u), 3))
        swing = _swings(u, 2.5) if movement.repeated else 2.0 * minimum_jerk(u) - 1.0
        turn[:, column] = np.deg2rad(size) * (-swing if opposed else swing)
        return {"turn": turn}

    return make


def _wiggle(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    phase = 2.0 * np.pi * (3.0 * u[:, None] - np.array([0.0, 0.22, 0.44, 0.66]))
    envelope = (minimum_jerk(u / 0.12) * minimum_jerk((1.0 - u) / 0.12))[:, None]
    return {"wiggle": np.deg2rad(19.0) * envelope * (1.0 + np.sin(phase))}


def _opening(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    return {"shut": 1.0 - s}


def _closing(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    return {"shut": s}


def _contact(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    away = 1.0 - s if movement.repeated else 1.0 - minimum_jerk(u / 0.55)
    return {"gap": (0.055 if movement.repeated else 0.075) * np.clip(away, 0.0, 1.0)}


def _brush(movement: Movement, u: Reals, s: Reals, opposed: bool) -> Parts:
    along = 0.62 * _LENGTH * (s[:, None] - 0.5) * np.array(direction(movement.toward))
    return {"path": along, "gap": 0.05 * np.abs(2.0 * s - 1.0) ** 3}


_KINDS: dict[str, Kind] = {
    "HELD": _held,
    "STRAIGHT": _straight,
    "ARC": _arc,
    "CIRCLE": _circle,
    "ZIGZAG": _zigzag,
    "TWIST": _turned(0, 40.0),
    "NOD": _turned(1, 34.0),
    "SWAY": _turned(2, 20.0),
    "WIGGLE": _wiggle,
    "OPENING": _opening,
    "CLOSING": _closing,
    "CONTACT": _contact,
    "BRUSH": _brush,
}
