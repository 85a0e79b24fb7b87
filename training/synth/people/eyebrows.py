"""Eyebrows, painted into the skin's texture where they lie on the base mesh."""

import numpy as np

from model.encoder import Floats, Ints
from training.synth.people.body import TEXTURE_PX, split_quads
from training.synth.people.makehuman_files import Mesh

# The left brow on the base mesh, decimetres: x across, y up, from its inner end over its arch to its outer end.
CURVE = ((0.10, 7.455), (0.24, 7.50), (0.38, 7.525), (0.47, 7.495), (0.545, 7.43))
HALF_WIDTH_INNER, HALF_WIDTH_OUTER = 0.046, 0.014
STRANDS_PER_DM = 42.0


def eyebrow_mask(base: Mesh, quads: Ints) -> Floats:
    """Eyebrow mask of the skin texture, [512, 512] 0 to 1.

    Args:
        base: the base mesh.
        quads: its skin faces.
    """
    places = texel_positions(base, _near_brows(base, quads))
    x, y = np.abs(places[..., 0]), places[..., 1]
    xs, ys = np.array(CURVE).T
    along = np.clip((x - xs[0]) / (xs[-1] - xs[0]), 0, 1)
    above = y - np.interp(x, xs, ys)
    half = HALF_WIDTH_INNER + (HALF_WIDTH_OUTER - HALF_WIDTH_INNER) * along
    across = np.clip(1.35 - np.abs(above) / half, 0, 1)
    ends = np.clip((x - xs[0]) / 0.04 + 0.2, 0, 1) * np.clip((xs[-1] - x) / 0.05 + 0.2, 0, 1)
    strands = 0.8 + 0.2 * np.sin(2 * np.pi * STRANDS_PER_DM * (x - 0.7 * above))
    mask = np.where(np.isfinite(x), across * ends * strands, 0.0)
    return mask.astype(np.float32)


def _near_brows(base: Mesh, quads: Ints) -> Ints:
    """Skin faces of the forehead and eyes, as rows of the mesh's faces."""
    centre = base.vertices[base.faces[quads]].mean(1)
    near = (np.abs(centre[:, 0]) < 0.7) & (np.abs(centre[:, 1] - 7.47) < 0.22) & (centre[:, 2] > 0.8)
    return np.asarray(quads[near])


def texel_positions(base: Mesh, rows: Ints) -> Floats:
    """The point of the mesh each texel shows, [512, 512, 3]; NaN where the texel belongs to none of the faces."""
    places = np.full((TEXTURE_PX, TEXTURE_PX, 3), np.nan, np.float32)
    corners = split_quads(base.faces[rows])
    texels = base.uv * (TEXTURE_PX, -TEXTURE_PX) + (0.0, TEXTURE_PX)
    for points, at in zip(base.vertices[corners], texels[split_quads(base.face_uv[rows])], strict=True):
        _fill(places, points, at)
    return places


def _fill(places: Floats, points: Floats, at: Floats) -> None:
    """Write the points of one triangle into the texels it covers. Changes `places`."""
    low = np.maximum(np.floor(at.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(at.max(0)).astype(int) + 2, TEXTURE_PX)
    matrix = np.stack([at[1] - at[0], at[2] - at[0]], 1)
    if abs(np.linalg.det(matrix)) < 1e-9:
        return
    columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    offsets = np.stack([columns + 0.5, rows + 0.5], -1) - at[0]
    b, c = np.moveaxis(offsets @ np.linalg.inv(matrix).T, -1, 0)
    inside = (b >= -0.3) & (c >= -0.3) & (b + c <= 1.3)
    shares = np.stack([1 - b - c, b, c], -1)[inside]
    places[rows[inside], columns[inside]] = shares @ points
