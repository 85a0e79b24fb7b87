"""The signer as 61 keypoints on 51 bones with 104 angles: the one place of kinematics.

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
from numpy.typing import NDArray

from model.encoder import Ints

Reals = NDArray[np.float64]
"""Kinematics is done in double precision."""

NUM_KEYPOINTS = 61
R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST, R_HIP, L_HIP = range(8)
NOSE, L_EAR, R_EAR, MOUTH_L, MOUTH_R = 8, 15, 16, 17, 18
FACE = slice(8, 19)
EYES = slice(9, 15)
RIGHT_HAND = slice(19, 40)
LEFT_HAND = slice(40, 61)
FINGERTIPS = (4, 8, 12, 16, 20)
"""Rows within a hand."""
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
_CENTRAL = slice(0, 7)

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


# ------------------------------------------------------------------------------------------------ limits of the joints


def limit_excess(angles: Angles) -> Angles:
    """By how much each angle is beyond what joints allow: 0 within the limits, else radians, signed.

    The limits are those of the clinical literature on active range of motion (American Academy of Orthopaedic
    Surgeons), widened by ten degrees for the spread among people and for fingers pressed against something.
    """

    def excess(values: Reals, limits: Reals) -> Reals:
        return values - np.clip(values, limits[:, 0], limits[:, 1])

    return Angles(excess(angles.body, BODY_LIMITS), excess(angles.left, HAND_LIMITS), excess(angles.right, HAND_LIMITS))


def elbow_angle(points: Reals, side: str) -> Reals:
    """Flexion of the elbow: 0 with the arm straight, about 150 degrees fully bent, in radians [...]."""
    shoulder = {"left": L_SHOULDER, "right": R_SHOULDER}[side]
    upper = unit(points[..., shoulder + 1, :] - points[..., shoulder, :])
    fore = unit(points[..., shoulder + 2, :] - points[..., shoulder + 1, :])
    angle: Reals = np.arccos(np.clip((upper * fore).sum(axis=-1), -1.0, 1.0))
    return angle


# ----------------------------------------------------------------------------------------- inverse kinematics of arms


def bend_arm(
    shoulder: Reals, target: Reals, upper: Reals | float, fore: Reals | float, swivel: Reals
) -> tuple[Reals, Reals]:
    """Where elbow and wrist are when the wrist goes for a point: two bones, one swivel.

    The elbow lies on a circle about the line from shoulder to wrist; `swivel` says where: 0 lets it hang lowest, and
    growing angles lift it to the arm's own side.

    Args:
        shoulder: [..., 3] of a left arm; mirror a right one.
        target: [..., 3] where the wrist should be. One out of reach is approached in a straight line as far as the arm,
            bent by five degrees, goes; one too near is kept off by what an elbow bent by 150 degrees leaves.
        upper: length of the upper arm.
        fore: length of the forearm.
        swivel: [...] radians.

    Returns:
        elbow [..., 3], wrist [..., 3].
    """
    reach = target - shoulder
    distance = np.linalg.norm(reach, axis=-1)
    nearest, farthest = (_opposite_side(upper, fore, np.deg2rad(inner)) for inner in (180 - MAX_ELBOW, 180 - MIN_ELBOW))
    held = np.clip(distance, nearest, farthest)
    axis = unit(reach)
    along = (held**2 + np.square(upper) - np.square(fore)) / (2.0 * held)
    radius = np.sqrt(np.maximum(np.square(upper) - along**2, 0.0))
    lowest, outward = _swivel_axes(axis)
    spoke = np.cos(swivel)[..., None] * lowest + np.sin(swivel)[..., None] * outward
    elbow = shoulder + along[..., None] * axis + radius[..., None] * spoke
    return elbow, shoulder + held[..., None] * axis


def natural_swivel(shoulder: Reals, target: Reals, arm_length: Reals | float) -> Reals:
    """The swivel most people's elbow takes: hanging a little outward, more so for a hand that is high or across.

    Args:
        shoulder: [..., 3] of a left arm.
        target: [..., 3] where the wrist goes.
        arm_length: of both bones together.

    Returns:
        [...] radians.
    """
    reach = (target - shoulder) / np.asarray(arm_length)[..., None]
    height = np.clip(reach[..., 1], -1.0, 1.0)
    across = np.clip(-reach[..., 0], 0.0, 1.0)
    swivel: Reals = np.deg2rad(18.0 + 22.0 * np.clip(height + 0.4, 0.0, 1.0) + 30.0 * across)
    return swivel


def _opposite_side(a: Reals | float, b: Reals | float, angle: float) -> Reals:
    """Third side of a triangle: the law of cosines."""
    side: Reals = np.sqrt(np.square(a) + np.square(b) - 2.0 * np.asarray(a) * b * np.cos(angle))
    return side


def _swivel_axes(axis: Reals) -> tuple[Reals, Reals]:
    """Two directions that span the elbow's circle: the lowest point, and the one to the left arm's outside.

    An arm that hangs straight down has no lowest point; there the elbow's zero lies behind, as the blend makes it.
    """
    down = np.array([0.0, -1.0, -0.25]) / np.hypot(1.0, 0.25)
    lowest = unit(down - (axis @ down)[..., None] * axis)
    outward = cross(axis, lowest)
    return lowest, outward


# ------------------------------------------------------------------------------------------------------- rotations


def with_middles(keypoints: Reals) -> Reals:
    """The keypoints followed by the four points between two of them: [..., 65, 3]."""
    middles = [(keypoints[..., right, :] + keypoints[..., left, :]) / 2.0 for right, left in _MIDDLES]
    return np.concatenate([keypoints, np.stack(middles, axis=-2)], axis=-2)


def unit(vectors: Reals) -> Reals:
    """Vectors [..., 3] at length one; NaN where there is no direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 1e-9, length, np.nan)


