"""Lexicons: which signs are possible, and as many distinct ones as are wanted, balanced over what signs are made of."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from training.errors import SignError
from training.synth.handshapes import HANDSHAPES, UNMARKED
from training.synth.phonology import (
    ARRANGEMENTS,
    DIRECTIONS,
    LOCATIONS,
    MOVEMENTS,
    PARAMETERS,
    Movement,
    Orientation,
    Sign,
    direction,
    turn_between,
)
from training.synth.reach import (
    MAX_MOVING_STRAIN_DEG,
    MAX_STRAIN_DEG,
    held_strain_deg,
    orientations,
    possible_orientations,
    strain_deg,
)

__all__ = [
    "ARRANGEMENTS",
    "HANDSHAPES",
    "LOCATIONS",
    "MOVEMENTS",
    "Movement",
    "Orientation",
    "Sign",
    "check",
    "from_json",
    "make_signs",
    "minimal_pairs",
    "to_json",
]

ONE_SIDED = ("SHOULDER-ACROSS", "CHEST-ACROSS", "SPACE-ACROSS", "UPPER-ARM")
"""Locations on the other side, which two hands can't take at once without crossing."""
UNTURNED = ("HELD", "WIGGLE", "ZIGZAG")
"""Movements that two hands can't do in turn."""
MEETING = "SPACE-MIDDLE"
"""The location in space where two hands touch each other."""
_SHARES = {"ONE-HANDED": 0.45, "SYMMETRIC": 0.22, "ALTERNATING": 0.11, "ON-BASE": 0.22}
_HEAD_WEIGHT = 0.55
"""How often a place on the head is used beside another one: in real clips a third of active hands is above the
shoulders (docs/benchmarks/synth-pictures.md)."""
_NATURAL_SHARE = 0.5
_FARTHEST_TURN_DEG = 75.0
"""How far a hand is turned, at most, from how it usually is at its place."""
_EASY_STRAIN_DEG = 6.0
"""How much it strains then, at most; what is possible but not easy is left to lexicons that ask for it."""
_TRIES = 400
T = TypeVar("T")


def check(sign: Sign) -> None:
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
    if movement.kind not in _fitting(sign.handshape):
        _refuse("movement", f"{movement.kind} with {sign.handshape}, which has no fingers for it")


def _fitting(handshape: str) -> tuple[str, ...]:
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


def is_possible(sign: Sign) -> bool:
    """Whether `check` lets a sign pass."""
    try:
        check(sign)
    except SignError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------- making signs


def make_signs(num: int, seed: int) -> tuple[Sign, ...]:
    """That many different signs that bodies can perform, the same for the same seed.

    Every value of every parameter is used about equally often, as far as it goes with the others, but for places on the
    head and orientations: most are easy to hold and near the usual one of their place.

    Raises:
        SignError: no further sign was found, so many are wanted.
    """
    rng = np.random.default_rng(seed)
    counts: Counter[tuple[str, object]] = Counter()
    signs: dict[Sign, None] = {}
    for _ in range(num):
        sign = _new_sign(rng, counts, signs)
        signs[sign] = None
        counts.update((name, value) for name, value in _values(sign).items())
    return tuple(signs)


def _values(sign: Sign) -> dict[str, object]:
    movement = (sign.movement.kind, sign.movement.toward, sign.movement.repeated)
    return {
        "handshape": sign.handshape,
        "orientation": sign.orientation,
        "location": sign.location,
        "kind": sign.movement.kind,
        "movement": movement,
        "arrangement": sign.arrangement,
        "base": sign.base_handshape,
    }


def _new_sign(rng: np.random.Generator, counts: Counter[tuple[str, object]], made: dict[Sign, None]) -> Sign:
    """A sign that is possible and new, of parameters that were used little so far."""

    def rare(name: str, values: Sequence[T], weights: Sequence[float] = ()) -> T:
        used = np.array([counts[name, value] for value in values]) + rng.exponential(1.5, len(values))
        return values[int(np.argmin(used / (weights or 1.0)))]

    arrangement = min(_SHARES, key=lambda name: (counts["arrangement", name] + 1.0) / _SHARES[name])
    for _ in range(_TRIES):
        sign = _draw(rng, rare, arrangement)
        if sign not in made and is_possible(sign):
            return sign
    raise SignError(f"found {len(made)} different signs and no further one in {_TRIES} tries; ask for fewer")


class Choice(Protocol):
    """Picks one of several values of a parameter that was used little so far, by its weight."""

    def __call__(self, name: str, values: Sequence[T], weights: Sequence[float] = (), /) -> T:
        """The chosen value."""
        ...


