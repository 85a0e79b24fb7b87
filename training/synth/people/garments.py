"""Clothes, hair and eyes: fitted to a morphed body, and the skin that they hide."""

import numpy as np

from model.encoder import Flags, Floats, Ints
from training.synth.people.makehuman_files import Fit

TUCK_M = 0.006
"""How far skin right under cloth is pulled in, so that it does not poke through when an arm moves."""


def fit_garment(fit: Fit, body: Floats) -> Floats:
    """Vertices of a garment on a body.

    Args:
        fit: the garment's fit.
        body: [V, 3] vertices of the morphed base mesh.

    Returns:
        [N, 3] float32, in the unit of the body.
    """
    size = np.array(
        [abs(body[a, axis] - body[b, axis]) / reference for axis, (a, b, reference) in enumerate(fit.scales)],
        np.float32,
    )
    hung: Floats = np.einsum("nc,nca->na", fit.weights, body[fit.corners]) + fit.offsets * size
    return hung


def carry_weights(fit: Fit, skin: Floats) -> Floats:
    """Bone weights of a garment: those of the three base vertices each vertex hangs on, by their share.

    Args:
        fit: the garment's fit.
        skin: [V, J] weights of the base mesh.

    Returns:
        [N, J] float32, rows summing to 1.
    """
    share = np.abs(fit.weights) / np.abs(fit.weights).sum(1, keepdims=True)
    mixed: Floats = np.einsum("nc,ncj->nj", share, skin[fit.corners])
    shares: Floats = mixed / mixed.sum(1, keepdims=True)
    return shares


def visible_faces(faces: Ints, hidden: Ints, num_vertices: int) -> Flags:
    """Which faces show when the hidden vertices do not: all but those that have only hidden corners."""
    masked = np.zeros(num_vertices, bool)
    masked[hidden] = True
    return np.asarray(~masked[faces].all(axis=1))


def covered(skin: Floats, normals: Floats, cloth: Floats, reach: float, outward: float) -> Flags:
    """Which skin vertices lie under cloth.

    Args:
        skin: [V, 3].
        normals: [V, 3] unit, outward.
        cloth: [N, 3].
        reach: how near a cloth vertex must be.
        outward: how far below the skin that vertex may lie at most (cloth that already cuts into the skin counts).

    Returns:
        [V] bool.
    """
    result = np.zeros(len(skin), bool)
    squared = (cloth**2).sum(1)
    for start in range(0, len(skin), 1024):
        block = slice(start, start + 1024)
        distance = squared - 2 * skin[block] @ cloth.T  # |cloth - skin|^2 less a constant of the row
        nearest = distance.argmin(1)
        gap = cloth[nearest] - skin[block]
        height = (gap * normals[block]).sum(1)
        result[block] = ((gap**2).sum(1) < reach**2) & (height > -outward)
    return result
