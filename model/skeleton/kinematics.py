"""The signer as 61 keypoints on 51 bones with 104 angles: forward and inverse kinematics.

Axes: x to the signer's left, y up, z forward (towards the camera). Lengths in one unit throughout, angles in radians.

Keypoints (SignRep): 0-7 right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, left hip; 8-18 the face
landmarks 0-10 of MediaPipe Pose; 19-39 the right hand and 40-60 the left one in MediaPipe's order (wrist, then four of
thumb, index, middle, ring, little finger). A hand's first keypoint is the arm's wrist.

Bones are joined in a tree that starts between the hips:

    pelvis                          between the hips -> left hip; the right hip mirrors it
    spine                           between the hips -> between the shoulders
    └── girdle                      between the shoulders -> left shoulder; the right shoulder mirrors it
        ├── neck                    between the shoulders -> between the ears
        │   └── ears                between the ears -> left ear; the right ear mirrors it
        │       └── nose            between the ears -> nose
        │           └── mouth       between the ears -> between the corners of the mouth
        ├── left upper arm
        │   └── left forearm        then, turned by the wrist's twist, five bones of the palm,
        │       └── palm x 5        each the start of a finger with three more
        └── right upper arm ...     the same, mirrored

Angles (Paper: their meaning is not published; here: two per bone, because 11 body bones and 20 per hand then make the
paper's 22 and 41, the latter with the twist of the wrist). A bone's frame is its parent's, turned by

    F_bone = F_parent Q_bone R_y(twist) R_x(bend) R_z(sway),      the bone lies along the y axis of F_bone,

where Q_bone is how the bone stands in the stance: upright, arms hanging, palms at the thighs, fingers straight. `bend`
carries an arm forward, a finger towards its palm; `sway` carries an arm outward, a finger towards the thumb's side.
Both hands and arms count alike: a mirrored pose has left and right angles exchanged (`mirror_angles`).
The twist turns the line of the knuckles, index to little finger, into the plane that the forearm and the hand's x axis
span; so of a hand's 41 angles 40 are free, and `inverse` gives the set that obeys this.
The second rotation has its poles where anatomy never or seldom goes (a finger lying across its own knuckle line, a
forearm stretched outward from a hanging arm), so that angles stay continuous while somebody signs.

Everything works on any leading axes, and what is unknown (NaN) stays unknown without spreading to other branches.
"""

from dataclasses import dataclass

import numpy as np

from model.encoder import Ints
from model.skeleton.rotations import Reals, frame_from, turn, turn_y, unit

NUM_KEYPOINTS = 61
R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST, R_HIP, L_HIP = range(8)
NOSE, L_EAR, R_EAR, MOUTH_L, MOUTH_R = 8, 15, 16, 17, 18
FACE = slice(8, 19)
EYES = slice(9, 15)
RIGHT_HAND = slice(19, 40)
LEFT_HAND = slice(40, 61)
KNUCKLES = (5, 9, 13, 17)
"""First joints of index, middle, ring and little finger, rows within a hand."""

# Points between two keypoints: they join the body's halves and have no keypoint of their own.
MID_HIPS, MID_SHOULDERS, MID_EARS, MID_MOUTH = range(61, 65)
_MIDDLES = ((R_HIP, L_HIP), (R_SHOULDER, L_SHOULDER), (R_EAR, L_EAR), (MOUTH_R, MOUTH_L))


@dataclass(frozen=True)
class Bone:
    """A line between two points, and how it stands when the body stands."""

    name: str
    parent: str
    """The bone whose frame its angles are measured in; "" for the axes of space."""
    start: int
    end: int
    """Rows of the 61 keypoints and, after them, of the four middles."""
    stance: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    """Its x, y and z axis in the stance; y is the direction of the bone."""
    twisted: bool = False
    """True for the bones of the palm, which the wrist's twist turns first."""
    sway_sign: float = 1.0
    """-1 where a positive rotation would carry the bone towards the little finger, or the arm inward."""


_UP = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_LEFTWARD = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
_FORWARD = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
_HANGING = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
# The pole of the forearm's angles lies 35 degrees in front of straight outward, and behind straight inward.
_C, _S = float(np.cos(np.deg2rad(35.0))), float(np.sin(np.deg2rad(35.0)))
_FOREARM_L = ((-_C, 0.0, -_S), (0.0, -1.0, 0.0), (-_S, 0.0, _C))
_FOREARM_R = ((-_C, 0.0, _S), (0.0, -1.0, 0.0), (_S, 0.0, _C))
_HAND_L = ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0))
_HAND_R = ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
FINGERS = ("thumb", "index", "middle", "ring", "little")
FINGER_BONES = ("palm", "first", "second", "third")


