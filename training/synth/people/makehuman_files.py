"""MakeHuman's file formats, read into arrays: meshes (.obj), fits (.mhclo), targets, skeleton and skin weights.

Lengths stay in the files' unit, decimetres.
"""

import json
from dataclasses import dataclass

import numpy as np

from model.encoder import Floats, Ints

UNITS_PER_METRE = 10.0


@dataclass(frozen=True)
class Mesh:
    """A mesh of quads. A triangle repeats its last corner."""

    vertices: Floats
    """[V, 3] decimetres."""
    uv: Floats
    """[U, 2] texture coordinates, v up."""
    faces: Ints
    """[F, 4] rows of `vertices`."""
    face_uv: Ints
    """[F, 4] rows of `uv`."""
    groups: tuple[tuple[str, int], ...]
    """Name and first face of every group, in the order of the file."""

    def group_faces(self, name: str) -> Ints:
        """Faces of all groups of that name, as rows of `faces`."""
        ends = [first for _, first in self.groups[1:]] + [len(self.faces)]
        ranges = [
            np.arange(first, end)
            for (group, first), end in zip(self.groups, ends, strict=True)
            if group == name and end > first
        ]
        return np.concatenate(ranges) if ranges else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Fit:
    """Attachment of a garment: each of its vertices follows three vertices of the base mesh."""

    corners: Ints
    """[N, 3] vertices of the base mesh."""
    weights: Floats
    """[N, 3] their weights, summing to about 1."""
    offsets: Floats
    """[N, 3] added after scaling, decimetres on the reference body."""
    scales: tuple[tuple[int, int, float], ...]
    """For x, y, z: two base vertices, and their distance along that axis on the reference body."""
    hidden: Ints
    """Base vertices that lie under the garment."""


@dataclass(frozen=True)
class Target:
    """Displacements of some base vertices."""

    vertices: Ints
    """[N]."""
    deltas: Floats
    """[N, 3] decimetres."""


@dataclass(frozen=True)
class Joint:
    """One bone of the skeleton file."""

    parent: str
    head: Ints
    """Base vertices whose mean is the head."""
    tail: Ints


def read_mesh(text: str) -> Mesh:
    """A Wavefront OBJ.

    Raises:
        ValueError: a line that is no number where one must be.
    """
    rows: dict[str, list[list[str]]] = {"v": [], "vt": [], "f": []}
    groups: list[tuple[str, int]] = []
    for line in text.splitlines():
        kind, *fields = line.split() or [""]
        if kind in rows:
            rows[kind].append(fields)
        elif kind == "g":
            groups.append((fields[0] if fields else "", len(rows["f"])))
    corners = [
        [corner.split("/") for corner in (face if len(face) == 4 else [*face[:3], face[2]])] for face in rows["f"]
    ]
    numbers = np.array([[corner[:2] for corner in face] for face in corners], np.int64) - 1
    return Mesh(
        vertices=np.array([fields[:3] for fields in rows["v"]], np.float32),
        uv=np.array([fields[:2] for fields in rows["vt"]], np.float32),
        faces=numbers[..., 0],
        face_uv=numbers[..., 1],
        groups=tuple(groups),
    )


def read_fit(text: str) -> Fit:
    """An .mhclo file.

    Raises:
        ValueError: no vertices, or a line that is neither one base vertex nor three with weights and offset.
    """
    scales: dict[str, tuple[int, int, float]] = {}
    vertices: list[list[str]] = []
    hidden: list[str] = []
    section = ""
    for line in text.splitlines():
        fields = line.split("#")[0].split()
        if not fields:
            continue
        if fields[0].endswith("_scale"):
            scales[fields[0][0]] = (int(fields[1]), int(fields[2]), float(fields[3]))
        elif fields[0] in ("verts", "delete_verts"):
            section = fields[0]
        elif section == "verts" and fields[0].lstrip("-").isdigit():
            vertices.append(fields)
        elif section == "delete_verts":
            hidden += fields
    if not vertices or len(scales) != 3:
        raise ValueError(f"{len(vertices)} vertices and scales for {sorted(scales)}; it needs vertices and x, y, z")
    # A single number hangs the vertex on that base vertex alone.
    full = [fields if len(fields) == 9 else fields * 3 + ["1", "0", "0", "0", "0", "0"] for fields in vertices]
    return Fit(
        corners=np.array([fields[:3] for fields in full], np.int64),
        weights=np.array([fields[3:6] for fields in full], np.float32),
        offsets=np.array([fields[6:9] for fields in full], np.float32),
        scales=tuple(scales[axis] for axis in "xyz"),
        hidden=_ranges(hidden),
    )


def _ranges(fields: list[str]) -> Ints:
    """Numbers of `3 7 - 9` as 3, 7, 8, 9."""
    numbers: list[int] = []
    upto = False
    for field in fields:
        if field == "-":
            upto = True
            continue
        numbers += range(numbers[-1] + 1, int(field) + 1) if upto else [int(field)]
        upto = False
    return np.array(numbers, np.int64)


def read_target(text: str) -> Target:
    """A .target file: lines of vertex, dx, dy, dz.

    Raises:
        ValueError: a line of another form.
    """
    fields = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    table = np.array(fields, np.float64).reshape(-1, 4)
    return Target(vertices=table[:, 0].astype(np.int64), deltas=table[:, 1:].astype(np.float32))


def read_skeleton(text: str) -> dict[str, Joint]:
    """A .mhskel file, bone by name.

    Raises:
        ValueError: not JSON, or without the entries of a skeleton.
    """
    try:
        tree = json.loads(text)
        joints = {name: np.array(vertices, np.int64) for name, vertices in tree["joints"].items()}
        return {
            name: Joint(bone["parent"] or "", joints[bone["head"]], joints[bone["tail"]])
            for name, bone in tree["bones"].items()
        }
    except KeyError as error:
        raise ValueError(f"the skeleton has no {error}") from error


def read_weights(text: str) -> dict[str, tuple[Ints, Floats]]:
    """A .mhw file: for every bone the vertices it moves, and by how much.

    Raises:
        ValueError: not JSON, or without weights.
    """
    tree = json.loads(text)
    if "weights" not in tree:
        raise ValueError("the file has no 'weights'")
    return {
        bone: (np.array([v for v, _ in pairs], np.int64), np.array([w for _, w in pairs], np.float32))
        for bone, pairs in tree["weights"].items()
        if pairs
    }
