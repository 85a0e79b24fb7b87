"""A procedural mannequin on the same rig as the human bodies: tests and the pipeline run without any download."""

import numpy as np
from numpy.typing import NDArray

from model.encoder import Floats, Ints
from training.synth.people.body import TEXTURE_PX, Body, PartKind, Piece, Texture, assemble
from training.synth.people.identity import Colour
from training.synth.people.mannequin_rig import mannequin_rig
from training.synth.people.rig import Rig

SIDES = 10


def mannequin(
    *, scale: float = 1.0, skin: Colour = (0.80, 0.62, 0.50), cloth: Colour = (0.25, 0.35, 0.55), girth: float = 1.0
) -> Body:
    """A tapered figure with head, hands of five jointed fingers, shirt and trousers.

    Args:
        scale: factor on all lengths.
        skin: colour of head and arms.
        cloth: colour of shirt and trousers.
        girth: factor on all thicknesses.
    """
    rig = mannequin_rig(scale)
    thick = scale * girth
    hair = tuple(0.35 * part for part in skin)
    return assemble(
        [
            _piece("skin", "skin", _skin_shapes(rig, thick), _plain(skin)),
            _piece("eyes", "eyes", _eye_shapes(rig, scale), _plain((0.08, 0.06, 0.06))),
            _piece("clothes", "garment", _cloth_shapes(rig, thick), _woven(cloth)),
            _piece("hair", "hair", _hair_shapes(rig, scale), _plain((hair[0], hair[1], hair[2]))),
        ],
        rig,
    )


class Shape:
    """Vertices, normals, bone weights and faces of one closed part."""

    def __init__(self, points: Floats, normals: Floats, skin: NDArray[np.floating], faces: Ints) -> None:
        self.points, self.normals, self.skin, self.faces = points, normals, skin, faces


def tube(rig: Rig, bones: list[str], radii: list[tuple[float, float]], across: Colour, *, end: str = "tail") -> Shape:
    """A closed tube along a chain of bones.

    Args:
        rig: where the bones are.
        bones: the chain; the tube runs through their heads to the last one's tail (or head, with `end="head"`).
        radii: half width along `across` and half depth, at every point of the chain.
        across: roughly the direction of the first radius.
        end: whether the last bone's own length is part of the tube.
    """
    rows = [rig.bone(name) for name in bones]
    stops = [rig.heads[row] for row in rows] + ([rig.tails[rows[-1]]] if end == "tail" else [])
    centres, sizes, shares = _rings(rig, rows, np.array(stops), np.array(radii[: len(stops)]))
    ahead = np.gradient(centres, axis=0)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    u = np.array(across) - (ahead @ np.array(across))[:, None] * ahead
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(ahead, u)
    angle = 2 * np.pi * np.arange(SIDES) / SIDES
    c, s = np.cos(angle)[None, :, None], np.sin(angle)[None, :, None]
    points = centres[:, None] + c * sizes[:, None, :1] * u[:, None] + s * sizes[:, None, 1:] * v[:, None]
    normals = c * u[:, None] / sizes[:, None, :1] + s * v[:, None] / sizes[:, None, 1:]
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    normals[0], normals[-1] = 0.5 * normals[0] - ahead[0], 0.5 * normals[-1] + ahead[-1]
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    skin = np.repeat(shares, SIDES, axis=0)
    return Shape(points.reshape(-1, 3), normals.reshape(-1, 3), skin, _tube_faces(len(centres)))


def _rings(rig: Rig, rows: list[int], stops: Floats, radii: Floats) -> tuple[Floats, Floats, Floats]:
    """Centres, half axes and bone weights of a tube's rings: three per bone, and two that round each end."""
    centres, sizes, shares = [], [], []
    num_bones = len(rig.names)
    for stretch in range(len(stops) - 1):
        for share in (0.0, 0.33, 0.67):
            weights = np.zeros(num_bones)
            weights[rows[stretch]] = 1.0
            if share == 0.0 and stretch > 0:
                weights[rows[stretch]], weights[rows[stretch - 1]] = 0.5, 0.5
            centres.append(stops[stretch] + share * (stops[stretch + 1] - stops[stretch]))
            sizes.append(radii[stretch] + share * (radii[stretch + 1] - radii[stretch]))
            shares.append(weights)
    centres.append(stops[-1])
    sizes.append(radii[-1])
    shares.append(shares[-1])
    start, finish = centres[0] - centres[1], centres[-1] - centres[-2]
    caps = [(0, start / np.linalg.norm(start)), (-1, finish / np.linalg.norm(finish))]
    (first, back), (_, forth) = caps
    centres = [centres[first] + 0.7 * sizes[0].min() * back, *centres, centres[-1] + 0.7 * sizes[-1].min() * forth]
    sizes = [0.45 * sizes[0], *sizes, 0.45 * sizes[-1]]
    shares = [shares[0], *shares, shares[-1]]
    return np.array(centres), np.array(sizes), np.array(shares)