def cross(a: Reals, b: Reals) -> Reals:
    """Cross products of vectors [..., 3]: several times as fast as numpy's for the few vectors of a frame."""
    x, y, z = a[..., 0], a[..., 1], a[..., 2]
    u, v, w = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def frame_from(x: Reals, near_z: Reals) -> Reals:
    """The frame whose x axis is given and whose z axis leans towards a direction.

    Args:
        x: [..., 3] of length one.
        near_z: [..., 3] of any length, not along x.

    Returns:
        [..., 3, 3], one axis per column.
    """
    y = unit(cross(near_z, x))
    return np.stack([x, y, cross(x, y)], axis=-1)


def turn_y(angle: Reals) -> Reals:
    """Rotations about y: [...] radians to [..., 3, 3]."""
    c, s = np.cos(angle), np.sin(angle)
    zero, one = np.zeros_like(c), np.ones_like(c)
    return _matrix([[c, zero, s], [zero, one, zero], [-s, zero, c]])


def pitch_yaw_roll(angles: Reals) -> Reals:
    """How trunk and head are turned: [..., 3] radians forward, to the left, to the right, to [..., 3, 3]."""
    pitch, yaw, roll = np.moveaxis(angles, -1, 0)
    return turn_y(yaw) @ turn_about(0, pitch) @ turn_about(2, -roll)


def turn_about(axis: int, angle: Reals) -> Reals:
    """Rotations about a coordinate axis: [..., 3, 3]."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turned = np.zeros((*angle.shape, 3, 3))
    turned[..., axis, axis] = 1.0
    turned[..., first, first] = turned[..., second, second] = np.cos(angle)
    turned[..., first, second], turned[..., second, first] = -np.sin(angle), np.sin(angle)
    return turned


def turn(bend: Reals, sway: Reals) -> Reals:
    """R_x(bend) R_z(sway): [..., 3, 3]."""
    cb, sb, cs, ss = np.cos(bend), np.sin(bend), np.cos(sway), np.sin(sway)
    return _matrix([[cs, -ss, np.zeros_like(cs)], [cb * ss, cb * cs, -sb], [sb * ss, sb * cs, cb]])


def _matrix(rows: list[list[Reals]]) -> Reals:
    matrix = np.empty((*rows[0][0].shape, 3, 3))
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            matrix[..., row, column] = value
    return matrix


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

MIN_ELBOW, MAX_ELBOW = 5.0, 150.0
"""Degrees an elbow is bent by when an arm is stretched or folded."""


def _degrees(rows: list[tuple[float, float]]) -> Reals:
    limits: Reals = np.deg2rad(np.array(rows))
    return limits


def _hand_limits() -> Reals:
    palm = [(-90.0, 100.0), (-60.0, 60.0)]
    thumb = [(-80.0, 100.0), (-75.0, 90.0)] + 3 * [(-90.0, 100.0), (-60.0, 60.0)]
    finger = [*palm, (-45.0, 105.0), (-45.0, 45.0), (-25.0, 125.0), (-40.0, 40.0), (-30.0, 100.0), (-40.0, 40.0)]
    return _degrees([*thumb, *finger, *finger, *finger, *finger, (-135.0, 135.0)])


def _body_limits() -> Reals:
    trunk = [(-45.0, 45.0), (-45.0, 45.0)]
    arm = [(-70.0, 190.0), (-70.0, 90.0), (-25.0, 180.0), (-89.0, 89.0)]
    return _degrees([*(3 * trunk), (-60.0, 60.0), (-50.0, 50.0), *(3 * [(-80.0, 80.0), (-60.0, 60.0)]), *arm, *arm])


HAND_LIMITS: Reals = _hand_limits()
"""[41, 2] least and greatest of every angle of a hand, radians."""
BODY_LIMITS: Reals = _body_limits()
"""[22, 2] likewise of the body."""