def _arm(side: str, shoulder: int) -> list[Bone]:
    left = side == "left"
    sign = 1.0 if left else -1.0
    return [
        Bone(f"{side} upper arm", "girdle", shoulder, shoulder + 1, _HANGING, sway_sign=sign),
        Bone(
            f"{side} forearm",
            f"{side} upper arm",
            shoulder + 1,
            shoulder + 2,
            _FOREARM_L if left else _FOREARM_R,
            sway_sign=sign,
        ),
    ]


def _hand(side: str, wrist: int) -> list[Bone]:
    stance = _HAND_L if side == "left" else _HAND_R
    bones = []
    for finger, name in enumerate(FINGERS):
        carrier, start = f"{side} forearm", wrist
        for row, part in enumerate(FINGER_BONES):
            end = wrist + 1 + 4 * finger + row
            sign = 1.0 if side == "left" else -1.0
            bones.append(Bone(f"{side} {name} {part}", carrier, start, end, stance, part == "palm", sign))
            carrier, start = bones[-1].name, end
    return bones


BODY_BONES = (
    Bone("pelvis", "", MID_HIPS, L_HIP, _LEFTWARD),
    Bone("spine", "", MID_HIPS, MID_SHOULDERS, _UP),
    Bone("girdle", "spine", MID_SHOULDERS, L_SHOULDER, _LEFTWARD),
    Bone("neck", "girdle", MID_SHOULDERS, MID_EARS, _UP),
    Bone("ears", "neck", MID_EARS, L_EAR, _LEFTWARD),
    Bone("nose", "ears", MID_EARS, NOSE, _FORWARD),
    Bone("mouth", "nose", MID_EARS, MID_MOUTH, _FORWARD),
    *_arm("right", R_SHOULDER),
    *_arm("left", L_SHOULDER),
)
BONES = (*BODY_BONES, *_hand("right", RIGHT_HAND.start), *_hand("left", LEFT_HAND.start))
BONE = {bone.name: row for row, bone in enumerate(BONES)}
"""Row of every bone by name: 11 of the body, 20 of the right hand, 20 of the left."""
NUM_BODY_ANGLES = 2 * len(BODY_BONES)
NUM_HAND_ANGLES = 41
_BODY = slice(0, 11)
_RIGHT = slice(11, 31)
_LEFT = slice(31, 51)

PARENTS: Ints = np.array([BONE.get(bone.parent, -1) for bone in BONES])
_STARTS = np.array([bone.start for bone in BONES])
_ENDS = np.array([bone.end for bone in BONES])
_SIGNS = np.array([bone.sway_sign for bone in BONES])
_STANCE = np.array([bone.stance for bone in BONES]).swapaxes(-1, -2)
_CARRY = np.array([frame if p < 0 else _STANCE[p].T @ frame for p, frame in zip(PARENTS, _STANCE, strict=True)])


def _levels() -> list[Ints]:
    """Rows of the bones by their depth in the tree, so that a level is computed at once."""
    depth = np.zeros(len(BONES), int)
    for row, parent in enumerate(PARENTS):
        depth[row] = 0 if parent < 0 else depth[parent] + 1
    return [np.flatnonzero(depth == level) for level in range(depth.max() + 1)]


_LEVELS = _levels()


@dataclass(frozen=True)
class Angles:
    """A pose without its bone lengths. Leading axes are free and shared."""

    body: Reals
    """[..., 22] bend and sway of the eleven body bones, in their order."""
    left: Reals
    """[..., 41] bend and sway of the twenty hand bones, then the twist of the wrist."""
    right: Reals
    """[..., 41] likewise."""


@dataclass(frozen=True)
class Proportions:
    """What is a person's own. Leading axes are free, and broadcast against those of the angles."""

    lengths: Reals
    """[..., 51] of the bones."""
    face: Reals
    """[..., 7, 3] in the axes of the head: the six eye keypoints from between the ears, the left corner of the mouth
    from the mouth's middle."""


def forward(angles: Angles, proportions: Proportions) -> Reals:
    """Keypoints of a pose: forward kinematics, from the origin between the hips.

    Returns:
        [..., 61, 3] in the unit of the lengths.
    """
    frames = bone_frames(angles)
    shape = np.broadcast_shapes(frames.shape[:-3], proportions.lengths.shape[:-1])
    points = np.full((*shape, NUM_KEYPOINTS + len(_MIDDLES), 3), np.nan)
    points[..., MID_HIPS, :] = 0.0
    steps = frames[..., :, 1] * proportions.lengths[..., None]
    for level in _LEVELS:
        points[..., _ENDS[level], :] = points[..., _STARTS[level], :] + steps[..., level, :]
        for middle, (right, left) in enumerate(_MIDDLES[:3], start=MID_HIPS):
            points[..., right, :] = 2.0 * points[..., middle, :] - points[..., left, :]
        points[..., (RIGHT_HAND.start, LEFT_HAND.start), :] = points[..., (R_WRIST, L_WRIST), :]
    offsets = np.einsum("...ab,...kb->...ka", head_frame(points), proportions.face)
    points[..., EYES, :] = points[..., MID_EARS, None, :] + offsets[..., :6, :]
    points[..., MOUTH_L, :] = points[..., MID_MOUTH, :] + offsets[..., 6, :]
    points[..., MOUTH_R, :] = points[..., MID_MOUTH, :] - offsets[..., 6, :]
    return points[..., :NUM_KEYPOINTS, :]


