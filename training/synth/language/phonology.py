"""Signs as a linguist writes them down: handshape, orientation, location, movement, and how two hands share them.

No sign of any real language is meant. A gloss is the name of a form, such as `FLAT-HAND CHIN ARC`, and says everything
there is to the sign, so two different signs never have the same gloss.

Directions are the signer's own, seen from the hand that leads: UP, DOWN, OUT (away from the signer), IN, ASIDE (to the
leading hand's side), ACROSS (to the other side), and two of them joined for what lies between.
"""

from dataclasses import dataclass

import numpy as np

from model.skeleton.rotations import Reals, cross, unit

AXES: dict[str, tuple[int, int, int]] = {
    "UP": (0, 1, 0),
    "DOWN": (0, -1, 0),
    "OUT": (0, 0, 1),
    "IN": (0, 0, -1),
    "ASIDE": (1, 0, 0),
    "ACROSS": (-1, 0, 0),
}
_VERTICAL, _SAGITTAL, _LATERAL = ("UP", "DOWN"), ("OUT", "IN"), ("ASIDE", "ACROSS")
_BETWEEN = [
    f"{a}-{b}"
    for first, second in ((_VERTICAL, _SAGITTAL), (_VERTICAL, _LATERAL), (_SAGITTAL, _LATERAL))
    for a in first
    for b in second
]
DIRECTIONS = (*AXES, *_BETWEEN)
"""The six directions and the twelve between two of them (HamNoSys's eighteen)."""


def direction(name: str) -> tuple[int, int, int]:
    """A direction as whole numbers along x (to the leading hand's side), y (up) and z (away from the signer)."""
    x, y, z = (sum(parts) for parts in zip(*(AXES[word] for word in name.split("-")), strict=True))
    return x, y, z


@dataclass(frozen=True)
class Orientation:
    """Orientation of a hand."""

    fingers: str
    """Where the fingers point, or would if they were extended."""
    palm: str
    """Where the palm faces, at a right angle to the fingers."""


def palm_axes(held: Orientation) -> Reals:
    """[3, 3] the palm's frame in the axes of `direction`, one axis per column: across, along the fingers, out of it."""
    y, z = (unit(np.array(direction(name), float)) for name in (held.fingers, held.palm))
    return np.stack([cross(y, z), y, z], axis=-1)


def turn_between(one: Orientation, other: Orientation) -> float:
    """Angle between two orientations, degrees."""
    cosine = 0.5 * (float((palm_axes(one) * palm_axes(other)).sum()) - 1.0)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))


@dataclass(frozen=True)
class Movement:
    """Movement of the hand at its location."""

    kind: str
    """One of `MOVEMENTS`."""
    toward: str = ""
    """The direction, or the plane of a circle; "" where the kind has none."""
    repeated: bool = False


@dataclass(frozen=True)
class MovementKind:
    """A kind of movement and what it may be combined with."""

    meaning: str
    toward: tuple[str, ...] = ()
    """Directions or planes; the first is the usual one, which a gloss leaves out."""
    repeats: bool = True
    """Whether it can be repeated."""
    touches: bool = False
    """Whether it needs something to touch."""


_ALONG = ("OUT", "IN", "UP", "DOWN", "ASIDE", "ACROSS")
MOVEMENTS: dict[str, MovementKind] = {
    "HELD": MovementKind("the hand stays", repeats=False),
    "STRAIGHT": MovementKind("a straight path", ("DOWN", "UP", "OUT", "IN", "ASIDE", "ACROSS")),
    "ARC": MovementKind("a curved path", _ALONG),
    "CIRCLE": MovementKind("a circle in the frontal, level or sagittal plane", ("FRONTAL", "LEVEL", "SAGITTAL")),
    "ZIGZAG": MovementKind("a path of short turns", ("DOWN", "ASIDE", "OUT"), repeats=False),
    "TWIST": MovementKind("the forearm turns"),
    "NOD": MovementKind("the hand bends at the wrist"),
    "SWAY": MovementKind("the hand swings sideways at the wrist"),
    "WIGGLE": MovementKind("the fingers move in turn", repeats=False),
    "OPENING": MovementKind("the hand opens to its handshape"),
    "CLOSING": MovementKind("the hand closes from its handshape"),
    "CONTACT": MovementKind("the hand touches the location", touches=True),
    "BRUSH": MovementKind("the hand strokes the location", ("DOWN", "UP", "ASIDE", "ACROSS", "OUT"), touches=True),
}
"""Every kind of movement; most can be repeated."""


@dataclass(frozen=True)
class Location:
    """A place of articulation."""

    region: str
    """head, trunk, arm, hand (the other one) or space."""
    meaning: str
    natural: Orientation
    """The usual orientation there, which a gloss leaves out."""
    base: Orientation | None = None
    """Orientation of the other hand where the location is on it or its arm."""

    @property
    def touchable(self) -> bool:
        """Whether there is something to touch."""
        return self.region != "space"


