"""Bodies: one person's mesh, textures, bone weights and rig, as rendered."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.encoder import Floats, Ints
from training.synth.people.rig import Rig, trunk_girth

TEXTURE_PX = 512
BONES_PER_VERTEX = 4

PartKind = Literal["skin", "garment", "hair", "eyes"]
Texture = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """A range of faces that belong together."""

    name: str
    kind: PartKind
    first_face: int
    num_faces: int


@dataclass(frozen=True)
class Body:
    """One person in the rest pose, in the axes and units of the rig."""

    vertices: Floats
    """[V, 3] metres."""
    normals: Floats
    """[V, 3] unit, outward."""
    uv: Floats
    """[V, 2] texture coordinates, v down (row 0 is the top of the picture)."""
    layers: Ints
    """[V] the texture of each vertex."""
    shade: Floats
    """[V] 0 to 1: how much of the surroundings' light reaches the vertex (creases get less)."""
    bones: Ints
    """[V, 4] rows of the rig."""
    weights: Floats
    """[V, 4] their weights, summing to 1."""
    faces: Ints
    """[F, 3] counter-clockwise from outside; opaque parts before hair."""
    textures: Texture
    """[L, 512, 512, 4] uint8 RGBA."""
    parts: tuple[Part, ...]
    rig: Rig


@dataclass(frozen=True)
class Piece:
    """One part of a body before it is put together with the others."""

    name: str
    kind: PartKind
    vertices: Floats
    normals: Floats
    uv: Floats
    shade: Floats
    skin: Floats
    """[V, J] bone weights."""
    faces: Ints
    texture: Texture


def assemble(pieces: list[Piece], rig: Rig) -> Body:
    """Put the parts of a body together, in the order of rendering."""
    sizes = [len(piece.vertices) for piece in pieces]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    first_faces = np.concatenate([[0], np.cumsum([len(piece.faces) for piece in pieces])])
    vertices = np.concatenate([piece.vertices for piece in pieces]).astype(np.float32)
    skin = np.concatenate([piece.skin for piece in pieces])
    bones, weights = strongest_bones(skin)
    return Body(
        vertices=vertices,
        normals=np.concatenate([piece.normals for piece in pieces]).astype(np.float32),
        uv=np.concatenate([piece.uv for piece in pieces]).astype(np.float32),
        layers=np.repeat(np.arange(len(pieces)), sizes),
        shade=np.concatenate([piece.shade for piece in pieces]).astype(np.float32),
        bones=bones,
        weights=weights,
        faces=np.concatenate([piece.faces + start for piece, start in zip(pieces, starts, strict=True)]),
        textures=np.stack([piece.texture for piece in pieces]),
        parts=tuple(
            Part(piece.name, piece.kind, int(first), len(piece.faces))
            for piece, first in zip(pieces, first_faces, strict=False)
        ),
        rig=replace(rig, girth=trunk_girth(rig, vertices, skin.argmax(axis=1))),
    )


def strongest_bones(skin: Floats) -> tuple[Ints, Floats]:
    """The four bones that move each vertex most, and their weights, scaled to sum to 1.

    Args:
        skin: [V, J] bone weights, each row with at least one above 0.
    """
    bones = np.argpartition(-skin, BONES_PER_VERTEX - 1, axis=1)[:, :BONES_PER_VERTEX]
    weights = np.take_along_axis(skin, bones, axis=1)
    return bones.astype(np.int64), (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def vertex_normals(vertices: Floats, triangles: Ints) -> Floats:
    """Unit normals, averaged over the triangles at each vertex by their area; (0, 1, 0) where there are none."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    areas = np.cross(b - a, c - a)
    summed = np.zeros((len(vertices), 3), np.float64)
    for axis in range(3):
        for corner in range(3):
            summed[:, axis] += np.bincount(triangles[:, corner], areas[:, axis], len(vertices))
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return np.where(length > 0, summed / np.maximum(length, 1e-12), (0.0, 1.0, 0.0)).astype(np.float32)


def crease_shade(vertices: Floats, normals: Floats, triangles: Ints, rounds: int = 6) -> Floats:
    """Ambient light that reaches each vertex, from the shape of its neighbourhood.

    A vertex below the plane of its neighbours lies in a crease. Crease depth relative to the edge length is spread over
    neighbours a few times and becomes a factor between 0.45 and 1.

    Args:
        vertices: [V, 3].
        normals: [V, 3] unit.
        triangles: [F, 3].
        rounds: how far creases spread, in edges.

    Returns:
        [V] float32.
    """
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    a, b = np.concatenate([ends, ends[:, ::-1]]).T
    degree = np.maximum(np.bincount(a, minlength=len(vertices)), 1)
    rise = ((vertices[b] - vertices[a]) * normals[a]).sum(1)
    length = np.linalg.norm(vertices[b] - vertices[a], axis=1)
    depth = np.bincount(a, rise, len(vertices)) / np.maximum(np.bincount(a, length, len(vertices)), 1e-9)
    for _ in range(rounds):
        depth = 0.5 * depth + 0.5 * np.bincount(a, depth[b], len(vertices)) / degree
    return np.clip(1.0 - 2.2 * np.maximum(depth, 0.0), 0.45, 1.0).astype(np.float32)


def split_quads(faces: Ints) -> Ints:
    """Quads as triangles; quads that repeat their last corner give one."""
    first, second = faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]
    triangles = np.stack([first, second], axis=1).reshape(-1, 3)
    a, b, c = triangles.T
    whole: Ints = triangles[(a != b) & (b != c) & (a != c)]
    return whole
