"""The inventory of handshapes: how far every finger joint is bent, in degrees.

The names say what is seen; the letters are those of Stokoe's notation (1960) with today's additions, and where HamNoSys
has a symbol of its own, its name follows. An extended finger has all joints at 0, a closed one is folded into the palm.
"""

from dataclasses import dataclass

FINGER_ROWS = {"index": 0, "middle": 1, "ring": 2, "little": 3}
Bend = tuple[float, float, float]
"""Flexion of the first, second and third joint of a finger, degrees."""

STRAIGHT: Bend = (2, 3, 2)
LAX: Bend = (14, 16, 10)
CURVED: Bend = (34, 42, 26)
ROUND: Bend = (52, 55, 32)
HOOKED: Bend = (4, 88, 52)
CLAWED: Bend = (8, 62, 42)
BENT: Bend = (82, 6, 4)
SLOPED: Bend = (50, 22, 10)
CLOSED: Bend = (86, 102, 62)
FOLDED: Bend = (38, 108, 58)


@dataclass(frozen=True)
class Thumb:
    """Pose of the thumb, degrees."""

    aside: float
    """In the plane of the palm, away from the index finger: 0 alongside, 60 spread."""
    forward: float
    """Out of that plane, to the palm's side: 0 within, 60 opposite the fingers."""
    first: float = 5.0
    """Flexion of the thumb's first joint (metacarpophalangeal)."""
    last: float = 5.0
    """Flexion of its last joint."""
    roll: float = 0.0
    """Turn about its own length beyond what its position brings, positive towards facing the fingertips."""


BESIDE = Thumb(16, 4, 2, 4)
LOOSE = Thumb(30, 14, 8, 8)
OUT = Thumb(58, 6, -4, -6)
OPPOSED = Thumb(26, 56, 6, 14)
ACROSS = Thumb(2, 48, 42, 46, roll=10)
INSIDE = Thumb(-2, 44, 48, 34, roll=14)
TUCKED = Thumb(12, 24, 20, 20)


@dataclass(frozen=True)
class Handshape:
    """One handshape."""

    name: str
    notation: str
    """Stokoe's letter, or HamNoSys's name where Stokoe has none."""
    bends: tuple[Bend, Bend, Bend, Bend]
    """Index, middle, ring and little finger."""
    thumb: Thumb
    spread: float = 0.0
    """Degrees between neighbouring fingers that are extended; 0 holds them together."""
    touches: str = ""
    """The finger whose tip the thumb's tip meets, or "" for none."""
    rests: str = ""
    """The folded finger that the thumb lies over, or "" for none."""
    crossed: bool = False
    """True when the middle finger lies over the index finger."""
    partner: str = ""
    """The handshape it closes to and opens from, or "" when it neither opens nor closes."""

    @property
    def num_free(self) -> int:
        """Number of fingers, of four, that are neither folded nor held by the thumb: those that can wiggle."""
        held = self.bends[FINGER_ROWS[self.touches]] if self.touches else None
        return sum(sum(bend) < 120.0 and bend != held for bend in self.bends)


def _fingers(selected: Bend, others: Bend, pattern: str) -> tuple[Bend, Bend, Bend, Bend]:
    """Four bends from a pattern such as "10 01": 1 for a selected finger, 0 for another one, index first."""
    index, middle, ring, little = (selected if digit == "1" else others for digit in pattern)
    return index, middle, ring, little


def _shape(
    name: str,
    notation: str,
    pattern: str,
    selected: Bend,
    thumb: Thumb,
    *,
    others: Bend = CLOSED,
    spread: float = 0.0,
    touches: str = "",
    rests: str = "",
    crossed: bool = False,
    partner: str = "",
) -> Handshape:
    return Handshape(
        name, notation, _fingers(selected, others, pattern), thumb, spread, touches, rests, crossed, partner
    )


