"""Fewer triangles where a frame has no pixels to show them: meshes thinned to the detail a camera can see."""

import dataclasses

import numpy as np

from model.encoder import Flags, Floats, Ints
from training.synth.body import Body, Part

UV_CELL = 1 / 24


def thin(body: Body, cell_m: float) -> Body:
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
    strongest = body.bones[np.arange(len(body.bones)), body.weights.argmax(1)]
    cells = np.floor(body.vertices / cell_m).astype(np.int64)
    return _group(np.column_stack([cells, strongest, body.layers]))


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
