"""The rig of the mannequin: positions of its bones."""

import numpy as np

from model.encoder import Floats
from training.synth.people.identity import Colour
from training.synth.people.rig import BONE_NAMES, PARENT_NAMES, Rig, make_rig

# Where bones begin, metres, for a figure 1.73 m tall: the middle of the body, and its left side.
MIDDLE: dict[str, Colour] = {
    "root": (0.0, 0.93, -0.06),
    "spine05": (0.0, 0.95, 0.0),
    "spine04": (0.0, 1.01, -0.01),
    "spine03": (0.0, 1.09, 0.0),
    "spine02": (0.0, 1.19, 0.01),
    "spine01": (0.0, 1.32, -0.01),
    "neck01": (0.0, 1.45, 0.0),
    "neck02": (0.0, 1.49, 0.015),
    "neck03": (0.0, 1.52, 0.02),
    "head": (0.0, 1.56, 0.01),
    "jaw": (0.0, 1.565, 0.05),
}
LEFT: dict[str, Colour] = {
    "eye": (0.032, 1.625, 0.072),
    "orbicularis03": (0.032, 1.625, 0.072),
    "orbicularis04": (0.032, 1.625, 0.072),
    "pelvis": (0.0, 0.95, 0.0),
    "upperleg01": (0.10, 0.93, 0.0),
    "upperleg02": (0.10, 0.84, 0.01),
    "lowerleg01": (0.12, 0.50, 0.01),
    "lowerleg02": (0.13, 0.30, 0.0),
    "foot": (0.14, 0.08, -0.02),
    "clavicle": (0.02, 1.41, 0.05),
    "shoulder01": (0.11, 1.43, 0.03),
    "upperarm01": (0.175, 1.405, 0.0),
    "upperarm02": (0.24, 1.335, 0.0),
    "lowerarm01": (0.375, 1.195, 0.0),
    "lowerarm02": (0.45, 1.12, 0.06),
    "wrist": (0.525, 1.045, 0.12),
}
# The left hand in its own axes, metres: along the forearm, towards the thumb, out of the back of the hand.
HAND: dict[str, Colour] = {
    "metacarpal1": (0.025, 0.012, 0.0),
    "metacarpal2": (0.025, 0.004, 0.0),
    "metacarpal3": (0.025, -0.006, 0.0),
    "metacarpal4": (0.025, -0.014, 0.0),
    "finger1-1": (0.022, 0.024, -0.006),
    "finger1-2": (0.058, 0.046, -0.012),
    "finger1-3": (0.086, 0.060, -0.014),
    "finger2-1": (0.090, 0.025, 0.0),
    "finger2-2": (0.131, 0.030, 0.0),
    "finger2-3": (0.155, 0.033, 0.0),
    "finger3-1": (0.092, 0.004, 0.0),
    "finger3-2": (0.137, 0.005, 0.0),
    "finger3-3": (0.164, 0.006, 0.0),
    "finger4-1": (0.087, -0.016, 0.0),
    "finger4-2": (0.128, -0.020, 0.0),
    "finger4-3": (0.153, -0.022, 0.0),
    "finger5-1": (0.079, -0.034, 0.0),
    "finger5-2": (0.110, -0.042, 0.0),
    "finger5-3": (0.129, -0.046, 0.0),
}
TIPS: dict[str, Colour] = {
    "finger1-3": (0.110, 0.070, -0.015),
    "finger2-3": (0.176, 0.035, 0.0),
    "finger3-3": (0.187, 0.007, 0.0),
    "finger4-3": (0.175, -0.024, 0.0),
    "finger5-3": (0.147, -0.049, 0.0),
}
ENDS: dict[str, Colour] = {
    "head": (0.0, 1.73, 0.0),
    "jaw": (0.0, 1.50, 0.10),
    "eye": (0.032, 1.625, 0.105),
    "orbicularis03": (0.032, 1.635, 0.105),
    "orbicularis04": (0.032, 1.615, 0.105),
    "foot": (0.14, 0.03, 0.09),
}
# Nose; left eye inner, centre, outer; left ear; left corner of the mouth.
FACE: tuple[Colour, ...] = (
    (0.0, 1.595, 0.136),
    (0.018, 1.625, 0.117),
    (0.032, 1.625, 0.116),
    (0.046, 1.625, 0.107),
    (0.076, 1.60, 0.015),
    (0.025, 1.555, 0.103),
)
LATER_CHILD = {"root": "spine05", "spine01": "neck01", "wrist": "metacarpal2", "neck03": "head"}


def mannequin_rig(scale: float = 1.0) -> Rig:
    """The mannequin's bones."""
    places = {name: np.array(place) for name, place in MIDDLE.items()}
    ends = {name: np.array(ENDS[name]) for name in MIDDLE if name in ENDS}
    wrist, forearm = np.array(LEFT["wrist"]), np.subtract(LEFT["wrist"], LEFT["lowerarm01"])
    axes = _hand_axes(forearm / np.linalg.norm(forearm))
    left = {name: np.array(place) for name, place in LEFT.items()}
    left |= {name: wrist + np.array(place) @ axes for name, place in HAND.items()}
    tips = {name: wrist + np.array(place) @ axes for name, place in TIPS.items()}
    tips |= {name: np.array(ENDS[name]) for name in LEFT if name in ENDS}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        mirror = np.array([sign, 1.0, 1.0])
        places |= {f"{name}.{side}": place * mirror for name, place in left.items()}
        ends |= {f"{name}.{side}": place * mirror for name, place in tips.items()}
    heads = np.stack([places[name] for name in BONE_NAMES])
    tails = np.stack([ends[name] if name in ends else places[_child(name)] for name in BONE_NAMES])
    nose, inner, centre, outer, ear, mouth = (np.array(point) for point in FACE)
    other = np.array([-1.0, 1.0, 1.0])
    eyes = [inner, centre, outer]
    face = np.stack([nose, *eyes, *(point * other for point in eyes), ear, ear * other, mouth, mouth * other])
    return make_rig(
        (heads * scale).astype(np.float32), (tails * scale).astype(np.float32), (face * scale).astype(np.float32)
    )


def _hand_axes(along: Floats) -> Floats:
    """Rows: along the forearm, towards the thumb, out of the back of the hand; the palm faces down and back."""
    thumb = np.array([0.35, 0.25, 1.0])
    thumb -= (thumb @ along) * along
    thumb /= np.linalg.norm(thumb)
    return np.stack([along, thumb, np.cross(thumb, along)])


def _child(name: str) -> str:
    """The bone that begins where this one ends."""
    stem, _, side = name.partition(".")
    if stem in LATER_CHILD:
        child = LATER_CHILD[stem]
        return f"{child}.{side}" if side else child
    return next(child for child, parent in PARENT_NAMES.items() if parent == name)