def _at(region: str, meaning: str, fingers: str, palm: str, base: tuple[str, str] | None = None) -> Location:
    return Location(region, meaning, Orientation(fingers, palm), Orientation(*base) if base else None)


LOCATIONS: dict[str, Location] = {
    "FOREHEAD": _at("head", "middle of the forehead", "UP-ACROSS", "IN"),
    "TEMPLE": _at("head", "temple of the leading hand's side", "UP", "ACROSS"),
    "EYE": _at("head", "below the eye of the leading hand's side", "UP-ACROSS", "IN"),
    "NOSE": _at("head", "tip of the nose", "UP-ACROSS", "IN"),
    "EAR": _at("head", "ear of the leading hand's side", "IN-ACROSS", "DOWN"),
    "CHEEK": _at("head", "cheek of the leading hand's side", "UP", "IN-ACROSS"),
    "MOUTH": _at("head", "lips", "UP-ACROSS", "IN"),
    "CHIN": _at("head", "chin", "UP-ACROSS", "IN"),
    "NECK": _at("trunk", "side of the neck, under the jaw", "UP-ACROSS", "IN"),
    "SHOULDER-ACROSS": _at("trunk", "shoulder of the other side", "ACROSS", "IN"),
    "CHEST": _at("trunk", "breastbone", "ACROSS", "IN"),
    "CHEST-ASIDE": _at("trunk", "chest of the leading hand's side", "UP-ACROSS", "IN"),
    "CHEST-ACROSS": _at("trunk", "chest of the other side", "ACROSS", "IN"),
    "BELLY": _at("trunk", "belly above the navel", "DOWN-ACROSS", "IN"),
    "WAIST": _at("trunk", "side of the waist, leading hand's side", "DOWN-ACROSS", "IN"),
    "UPPER-ARM": _at("arm", "outside of the other upper arm", "ACROSS", "IN"),
    "FOREARM": _at("arm", "back of the other forearm", "OUT-ACROSS", "DOWN", ("ACROSS", "DOWN")),
    "WRIST": _at("arm", "back of the other wrist", "OUT-ACROSS", "DOWN", ("OUT-ACROSS", "DOWN")),
    "HAND-PALM": _at("hand", "palm of the other hand", "OUT-ACROSS", "DOWN", ("OUT-ACROSS", "UP")),
    "HAND-BACK": _at("hand", "back of the other hand", "OUT-ACROSS", "DOWN", ("ACROSS", "DOWN")),
    "HAND-TIPS": _at("hand", "fingertips of the other hand", "ACROSS", "IN", ("UP-ACROSS", "IN")),
    "HAND-EDGE": _at("hand", "thumb edge of the other hand", "OUT-ACROSS", "DOWN", ("OUT-ACROSS", "IN-ACROSS")),
    "SPACE": _at("space", "in front of the chest, leading hand's side", "UP-OUT", "DOWN-OUT"),
    "SPACE-MIDDLE": _at("space", "in front of the breastbone", "UP-ACROSS", "IN"),
    "SPACE-ACROSS": _at("space", "in front of the chest, other side", "ACROSS", "IN"),
    "SPACE-HIGH": _at("space", "beside the head", "UP", "OUT"),
    "SPACE-LOW": _at("space", "in front of the belly", "OUT", "DOWN"),
    "SPACE-ASIDE": _at("space", "to the side, at shoulder height", "UP", "OUT"),
    "SPACE-FAR": _at("space", "far in front of the shoulder", "UP-OUT", "DOWN-OUT"),
}
"""Every location by name."""

ARRANGEMENTS: dict[str, str] = {
    "ONE-HANDED": "the leading hand alone",
    "SYMMETRIC": "both hands do the same, mirrored",
    "ALTERNATING": "both hands do the same in turn",
    "ON-BASE": "the leading hand acts on the other, which stays",
}


@dataclass(frozen=True)
class Sign:
    """One sign. `motion.feasibility.check_sign` tells whether anybody can perform it."""

    handshape: str
    orientation: Orientation
    location: str
    movement: Movement
    arrangement: str = "ONE-HANDED"
    base_handshape: str = ""
    """Handshape of the other hand, for the arrangement ON-BASE; "" otherwise."""

    @property
    def gloss(self) -> str:
        """The form's name, made of everything that tells it from another form."""
        place = LOCATIONS[self.location]
        words = {"SYMMETRIC": ["BOTH"], "ALTERNATING": ["IN-TURN"]}.get(self.arrangement, [])
        words += [self.handshape, self.location]
        words += ["ON", self.base_handshape] if self.base_handshape else []
        usual = (*MOVEMENTS[self.movement.kind].toward, "")[0]
        words += [self.movement.kind] + ([self.movement.toward] if self.movement.toward != usual else [])
        words += ["TWICE"] if self.movement.repeated else []
        if self.orientation != place.natural:
            words += [f"FINGERS-{self.orientation.fingers}", f"PALM-{self.orientation.palm}"]
        return " ".join(words)