def _draw(rng: np.random.Generator, rare: Choice, arrangement: str) -> Sign:
    """A sign of that arrangement whose parameters go together, though it may be out of reach or not new."""
    places = [name for name, place in LOCATIONS.items() if (place.base is not None) == (arrangement == "ON-BASE")]
    if arrangement in ("SYMMETRIC", "ALTERNATING"):
        places = [name for name in places if name not in ONE_SIDED]
    weights = [_HEAD_WEIGHT if LOCATIONS[name].region == "head" else 1.0 for name in places]
    location, handshape = rare("location", places, weights), rare("handshape", tuple(HANDSHAPES))
    natural = LOCATIONS[location].natural
    possible = possible_orientations(location, handshape, _EASY_STRAIN_DEG)
    others = [held for held in possible if held != natural and turn_between(held, natural) <= _FARTHEST_TURN_DEG]
    orientation = natural if rng.random() < _NATURAL_SHARE else rare("orientation", [natural, *others])
    movement = _draw_movement(rng, rare, location, handshape, arrangement)
    base = rare("base", UNMARKED) if arrangement == "ON-BASE" else ""
    return Sign(handshape, orientation, location, movement, arrangement, base)


def _draw_movement(rng: np.random.Generator, rare: Choice, location: str, handshape: str, arrangement: str) -> Movement:
    kinds = [
        name
        for name, kind in MOVEMENTS.items()
        if (LOCATIONS[location].touchable or not kind.touches)
        and name in _fitting(handshape)
        and (arrangement != "ALTERNATING" or name not in UNTURNED)
    ]
    kind = rare("kind", kinds)
    facts = MOVEMENTS[kind]
    toward = str(rng.choice(facts.toward)) if facts.toward else ""
    return Movement(kind, toward, facts.repeats and bool(rng.random() < 0.4))


def minimal_pairs(num: int, seed: int) -> tuple[tuple[Sign, Sign, str], ...]:
    """Pairs of possible signs that differ in one parameter alone, each with that parameter's name.

    The five parameters come in turn.

    Raises:
        SignError: no further pair was found.
    """
    rng = np.random.default_rng(seed)
    pairs: dict[tuple[Sign, Sign], str] = {}
    signs = list(make_signs(min(2 * num, 2000), seed))
    for number in range(num):
        parameter = PARAMETERS[number % len(PARAMETERS)]
        pair = _new_pair(rng, signs, parameter, pairs)
        pairs[pair] = parameter
    return tuple((first, second, parameter) for (first, second), parameter in pairs.items())


def _new_pair(
    rng: np.random.Generator, signs: list[Sign], parameter: str, made: dict[tuple[Sign, Sign], str]
) -> tuple[Sign, Sign]:
    for _ in range(_TRIES):
        first = signs[int(rng.integers(len(signs)))]
        second = replace(first, **{parameter: _another(rng, first, parameter)})  # type: ignore[arg-type]
        if second != first and is_possible(second) and (first, second) not in made and (second, first) not in made:
            return first, second
    raise SignError(f"found {len(made)} minimal pairs and no further one that differs in {parameter}; ask for fewer")


def _another(rng: np.random.Generator, sign: Sign, parameter: str) -> object:
    choices: dict[str, Callable[[], Sequence[Any]]] = {
        "handshape": lambda: tuple(HANDSHAPES),
        "orientation": orientations,
        "location": lambda: tuple(LOCATIONS),
        "movement": _movements,
        "arrangement": lambda: tuple(ARRANGEMENTS),
    }
    values = [value for value in choices[parameter]() if value != getattr(sign, parameter)]
    return values[int(rng.integers(len(values)))]


def _movements() -> list[Movement]:
    return [
        Movement(name, toward, repeated)
        for name, kind in MOVEMENTS.items()
        for toward in kind.toward or ("",)
        for repeated in ((False, True) if kind.repeats else (False,))
    ]


# --------------------------------------------------------------------------------------------------------------- JSON


def to_json(signs: Sequence[Sign]) -> str:
    """A lexicon as JSON: one object per sign, its gloss first."""
    rows = ",\n".join(" " + json.dumps({"gloss": sign.gloss, **asdict(sign)}) for sign in signs)
    return f"[\n{rows}\n]\n"


def from_json(text: str) -> tuple[Sign, ...]:
    """The inverse of `to_json`. The glosses are made anew from the parameters.

    Raises:
        SignError: it is no such list, or a sign in it is impossible; the sign's number and the parameter are named.
    """
    try:
        rows = json.loads(text)
        signs = tuple(_sign_from(row) for row in rows)
    except (ValueError, TypeError, KeyError, AttributeError) as reason:
        known = ", ".join(field.name for field in fields(Sign))
        raise SignError(f"not a lexicon: {reason!r}; it is a JSON list of objects with {known}") from reason
    for number, sign in enumerate(signs):
        try:
            check(sign)
        except SignError as reason:
            raise SignError(f"sign {number} ({sign.handshape} {sign.location}): {reason}") from reason
    return signs


def _sign_from(row: dict[str, Any]) -> Sign:
    values = {name: value for name, value in row.items() if name != "gloss"}
    return Sign(
        **values | {"orientation": Orientation(**values["orientation"]), "movement": Movement(**values["movement"])}
    )