def _tube_faces(num_rings: int) -> Ints:
    ring, side = np.meshgrid(np.arange(num_rings - 1), np.arange(SIDES), indexing="ij")
    a, b = ring * SIDES + side, ring * SIDES + (side + 1) % SIDES
    sides = np.concatenate([np.stack([a, b, b + SIDES], -1), np.stack([a, b + SIDES, a + SIDES], -1)])
    fan = np.arange(1, SIDES - 1)
    last = (num_rings - 1) * SIDES
    bottom = np.stack([np.zeros_like(fan), fan + 1, fan], -1)
    top = np.stack([np.full_like(fan, last), last + fan, last + fan + 1], -1)
    return np.concatenate([sides.reshape(-1, 3), bottom, top])


def ellipsoid(rig: Rig, bone: str, centre: Colour | Floats, half: Colour, *, rows: int = 9, part: float = 1.0) -> Shape:
    """An upright ellipsoid carried by a bone, or with `part` below 1 its upper part only."""
    down = np.linspace(0.02, np.pi * part - 0.02 * (part == 1.0), rows)
    around = 2 * np.pi * np.arange(SIDES) / SIDES
    unit = np.stack(
        [
            np.outer(np.sin(down), np.cos(around)),
            np.outer(np.cos(down), np.ones(SIDES)),
            -np.outer(np.sin(down), np.sin(around)),
        ],
        -1,
    )[::-1].reshape(-1, 3)
    normals = unit / np.array(half)
    skin = np.zeros((len(unit), len(rig.names)))
    skin[:, rig.bone(bone)] = 1.0
    return Shape(
        np.array(centre) + unit * np.array(half),
        normals / np.linalg.norm(normals, axis=1, keepdims=True),
        skin,
        _tube_faces(rows),
    )


def _skin_shapes(rig: Rig, thick: float) -> list[Shape]:
    head = rig.heads[rig.bone("head")]
    height = float(rig.tails[rig.bone("head")][1] - head[1])
    shapes = [
        ellipsoid(
            rig,
            "head",
            head + np.array([0, 0.38 * height, 0.1 * height], np.float32),
            _times(height, (0.44, 0.66, 0.54)),
        ),
        ellipsoid(
            rig, "head", rig.landmarks[8] - np.array([0, 0, 0.012], np.float32), _times(thick, (0.012, 0.020, 0.016))
        ),
        tube(
            rig, ["neck01", "neck02", "neck03", "head"], _both(thick, 0.062, 0.056, 0.054, 0.054), (1, 0, 0), end="head"
        ),
    ]
    shapes += [ellipsoid(rig, "head", rig.landmarks[8 + ear], _times(thick, (0.010, 0.03, 0.018))) for ear in (7, 8)]
    for side in "LR":
        arm = [f"{bone}.{side}" for bone in ("lowerarm01", "lowerarm02", "wrist")]
        shapes.append(tube(rig, arm, _both(thick, 0.043, 0.036, 0.026), (0, 0, 1), end="head"))
        shapes.append(_palm(rig, side, thick))
        for finger in range(1, 6):
            girth = 0.0105 if finger == 1 else 0.0075 if finger == 5 else 0.0088
            chain = [f"finger{finger}-{bone}.{side}" for bone in (1, 2, 3)]
            shapes.append(tube(rig, chain, _both(thick, girth, girth, 0.9 * girth, 0.75 * girth), (0, 0, 1)))
    return shapes


def _palm(rig: Rig, side: str, thick: float) -> Shape:
    """From the wrist to the knuckles, flat: broad towards the thumb, thin through the palm."""
    towards_thumb = rig.heads[rig.bone(f"finger2-1.{side}")] - rig.heads[rig.bone(f"finger5-1.{side}")]
    radii = [(0.027 * thick, 0.018 * thick), (0.040 * thick, 0.013 * thick), (0.041 * thick, 0.010 * thick)]
    return tube(rig, [f"wrist.{side}", f"metacarpal2.{side}"], radii, _triple(towards_thumb))


