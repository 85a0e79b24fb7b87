"""Feasibility of signs: which combinations of parameters a signer can perform."""

from collections.abc import Sequence

import numpy as np

from training.errors import SignError
from training.synth.language.handshapes import HANDSHAPES, UNMARKED
from training.synth.language.phonology import (
    ARRANGEMENTS,
    DIRECTIONS,
    LOCATIONS,
    MOVEMENTS,
    Sign,
    direction,
)
from training.synth.motion.reachability import (
    MAX_MOVING_STRAIN_DEG,
    MAX_STRAIN_DEG,
    held_strain_deg,
    strain_deg,
)

ONE_SIDED = ("SHOULDER-ACROSS", "CHEST-ACROSS", "SPACE-ACROSS", "UPPER-ARM")
"""Locations on the other side, which two hands can't take at once without crossing."""
UNTURNED = ("HELD", "WIGGLE", "ZIGZAG")
"""Movements that two hands can't do in turn."""
MEETING = "SPACE-MIDDLE"
"""The location in space where two hands touch each other."""


def check_sign(sign: Sign) -> None:
    """Refuse a sign that nobody can perform.

    Raises:
        SignError: a parameter is unknown, impossible, or does not go with another; it is named.
    """
    for test in (_check_names, _check_orientation, _check_movement, _check_arrangement, _check_reach):
        test(sign)


def _refuse(parameter: str, problem: str) -> None:
    raise SignError(f"{parameter}: {problem}")


def _known(parameter: str, name: str, inventory: Sequence[str]) -> None:
    if name not in inventory:
        _refuse(parameter, f"{name!r} is unknown; known are {', '.join(inventory)}")


def _check_names(sign: Sign) -> None:
    _known("handshape", sign.handshape, tuple(HANDSHAPES))
    _known("orientation", sign.orientation.fingers, DIRECTIONS)
    _known("orientation", sign.orientation.palm, DIRECTIONS)
    _known("location", sign.location, tuple(LOCATIONS))
    _known("movement", sign.movement.kind, tuple(MOVEMENTS))
    _known("arrangement", sign.arrangement, tuple(ARRANGEMENTS))


def _check_orientation(sign: Sign) -> None:
    held = sign.orientation
    if np.dot(direction(held.fingers), direction(held.palm)) != 0:
        _refuse("orientation", f"the palm can't face {held.palm} while the fingers point {held.fingers}")


def _check_movement(sign: Sign) -> None:
    movement, kind = sign.movement, MOVEMENTS[sign.movement.kind]
    if movement.toward not in (kind.toward or ("",)):
        allowed = ", ".join(kind.toward) or "no direction"
        _refuse("movement", f"{movement.kind} can't go {movement.toward!r}; allowed: {allowed}")
    if movement.repeated and not kind.repeats:
        _refuse("movement", f"{movement.kind} can't be repeated")
    meeting = sign.location == MEETING and sign.arrangement == "SYMMETRIC"
    if kind.touches and not (LOCATIONS[sign.location].touchable or (meeting and movement.kind == "CONTACT")):
        _refuse("movement", f"{movement.kind} needs something to touch; {sign.location} is in the air")
    if movement.kind not in fitting_movements(sign.handshape):
        _refuse("movement", f"{movement.kind} with {sign.handshape}, which has no fingers for it")


def fitting_movements(handshape: str) -> tuple[str, ...]:
    """The kinds of movement a handshape can do: it opens and closes with a partner, and wiggles two fingers or more."""
    shape = HANDSHAPES[handshape]
    unfit = [*(() if shape.partner else ("OPENING", "CLOSING")), *(("WIGGLE",) if shape.num_free < 2 else ())]
    return tuple(kind for kind in MOVEMENTS if kind not in unfit)


def _check_arrangement(sign: Sign) -> None:
    needs_base = LOCATIONS[sign.location].base is not None
    if needs_base != (sign.arrangement == "ON-BASE"):
        other = "is on the other hand or arm and needs ON-BASE" if needs_base else "is not on the other hand or arm"
        _refuse("arrangement", f"{sign.arrangement} at {sign.location}, which {other}")
    if needs_base and sign.base_handshape not in UNMARKED:
        _refuse("base_handshape", f"{sign.base_handshape!r} is no base; bases are {', '.join(UNMARKED)}")
    if not needs_base and sign.base_handshape:
        _refuse("base_handshape", f"{sign.base_handshape!r} without the arrangement ON-BASE")
    two_moving = sign.arrangement in ("SYMMETRIC", "ALTERNATING")
    if two_moving and sign.location in ONE_SIDED:
        _refuse("arrangement", f"{sign.arrangement} at {sign.location}: the arms would cross")
    if sign.arrangement == "ALTERNATING" and sign.movement.kind in UNTURNED:
        _refuse("arrangement", f"two hands can't do {sign.movement.kind} in turn")


def _check_reach(sign: Sign) -> None:
    held = f"fingers {sign.orientation.fingers}, palm {sign.orientation.palm}"
    still = held_strain_deg(sign)
    if np.isinf(still):
        _refuse("location", f"{sign.location} can't be reached in that orientation, or only through the body")
    if still > MAX_STRAIN_DEG:
        _refuse("orientation", f"{held} at {sign.location} strains wrist and elbow by {still:.0f} degrees")
    moving, way = strain_deg(sign), " ".join(filter(None, (sign.movement.kind, sign.movement.toward)))
    if np.isinf(moving):
        _refuse("movement", f"{way} at {sign.location} goes out of reach, or through the body")
    if moving > MAX_MOVING_STRAIN_DEG:
        _refuse("movement", f"{way} at {sign.location} with {held} strains wrist and elbow by {moving:.0f} degrees")


def is_feasible(sign: Sign) -> bool:
    """Whether `check_sign` lets a sign pass."""
    try:
        check_sign(sign)
    except SignError:
        return False
    return True