def inverse(keypoints: Reals) -> Angles:
    """Angles of a pose: what `forward` needs, with the bone lengths of `measure`, to give these keypoints again.

    A hand is taken relative to its own wrist; `forward` hangs it on the arm's. A pose that is not a person's of rigid
    face keeps its face through `measure` of the same frame.

    Args:
        keypoints: [..., 61, 3]; NaN where unknown.
    """
    points = with_middles(keypoints)
    directions = unit(points[..., _ENDS, :] - points[..., _STARTS, :])
    twists = {side: np.zeros(keypoints.shape[:-2]) for side in ("left", "right")}
    frames = np.empty((*directions.shape, 3))
    angles = np.empty((*directions.shape[:-1], 2))
    for row, bone in enumerate(BONES):
        base = _CARRY[row] if PARENTS[row] < 0 else frames[..., PARENTS[row], :, :] @ _CARRY[row]
        if bone.twisted:
            side = bone.name.split()[0]
            twists[side] = _measure_twist(points, base, side)
            base = base @ turn_y(_SIGNS[row] * twists[side])
        angles[..., row, :] = _bend_and_sway(base, directions[..., row, :])
        frames[..., row, :, :] = base @ turn(angles[..., row, 0], angles[..., row, 1])
    angles[..., 1] *= _SIGNS
    return _pack(angles, twists["left"], twists["right"])


def measure(keypoints: Reals) -> Proportions:
    """Bone lengths and face of every pose. Their medians over a data set are its standard body.

    Args:
        keypoints: [..., 61, 3]; NaN where unknown.
    """
    points = with_middles(keypoints)
    eyes = points[..., EYES, :] - points[..., MID_EARS, None, :]
    corner = points[..., MOUTH_L, :] - points[..., MID_MOUTH, :]
    offsets = np.concatenate([eyes, corner[..., None, :]], axis=-2)
    return Proportions(
        lengths=np.linalg.norm(points[..., _ENDS, :] - points[..., _STARTS, :], axis=-1),
        face=np.einsum("...ba,...kb->...ka", head_frame(points), offsets),
    )


def median_proportions(proportions: Proportions) -> Proportions:
    """The standard body of many poses: the median of every bone length and face offset, over all leading axes."""
    return Proportions(
        lengths=np.nanmedian(proportions.lengths.reshape(-1, len(BONES)), axis=0),
        face=np.nanmedian(proportions.face.reshape(-1, 7, 3), axis=0),
    )


def bone_frames(angles: Angles) -> Reals:
    """The axes of every bone, in space.

    Returns:
        [..., 51, 3, 3]; the columns are x, y, z, and y is the bone's direction.
    """
    bends, twists = _unpack(angles)
    local = turn(bends[..., 0], bends[..., 1] * _SIGNS)
    local = _CARRY @ turn_y(twists * _SIGNS) @ local
    frames = np.empty(local.shape)
    for level in _LEVELS:
        parents = PARENTS[level]
        frames[..., level, :, :] = local[..., level, :, :]
        if parents[0] >= 0:
            frames[..., level, :, :] = frames[..., parents, :, :] @ local[..., level, :, :]
    return frames


def head_frame(points: Reals) -> Reals:
    """The axes of the head: x to its left ear, z towards the nose, upright to x.

    Args:
        points: [..., 61 or more, 3].

    Returns:
        [..., 3, 3], one axis per column.
    """
    left, right = points[..., L_EAR, :], points[..., R_EAR, :]
    x = unit(left - right)
    return frame_from(x, points[..., NOSE, :] - (left + right) / 2.0)


def mirror_points(points: Reals) -> Reals:
    """The same pose in a mirror: x negated, left and right keypoints exchanged.

    Args:
        points: [..., 61, 3].
    """
    mirrored: Reals = points[..., MIRROR, :] * np.array([-1.0, 1.0, 1.0])
    return mirrored


def mirror_angles(angles: Angles) -> Angles:
    """The angles of the mirrored pose."""
    body = angles.body * _MIRROR_SIGNS
    return Angles(body[..., _MIRROR_BODY], angles.right, angles.left)