def _cloth_shapes(rig: Rig, thick: float) -> list[Shape]:
    spine = ["spine05", "spine04", "spine03", "spine02", "spine01"]
    radii = [(0.150, 0.105), (0.145, 0.100), (0.135, 0.095), (0.155, 0.108), (0.158, 0.098), (0.070, 0.062)]
    shapes = [tube(rig, spine, [(a * thick, b * thick) for a, b in radii], (1, 0, 0))]
    for side in "LR":
        arm = [f"{bone}.{side}" for bone in ("shoulder01", "upperarm01", "upperarm02", "lowerarm01")]
        yoke = [f"clavicle.{side}", f"shoulder01.{side}"]
        shapes.append(tube(rig, yoke, _both(thick, 0.052, 0.060, 0.056), (0, 0, 1)))
        shapes.append(tube(rig, arm, _both(thick, 0.058, 0.062, 0.054, 0.046), (0, 0, 1), end="head"))
        leg = [f"{bone}.{side}" for bone in ("upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot")]
        shapes.append(tube(rig, leg, _both(thick, 0.092, 0.090, 0.062, 0.055, 0.042), (0, 0, 1), end="head"))
    return shapes


def _eye_shapes(rig: Rig, scale: float) -> list[Shape]:
    eyes = [
        ellipsoid(
            rig,
            f"eye.{side}",
            rig.landmarks[place] - np.array([0, 0, 0.006 * scale], np.float32),
            _times(scale, (0.012, 0.007, 0.008)),
        )
        for side, place in (("L", 10), ("R", 13))
    ]
    mouth = rig.landmarks[17:19].mean(0) - np.array([0, 0, 0.004 * scale], np.float32)
    return [*eyes, ellipsoid(rig, "jaw", mouth, _times(scale, (0.024, 0.004, 0.009)))]


def _hair_shapes(rig: Rig, scale: float) -> list[Shape]:
    head = rig.heads[rig.bone("head")]
    height = float(rig.tails[rig.bone("head")][1] - head[1])
    middle = head + np.array([0, 0.46 * height, 0.02 * height], np.float32)
    return [ellipsoid(rig, "head", middle, _times(height, (0.49, 0.66, 0.55)), part=0.48)]


def _piece(name: str, kind: PartKind, shapes: list[Shape], texture: Texture) -> Piece:
    starts = np.concatenate([[0], np.cumsum([len(shape.points) for shape in shapes])])
    points = np.concatenate([shape.points for shape in shapes]).astype(np.float32)
    return Piece(
        name=name,
        kind=kind,
        vertices=points,
        normals=np.concatenate([shape.normals for shape in shapes]).astype(np.float32),
        uv=np.array([0.5, 0.5], np.float32) + points[:, :2] * np.array([0.8, 0.25], np.float32),
        shade=np.ones(len(points), np.float32),
        skin=np.concatenate([shape.skin for shape in shapes]).astype(np.float32),
        faces=np.concatenate([shape.faces + start for shape, start in zip(shapes, starts, strict=False)]),
        texture=texture,
    )


def _plain(colour: Colour) -> Texture:
    texture = np.full((TEXTURE_PX, TEXTURE_PX, 4), 255, np.uint8)
    texture[..., :3] = np.round(255 * np.array(colour))
    return texture


def _woven(colour: Colour) -> Texture:
    """Plain cloth with a faint check, so that the way it moves can be seen."""
    texture = _plain(colour).astype(np.float32)
    rows, columns = np.indices((TEXTURE_PX, TEXTURE_PX))
    check = 1.0 + 0.06 * (((rows // 12 + columns // 12) % 2) - 0.5)
    texture[..., :3] *= check[..., None]
    return np.clip(texture, 0, 255).astype(np.uint8)


def _both(thick: float, *radii: float) -> list[tuple[float, float]]:
    return [(radius * thick, radius * thick) for radius in radii]


def _times(factor: float, half: Colour) -> Colour:
    return (half[0] * factor, half[1] * factor, half[2] * factor)


def _triple(values: Floats) -> Colour:
    return (float(values[0]), float(values[1]), float(values[2]))
