"""Lexicons: distinct feasible signs, balanced over handshapes, locations and movements; stored as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Protocol, TypeVar

import numpy as np

from training.errors import SignError
from training.synth.language.handshapes import HANDSHAPES, UNMARKED
from training.synth.language.phonology import (
    LOCATIONS,
    MOVEMENTS,
    Movement,
    Orientation,
    Sign,
    turn_between,
)
from training.synth.motion.feasibility import ONE_SIDED, UNTURNED, check_sign, fitting_movements, is_feasible
from training.synth.motion.reachability import (
    possible_orientations,
)

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


def make_signs(num: int, seed: int) -> tuple[Sign, ...]:
    """Different signs that bodies can perform, the same for the same seed.

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
        if sign not in made and is_feasible(sign):
            return sign
    raise SignError(f"found {len(made)} different signs and no further one in {_TRIES} tries; ask for fewer")


class ParameterChoice(Protocol):
    """Picks one of several values of a parameter that was used little so far, by its weight."""

    def __call__(self, name: str, values: Sequence[T], weights: Sequence[float] = (), /) -> T:
        """The chosen value."""
        ...


def _draw(rng: np.random.Generator, rare: ParameterChoice, arrangement: str) -> Sign:
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


def _draw_movement(
    rng: np.random.Generator, rare: ParameterChoice, location: str, handshape: str, arrangement: str
) -> Movement:
    kinds = [
        name
        for name, kind in MOVEMENTS.items()
        if (LOCATIONS[location].touchable or not kind.touches)
        and name in fitting_movements(handshape)
        and (arrangement != "ALTERNATING" or name not in UNTURNED)
    ]
    kind = rare("kind", kinds)
    facts = MOVEMENTS[kind]
    toward = str(rng.choice(facts.toward)) if facts.toward else ""
    return Movement(kind, toward, facts.repeats and bool(rng.random() < 0.4))


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
            check_sign(sign)
        except SignError as reason:
            raise SignError(f"sign {number} ({sign.handshape} {sign.location}): {reason}") from reason
    return signs


def _sign_from(row: dict[str, Any]) -> Sign:
    values = {name: value for name, value in row.items() if name != "gloss"}
    return Sign(
        **values | {"orientation": Orientation(**values["orientation"]), "movement": Movement(**values["movement"])}
    )