_ALL = (
    # The fist and what stands out of it.
    _shape("FIST", "S", "0000", STRAIGHT, ACROSS, rests="middle"),
    _shape("FIST-THUMB-SIDE", "A", "0000", STRAIGHT, Thumb(14, 10, 0, 4)),
    _shape("THUMB-UP", "Å", "0000", STRAIGHT, OUT),
    _shape("FOLDED-HAND", "E", "1111", FOLDED, Thumb(6, 44, 44, 40)),
    # All four fingers.
    _shape("FLAT-HAND", "B", "1111", STRAIGHT, BESIDE, partner="FLAT-BEAK-SHUT"),
    _shape("FLAT-HAND-THUMB-IN", "B, thumb across", "1111", STRAIGHT, INSIDE),
    _shape("FLAT-HAND-THUMB-OUT", "B, thumb out", "1111", STRAIGHT, OUT),
    _shape("BENT-HAND", "B, bent", "1111", BENT, BESIDE, partner="FIST"),
    _shape("HOOKED-HAND", "B, hooked", "1111", HOOKED, BESIDE),
    _shape("CUPPED-HAND", "B, curved", "1111", CURVED, BESIDE, partner="FIST-THUMB-SIDE"),
    _shape("SPREAD-HAND", "5", "1111", STRAIGHT, Thumb(52, 8, -2, -2), spread=15, partner="FIST"),
    _shape("CLAW-HAND", "5, bent", "1111", CLAWED, Thumb(44, 30, 10, 34), spread=13, partner="FIST"),
    _shape("FOUR-SPREAD", "4", "1111", STRAIGHT, INSIDE, spread=13),
    _shape("C-HAND", "C", "1111", CURVED, OPPOSED, partner="O-HAND"),
    _shape("O-HAND", "O", "1111", ROUND, OPPOSED, touches="middle"),
    _shape("FLAT-BEAK", "B, flat, thumb opposed", "1111", SLOPED, OPPOSED, partner="FLAT-BEAK-SHUT"),
    _shape("FLAT-BEAK-SHUT", "O, flat", "1111", (60, 36, 14), OPPOSED, touches="middle"),
    # The index finger.
    _shape("INDEX", "G", "1000", STRAIGHT, ACROSS, rests="middle", partner="FIST"),
    _shape("INDEX-HOOK", "X", "1000", HOOKED, ACROSS, rests="middle"),
    _shape("INDEX-BENT", "G, bent", "1000", BENT, TUCKED),
    _shape("INDEX-THUMB", "L", "1000", STRAIGHT, OUT, partner="PINCH"),
    _shape("INDEX-THUMB-CURVED", "L, curved", "1000", CURVED, OPPOSED, partner="PINCH"),
    _shape("PINCH", "G, shut", "1000", (46, 40, 22), OPPOSED, touches="index"),
    _shape("RING-PINCH", "F", "0111", STRAIGHT, OPPOSED, others=(52, 52, 26), spread=12, touches="index"),
    _shape("RING-OPEN", "F, open", "0111", STRAIGHT, OPPOSED, others=CURVED, spread=12, partner="RING-PINCH"),
    # Index and middle finger.
    _shape("TWO", "H", "1100", STRAIGHT, ACROSS, partner="TWO-BENT", rests="ring"),
    _shape("TWO-BENT", "H, bent", "1100", BENT, ACROSS, rests="ring"),
    _shape("TWO-THUMB", "H, thumb out", "1100", STRAIGHT, OUT, partner="TWO-PINCH"),
    _shape("V-HAND", "V", "1100", STRAIGHT, ACROSS, spread=22, partner="TWO", rests="ring"),
    _shape("V-HOOK", "V, bent", "1100", HOOKED, ACROSS, spread=20, rests="ring"),
    _shape("V-THUMB", "3", "1100", STRAIGHT, OUT, spread=20, partner="TWO-PINCH"),
    _shape("V-THUMB-HOOK", "3, bent", "1100", CLAWED, Thumb(50, 14, 6, 40), spread=18),
    _shape("CROSSED", "R", "1100", STRAIGHT, ACROSS, crossed=True, rests="ring"),
    _shape("TWO-PINCH", "H, shut", "1100", (56, 38, 18), OPPOSED, touches="middle"),
    Handshape("K-HAND", "K", (STRAIGHT, (46, 8, 4), CLOSED, CLOSED), Thumb(18, 34, 6, 4), spread=6),
    # The others.
    _shape("THREE", "W", "1110", STRAIGHT, INSIDE, spread=14, rests="little"),
    _shape("LITTLE", "I", "0001", STRAIGHT, ACROSS, partner="FIST", rests="middle"),
    _shape("HORNS", "horns", "1001", STRAIGHT, ACROSS, partner="FIST", rests="middle"),
    _shape("THUMB-LITTLE", "Y", "0001", STRAIGHT, OUT, spread=16),
    _shape("HORNS-THUMB", "horns, thumb out", "1001", STRAIGHT, OUT, spread=8),
    _shape("MIDDLE-DOWN", "8, open", "1011", STRAIGHT, Thumb(46, 16), others=(68, 10, 6), spread=12),
    _shape("MIDDLE-PINCH", "8", "1011", STRAIGHT, OPPOSED, others=(58, 42, 22), spread=12, touches="middle"),
    _shape("LAX-HAND", "finger2345, lax", "1111", LAX, LOOSE, spread=4),
)
HANDSHAPES: dict[str, Handshape] = {shape.name: shape for shape in _ALL}
"""Every handshape by name."""

REST_SHAPE = Handshape("REST", "at rest", ((22, 26, 14), (28, 30, 16), (32, 33, 18), (34, 34, 18)), LOOSE, 2)
"""An idle hand. No sign uses it."""

UNMARKED = ("FLAT-HAND", "FIST", "FIST-THUMB-SIDE", "SPREAD-HAND", "INDEX", "C-HAND", "O-HAND")
"""Handshapes of a base hand (Battison's dominance condition, 1978)."""