def standard_proportions() -> Proportions:
    """A middling adult, metres: half-way between the median woman and man of anthropometric surveys."""
    trunk = [0.09, 0.47, 0.17, 0.22, 0.072, 0.115, 0.105]
    arm = [0.29, 0.25]
    hand = [0.036, 0.044, 0.034, 0.027]  # thumb
    hand += [0.090, 0.042, 0.025, 0.022, 0.088, 0.046, 0.029, 0.023]
    hand += [0.083, 0.042, 0.028, 0.023, 0.079, 0.033, 0.020, 0.021]
    eyes = [(0.018, 0.035, 0.088), (0.031, 0.036, 0.086), (0.045, 0.034, 0.076)]
    face = [*eyes, *((-x, y, z) for x, y, z in eyes), (0.025, 0.0, 0.0)]
    return Proportions(np.array([*trunk, *arm, *arm, *hand, *hand]), np.array(face))


def standing() -> Angles:
    """The stance: upright, looking ahead, arms hanging, palms at the thighs, fingers straight and a little fanned."""
    body = np.zeros(NUM_BODY_ANGLES)
    body[[10, 12]] = np.deg2rad([8.0, 16.0])  # the nose lies lower than the ears, the mouth lower still
    hand = np.zeros(NUM_HAND_ANGLES)
    hand[[0, 1, 2]] = np.deg2rad([18.0, 42.0, 8.0])  # the thumb stands off, in front of the palm
    hand[[9, 17, 25, 33]] = np.deg2rad([17.0, 2.0, -11.0, -23.0])
    return Angles(body, hand, hand)


def with_middles(keypoints: Reals) -> Reals:
    """The keypoints followed by the four points between two of them: [..., 65, 3]."""
    middles = [(keypoints[..., right, :] + keypoints[..., left, :]) / 2.0 for right, left in _MIDDLES]
    return np.concatenate([keypoints, np.stack(middles, axis=-2)], axis=-2)


def _bend_and_sway(base: Reals, direction: Reals) -> Reals:
    """The two angles that turn the y axis of `base` to a direction: [..., 2]."""
    x, y, z = np.moveaxis(np.einsum("...ba,...b->...a", base, direction), -1, 0)
    return np.stack([np.arctan2(z, y), np.arctan2(-x, np.hypot(y, z))], axis=-1)


def _measure_twist(points: Reals, base: Reals, side: str) -> Reals:
    """How far the knuckle line, index to little finger, is turned about the forearm: [...] radians.

    The line is drawn between the bones of the palm at equal length, so that the angle is the same on anybody's bones.
    """
    hand = LEFT_HAND if side == "left" else RIGHT_HAND
    index, little = (points[..., hand.start + KNUCKLES[row], :] - points[..., hand.start, :] for row in (0, 3))
    knuckles = unit(little) - unit(index)
    across = np.einsum("...ba,...b->...a", base, knuckles)
    sign = 1.0 if side == "left" else -1.0
    twist: Reals = np.arctan2(-across[..., 2], across[..., 0] * sign)
    return twist


def _pack(angles: Reals, left_twist: Reals, right_twist: Reals) -> Angles:
    def flat(rows: slice, *extra: Reals) -> Reals:
        bends = angles[..., rows, :]
        parts = [bends.reshape(*bends.shape[:-2], -1), *(twist[..., None] for twist in extra)]
        return np.concatenate(parts, axis=-1)

    return Angles(flat(_BODY), flat(_LEFT, left_twist), flat(_RIGHT, right_twist))


def _unpack(angles: Angles) -> tuple[Reals, Reals]:
    """Bend and sway [..., 51, 2] and twist [..., 51] of every bone."""
    flat = np.concatenate([angles.body, angles.right[..., :-1], angles.left[..., :-1]], axis=-1)
    bends = flat.reshape(*flat.shape[:-1], len(BONES), 2)
    twists = np.zeros(bends.shape[:-1])
    twists[..., _RIGHT_PALM] = angles.right[..., -1:]
    twists[..., _LEFT_PALM] = angles.left[..., -1:]
    return bends, twists


def _mirrored_keypoints() -> Ints:
    body = [3, 4, 5, 0, 1, 2, 7, 6]
    face = [8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17]
    return np.array([*body, *face, *range(40, 61), *range(19, 40)])


MIRROR: Ints = _mirrored_keypoints()
"""[61] the keypoint that each becomes in a mirror."""
_RIGHT_PALM = np.array([row for row, bone in enumerate(BONES) if bone.twisted and row < _LEFT.start])
_LEFT_PALM = _RIGHT_PALM + 20
# In a mirror the central bones sway the other way; those that point left also bend the other way, since what is drawn
# is then the mirrored right half. Arms count alike on both sides and only change places.
_MIRROR_SIGNS = np.array([-1, -1, 1, -1, -1, -1, 1, -1, -1, -1, 1, -1, 1, -1] + 8 * [1], float)
_MIRROR_BODY = np.array([*range(14), 18, 19, 20, 21, 14, 15, 16, 17])
