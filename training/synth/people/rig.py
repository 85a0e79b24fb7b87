"""Rigs: the bones of a body, their hierarchy, and the 61 keypoints on them.

The names are those of MakeHuman's default skeleton. Kept are the bones that signing moves (trunk, arms, every finger
joint, neck, jaw, eyes, upper and lower lids) and the legs; toes, tongue and the muscles of the face follow the bone
that carries them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.encoder import Floats, Ints
from model.skeleton.rotations import Reals

RIGHT_HAND = slice(19, 40)
LEFT_HAND = slice(40, 61)
GIRTH_STEPS = 8
"""Heights at which the girth of the trunk is known, evenly from the shoulders to the hips."""
_SLABS_M = (0.03, 0.06, 0.12)
"""How far above and below a height vertices are looked for until some lie before and some behind: coats are coarse."""

_TRUNK = {
    "root": "",
    "spine05": "root",
    "spine04": "spine05",
    "spine03": "spine04",
    "spine02": "spine03",
    "spine01": "spine02",
    "neck01": "spine01",
    "neck02": "neck01",
    "neck03": "neck02",
    "head": "neck03",
    "jaw": "head",
}
_SIDE = {
    "eye": "head",
    "orbicularis03": "head",  # upper lid
    "orbicularis04": "head",  # lower lid
    "pelvis": "root",
    "upperleg01": "pelvis",
    "upperleg02": "upperleg01",
    "lowerleg01": "upperleg02",
    "lowerleg02": "lowerleg01",
    "foot": "lowerleg02",
    "clavicle": "spine01",
    "shoulder01": "clavicle",
    "upperarm01": "shoulder01",
    "upperarm02": "upperarm01",
    "lowerarm01": "upperarm02",
    "lowerarm02": "lowerarm01",
    "wrist": "lowerarm02",
    "metacarpal1": "wrist",
    "metacarpal2": "wrist",
    "metacarpal3": "wrist",
    "metacarpal4": "wrist",
    "finger1-1": "wrist",
    "finger2-1": "metacarpal1",
    "finger3-1": "metacarpal2",
    "finger4-1": "metacarpal3",
    "finger5-1": "metacarpal4",
} | {f"finger{finger}-{bone}": f"finger{finger}-{bone - 1}" for finger in range(1, 6) for bone in (2, 3)}

PARENT_NAMES: dict[str, str] = _TRUNK | {
    f"{bone}.{side}": parent if parent in _TRUNK else f"{parent}.{side}"
    for side in ("L", "R")
    for bone, parent in _SIDE.items()
}
"""The name of every bone's parent, "" for the root; parents come before children."""
BONE_NAMES = tuple(PARENT_NAMES)


@dataclass(frozen=True)
class Rig:
    """The bones of one body in its rest pose: arms about 45 degrees down, facing +z, y up, the person's left at +x.

    Lengths are metres; the soles stand on y = 0.
    """

    names: tuple[str, ...]
    """[J] MakeHuman's bone names, parents before children."""
    parents: Ints
    """[J] the bone that carries each, -1 for the root."""
    heads: Floats
    """[J, 3] where each bone turns, in the rest pose."""
    tails: Floats
    """[J, 3] the other end, in the rest pose."""
    landmarks: Floats
    """[61, 3] rest positions of the keypoints of the priors on this body."""
    landmark_bones: Ints
    """[61] the bone that carries each keypoint."""
    girth: Floats | None = None
    """[8, 3] metres: front, back (negative) and half width of the dressed trunk, at heights from the shoulders down to
    the hips, seen from the line between their middles; None where no skin is known."""

    def bone(self, name: str) -> int:
        """The row of a bone.

        Raises:
            KeyError: there is no bone of that name.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(f"no bone is called {name!r}; the rig has {', '.join(self.names)}") from None


@dataclass(frozen=True)
class Performance:
    """One sign as one body performs it: what the renderer is given."""

    rotations: Floats
    """[T, J, 3, 3] every bone's rotation relative to its parent, in the axes of the rest pose; identity is rest."""
    fps: float
    gloss: str
    gaze: Floats | None = None
    """[T, 2] yaw (to the person's left) and pitch (up) of the eyes, radians; None: straight ahead."""
    mouth_open: Floats | None = None
    """[T] 0 closed to 1 wide open; None: closed."""
    active: slice | None = None
    """Frames of stroke and hold, while the sign has its form; None: not known."""

    @property
    def num_frames(self) -> int:
        """Frames in the performance."""
        return int(self.rotations.shape[0])


