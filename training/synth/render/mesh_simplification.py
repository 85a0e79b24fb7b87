"""Mesh simplification: no more triangles than a frame has pixels to show."""

import dataclasses

import numpy as np

from model.encoder import Flags, Floats, Ints
from training.synth.people.body import Body, Part

UV_CELL = 1 / 24
TRUNK_BONES = ("root", "spine", "pelvis", "upperleg", "lowerleg", "foot")


def simplify_mesh(body: Body, cell_m: float) -> Body:
    """The body with points closer than about `cell_m` merged.

    Points merge when they share a cell of a grid and the bone that moves them most, so fingers stay apart. A merged
    point takes position, normal and weights of one of its members; where the texture has a seam the point is kept
    once per side, at the same place, so that no crack opens.

    Args:
        body: the full mesh.
        cell_m: size of the grid's cells, metres; about one pixel. 0 keeps the mesh as it is.
    """
    if cell_m <= 0:
        return body
    place = _places(body, cell_m)
    centre = _nearest_to_mean(body.vertices, place)
    side = _group(np.column_stack([place, np.floor(body.uv / UV_CELL).astype(np.int64)]))
    keeper = _nearest_to_mean(body.vertices, side)
    moved = centre[place[keeper]]
    whole = _whole(place[body.faces])
    return dataclasses.replace(
        body,
        vertices=body.vertices[moved],
        normals=body.normals[moved],
        uv=body.uv[keeper],
        layers=body.layers[keeper],
        shade=body.shade[moved],
        bones=body.bones[moved],
        weights=body.weights[moved],
        faces=side[body.faces][whole],
        parts=_recount(body.parts, whole),
    )


def faces_away(body: Body, toward_camera: Floats) -> Flags:
    """Cloth on the far side of the trunk, which no camera sees however the signer moves.

    Cloth is drawn from both sides, so its far side costs as much as its near one. The trunk turns and leans by little
    while signing; what looks away from the camera by more than 30 degrees at rest stays hidden behind the front.

    Args:
        body: the mesh.
        toward_camera: [3] direction from the body to the camera.

    Returns:
        [F] bool.
    """
    kind = np.concatenate([np.full(part.num_faces, part.kind == "garment") for part in body.parts])
    # A collar's inside is seen above the front's edge.
    low = body.vertices[body.faces, 1].max(1) < body.rig.heads[body.rig.bone("clavicle.L"), 1] - 0.04
    normals = body.normals[body.faces].mean(1)
    away = normals @ (toward_camera / np.linalg.norm(toward_camera)) < -0.5
    flags: Flags = kind & _of_trunk(body) & low & away
    return flags


def faces_below(body: Body, height_m: float) -> Flags:
    """Legs and trunk below a height, [F] bool. Arms are never among them: they hang low only at rest."""
    flags: Flags = _of_trunk(body) & (body.vertices[body.faces, 1].max(1) < height_m)
    return flags


def _of_trunk(body: Body) -> Flags:
    """Faces that trunk and legs move, [F]."""
    trunk = [row for row, name in enumerate(body.rig.names) if name.startswith(TRUNK_BONES)]
    return np.asarray(np.isin(_strongest(body), trunk)[body.faces].all(1))


def _strongest(body: Body) -> Ints:
    """The bone that moves each vertex most, [V]."""
    return np.asarray(body.bones[np.arange(len(body.bones)), body.weights.argmax(1)])


def coarse_faces(body: Body, cell_m: float) -> Ints:
    """Faces of a coarser mesh over the same vertices: what casts the soft shadows.

    Args:
        body: the mesh.
        cell_m: size of the grid's cells, metres.

    Returns:
        [F', 3] rows of the body's vertices.
    """
    place = _places(body, cell_m)
    corners = place[body.faces]
    kept = np.unique(np.sort(corners[_whole(corners)], axis=1), axis=0)
    return _nearest_to_mean(body.vertices, place)[kept]


def _places(body: Body, cell_m: float) -> Ints:
    cells = np.floor(body.vertices / cell_m).astype(np.int64)
    return _group(np.column_stack([cells, _strongest(body), body.layers]))


def _whole(corners: Ints) -> Flags:
    a, b, c = corners.T
    flags: Flags = (a != b) & (b != c) & (a != c)
    return flags


def _group(keys: Ints) -> Ints:
    """[V] number of the distinct row each row is."""
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def _nearest_to_mean(points: Floats, group: Ints) -> Ints:
    """For each group, its member nearest to the group's mean."""
    sizes = np.bincount(group)
    mean = np.stack([np.bincount(group, points[:, axis]) / sizes for axis in range(3)], 1)
    order = np.lexsort([((points - mean[group]) ** 2).sum(1), group])
    return np.asarray(order[np.concatenate([[0], np.cumsum(sizes)[:-1]])], np.int64)


def _recount(parts: tuple[Part, ...], whole: Flags) -> tuple[Part, ...]:
    before = np.concatenate([[0], np.cumsum(whole)])
    return tuple(
        dataclasses.replace(
            part,
            first_face=int(before[part.first_face]),
            num_faces=int(before[part.first_face + part.num_faces] - before[part.first_face]),
        )
        for part in parts
    )