def trunk_girth(rig: Rig, vertices: Floats, bones: Ints) -> Floats:
    """Distance of skin and clothes from the middle of the trunk, for collisions of hands.

    Args:
        rig: the bones at rest.
        vertices: [V, 3] metres at rest.
        bones: [V] the bone that moves each vertex most.

    Returns:
        [8, 3] float32 metres, as `Rig.girth`.
    """
    trunk = [row for row, name in enumerate(rig.names) if name.startswith(("spine", "root", "pelvis", "clavicle"))]
    points = vertices[np.isin(bones, trunk)]
    shoulders, hips = rig.landmarks[[0, 3]].mean(0), rig.landmarks[[6, 7]].mean(0)
    width = float(np.linalg.norm(rig.landmarks[3] - rig.landmarks[0]))
    girth = []
    for share in np.linspace(0.0, 1.0, GIRTH_STEPS):
        away = points - (shoulders + share * (hips - shoulders))
        away = away[np.abs(away[:, 0]) < 0.6 * width]
        for thickness in _SLABS_M:
            slab = away[np.abs(away[:, 1]) < thickness]
            depths = slab[np.abs(slab[:, 0]) < 0.25 * width, 2]
            if depths.max(initial=0.0) > 0.0 > depths.min(initial=0.0):
                break
        girth.append((depths.max(initial=0.0), depths.min(initial=0.0), np.abs(slab[:, 0]).max(initial=0.0)))
    return np.array(girth, np.float32)


def make_rig(heads: Floats, tails: Floats, face: Floats) -> Rig:
    """The rig of a body from its joint positions.

    Args:
        heads: [J, 3] metres, in the order of `BONE_NAMES`.
        tails: [J, 3] likewise.
        face: [11, 3] the face keypoints: nose, then eye inner, centre, outer of the left and of the right eye, left
            and right ear, left and right corner of the mouth (MediaPipe Pose 0-10).
    """
    rows = {name: row for row, name in enumerate(BONE_NAMES)}
    sites = _landmark_sites()
    joints = [(tails if at_tail else heads)[rows[bone]] for bone, at_tail in sites[:8] + sites[19:]]
    return Rig(
        names=BONE_NAMES,
        parents=np.array([rows.get(parent, -1) for parent in PARENT_NAMES.values()], np.int64),
        heads=heads.astype(np.float32),
        tails=tails.astype(np.float32),
        landmarks=np.concatenate([joints[:8], face, joints[8:]]).astype(np.float32),
        landmark_bones=np.array([rows[bone] for bone, _ in sites], np.int64),
    )


def _landmark_sites() -> list[tuple[str, bool]]:
    """Bone of each of the 61 keypoints, and whether the keypoint is the bone's tail."""
    arms = [(f"{bone}.{side}", False) for side in ("R", "L") for bone in ("upperarm01", "lowerarm01", "wrist")]
    hips = [("upperleg01.R", False), ("upperleg01.L", False)]
    face = [("head", False)] * 11
    return arms + hips + face + _hand_sites("R") + _hand_sites("L")


def _hand_sites(side: str) -> list[tuple[str, bool]]:
    fingers = [
        (f"finger{finger}-{min(joint, 3)}.{side}", joint == 4) for finger in range(1, 6) for joint in (1, 2, 3, 4)
    ]
    return [(f"wrist.{side}", False), *fingers]


def pose_bones(rig: Rig, rotations: Floats) -> Floats:
    """Forward kinematics: transforms of all bones from rotations relative to their parents.

    G_j = G_parent R_j, head'_j = head'_parent + G_parent (head_j - head_parent), with R_j in the axes of the rest pose.

    Args:
        rig: the bones at rest.
        rotations: [T, J, 3, 3] rotation matrices; identity is the rest pose.

    Returns:
        [T, J, 3, 4] float32: transforms that take points of the rest pose to the posed body.
    """
    num_frames, num_bones = rotations.shape[:2]
    turns: NDArray[np.float32] = np.empty((num_frames, num_bones, 3, 3), np.float32)
    heads: NDArray[np.float32] = np.empty((num_frames, num_bones, 3), np.float32)
    for bone, parent in enumerate(rig.parents):
        if parent < 0:
            turns[:, bone] = rotations[:, bone]
            heads[:, bone] = rig.heads[bone]
            continue
        turns[:, bone] = turns[:, parent] @ rotations[:, bone]
        heads[:, bone] = heads[:, parent] + turns[:, parent] @ (rig.heads[bone] - rig.heads[parent])
    offsets = heads - np.einsum("tjab,jb->tja", turns, rig.heads)
    return np.concatenate([turns, offsets[..., None]], axis=-1)


def pose_landmarks(rig: Rig, transforms: Floats) -> Floats:
    """The 61 keypoints of a posed body.

    Args:
        rig: the bones at rest.
        transforms: [T, J, 3, 4] from `pose_bones`.

    Returns:
        [T, 61, 3] float32 metres.
    """
    carried = transforms[:, rig.landmark_bones]
    moved: Floats = np.einsum("tkab,kb->tka", carried[..., :3], rig.landmarks) + carried[..., 3]
    return moved


def performance_landmarks(performance: Performance, rig: Rig) -> Reals:
    """The exact keypoints of a performance: [T, 61, 3] metres."""
    return pose_landmarks(rig, pose_bones(rig, performance.rotations)).astype(float)
