"""People from MakeHuman's assets: an identity becomes a body with rig, skin, eyes, clothes and hair."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model.encoder import Flags, Floats, Ints
from training.errors import AssetError
from training.synth.people import texture_colours as dyes
from training.synth.people.assets import DEFAULT_FOLDER, AssetFolder
from training.synth.people.body import (
    Body,
    PartKind,
    Piece,
    Texture,
    assemble,
    crease_shade,
    split_quads,
    vertex_normals,
)
from training.synth.people.eyebrows import eyebrow_mask
from training.synth.people.garments import TUCK_M, carry_weights, covered, fit_garment, visible_faces
from training.synth.people.identity import Identity
from training.synth.people.makehuman_files import (
    UNITS_PER_METRE,
    Fit,
    Joint,
    Mesh,
    Target,
    read_fit,
    read_mesh,
    read_skeleton,
    read_target,
    read_weights,
)
from training.synth.people.rig import BONE_NAMES, PARENT_NAMES, Rig, make_rig

# Vertices of the base mesh: nose; left inner and outer corner of the eye; likewise right; ears; corners of the mouth.
NOSE, EYE_CORNERS_L, EYE_CORNERS_R = 297, (11486, 6801), (4868, 17)
EARS, MOUTH_CORNERS = (12032, 5433), (7250, 501)
ARM_STRETCH = 0.10
"""How much longer or shorter than usual an upper arm or forearm can be, as a share."""
HEAD_BONES = ("head", "jaw", "eye.L", "eye.R", *(f"orbicularis0{lid}.{side}" for lid in (3, 4) for side in "LR"))

# Logos on the cloth: middle and half size, and the middle of plain cloth of the same texture to put there instead.
PRINTS: dict[str, tuple[dyes.Print, ...]] = {
    "female_casualsuit01": (((0.79, 0.23), (0.085, 0.085), (0.63, 0.23)),),
    "female_casualsuit02": (((0.79, 0.23), (0.085, 0.085), (0.63, 0.23)),),
    "male_casualsuit02": (((0.555, 0.165), (0.07, 0.07), (0.555, 0.30)),),
    "male_casualsuit04": (((0.555, 0.165), (0.07, 0.07), (0.555, 0.30)),),
    "male_casualsuit06": (((0.246, 0.139), (0.06, 0.03), (0.246, 0.22)), ((0.535, 0.16), (0.10, 0.05), (0.535, 0.27))),
}


class BodyLibrary:
    """The assets of a folder, parsed once and kept."""

    def __init__(self, folder: AssetFolder | Path = DEFAULT_FOLDER) -> None:
        self._folder = folder if isinstance(folder, AssetFolder) else AssetFolder(folder)
        self.base: Mesh = read_mesh(self._text("base.obj"))
        self.skeleton: dict[str, Joint] = read_skeleton(self._text("default.mhskel"))
        weights = read_weights(self._text("default_weights.mhw"))
        self.skin: Floats = fold_weights(weights, self.skeleton, len(self.base.vertices))
        self.weightless: Flags = ~np.isin(np.arange(len(self.base.vertices)), _weighted(weights))
        self.quads: Ints = self.base.group_faces("body")
        self.brows: Floats = eyebrow_mask(self.base, self.quads)
        self.target = functools.cache(self._read_target)
        self.garment = functools.cache(self._read_garment)
        self.texture = functools.lru_cache(maxsize=16)(self._read_texture)
        self.covered_skin = functools.cache(self._covered_skin)

    def _text(self, name: str) -> str:
        return self._folder.read(name).decode()

    def _read_target(self, name: str) -> Target:
        return read_target(self._text(f"targets/{name}.target"))

    def _read_garment(self, folder: str) -> tuple[Mesh, Fit]:
        """Mesh and fit of `clothes/NAME`, `hair/NAME` or `eyes`."""
        stem = "low-poly" if folder == "eyes" else folder.rsplit("/", 1)[-1]
        return read_mesh(self._text(f"{folder}/{stem}.obj")), read_fit(self._text(f"{folder}/{stem}.mhclo"))

    def _read_texture(self, prefix: str) -> Texture:
        names = self._folder.names(prefix, ".png")
        if not names:
            raise AssetError(f"the manifest of bodies has no texture that starts with {prefix!r}")
        return dyes.read_texture(self._folder.read(names[0]))

    def _covered_skin(self, folder: str) -> Floats:
        """How far each skin vertex is pulled in under a garment, metres [V].

        Measured once on the base mesh: which skin lies under which cloth hardly depends on the figure.
        """
        body = self.base.vertices
        normals = vertex_normals(body, split_quads(self.base.faces[self.quads]))
        cloth = fit_garment(self.garment(folder)[1], body)
        return np.where(covered(body, normals, cloth, reach=0.22, outward=0.12), TUCK_M, 0.0).astype(np.float32)


def _weighted(weights: dict[str, tuple[Ints, Floats]]) -> Ints:
    """The vertices that some bone moves."""
    return np.unique(np.concatenate([vertices for vertices, _ in weights.values()]))


def fold_weights(weights: dict[str, tuple[Ints, Floats]], skeleton: dict[str, Joint], num_vertices: int) -> Floats:
    """Skin weights on the rig's bones; what a bone outside the rig moves goes to the nearest bone above it.

    Returns:
        [V, J] float32, rows summing to 1; vertices no bone moves go to the root.
    """
    rows = {name: row for row, name in enumerate(BONE_NAMES)}
    skin = np.zeros((num_vertices, len(BONE_NAMES)), np.float32)
    for bone, (vertices, shares) in weights.items():
        kept = bone
        while kept not in rows:
            kept = skeleton[kept].parent or "root"
        skin[vertices, rows[kept]] += shares
    skin[skin.sum(1) <= 0, rows["root"]] = 1.0
    whole: Floats = skin / skin.sum(1, keepdims=True)
    return whole


def build_body(identity: Identity, library: BodyLibrary) -> Body:
    """The body of a person.

    Raises:
        AssetError: a file the identity needs is missing or damaged.
    """
    raw = morph(identity, library)
    floor = raw[np.unique(library.base.faces[library.quads]), 1].min()
    points = (raw - (0.0, floor, 0.0)).astype(np.float32)
    rig = _rig(points, library)
    pieces = [_skin_piece(identity, points, library), _worn("eyes", "eyes", identity, points, library)]
    pieces.append(_worn(f"clothes/{identity.garment}", "garment", identity, points, library))
    if identity.hair is not None:
        pieces.append(_worn(f"hair/{identity.hair}", "hair", identity, points, library))
    return assemble(pieces, rig)


def morph(identity: Identity, library: BodyLibrary) -> Floats:
    """The base mesh in the shape of a person, [V, 3] decimetres."""
    points = library.base.vertices.copy()
    for name, factor in target_factors(identity):
        target = library.target(name)
        points[target.vertices] += np.float32(factor) * target.deltas
    for side in "LR":
        for bone, slider in (("upperarm01", identity.upper_arm_length), ("lowerarm01", identity.lower_arm_length)):
            points = _stretch(points, f"{bone}.{side}", 1 + ARM_STRETCH * slider, library)
    return _scale_head(points, identity.head_scale, library)


def target_factors(identity: Identity) -> Iterator[tuple[str, float]]:
    """The shape targets of a person and how much of each, MakeHuman's way of mixing macro targets."""
    sexes = {"female": identity.female, "male": 1 - identity.female}
    ages = {"old": identity.age, "young": 1 - identity.age}
    races = dict(zip(("african", "asian", "caucasian"), identity.ancestry, strict=True))
    builds = {
        f"{muscle}muscle-{weight}weight": a * b
        for muscle, a in _three_way(identity.muscle).items()
        for weight, b in _three_way(identity.weight).items()
    }
    for sex, of_sex in sexes.items():
        for age, of_age in ages.items():
            shares = {f"{race}-{sex}-{age}": share for race, share in races.items()}
            shares |= {f"universal-{sex}-{age}-{build}": share for build, share in builds.items()}
            yield from ((name, of_sex * of_age * share) for name, share in shares.items() if share * of_sex * of_age)
        end = "max" if identity.height > 0 else "min"
        yield f"{sex}-young-averagemuscle-averageweight-{end}height", of_sex * abs(identity.height)
    for slider, name in _LIMB_SLIDERS.items():
        value = getattr(identity, slider)
        for side in ("l", "r"):
            yield f"{side}-{name}-{'incr' if value > 0 else 'decr'}", abs(value)


_LIMB_SLIDERS = {
    "upper_arm_girth": "upperarm-fat",
    "lower_arm_girth": "lowerarm-fat",
    "hand_size": "hand-scale",
    "finger_length": "hand-fingers-length",
    "finger_girth": "hand-fingers-diameter",
    "finger_spread": "hand-fingers-distance",
}


def _three_way(value: float) -> dict[str, float]:
    """A slider as shares of its two ends and its middle."""
    return {"min": max(-value, 0.0), "average": 1 - abs(value), "max": max(value, 0.0)}


def _stretch(points: Floats, bone: str, factor: float, library: BodyLibrary) -> Floats:
    """The mesh with one half of an arm longer or shorter; what hangs on its end moves along."""
    names = [name for name in BONE_NAMES if _hangs_on(name, bone)]
    end = names[
        next(
            place for place, name in enumerate(names) if name.split(".")[0] in ("lowerarm01", "wrist") and name != bone
        )
    ]
    start = points[library.skeleton[bone].head].mean(0)
    along = points[library.skeleton[end].head].mean(0) - start
    share = library.skin[:, [BONE_NAMES.index(name) for name in names]].sum(1)
    # The vertices that mark joints have no weights of their own.
    marks = np.concatenate(
        [library.skeleton[name].head for name in names[1:]] + [library.skeleton[n].tail for n in names]
    )
    share[marks[library.weightless[marks]]] = 1.0
    reach = np.clip((points - start) @ along / (along @ along), 0, 1)
    longer: Floats = points + ((factor - 1) * share * reach)[:, None] * along
    return longer.astype(np.float32)


def _hangs_on(name: str, bone: str) -> bool:
    """Whether a bone is `bone` or carried by it."""
    while name and name != bone:
        name = PARENT_NAMES[name]
    return name == bone


def _scale_head(points: Floats, factors: tuple[float, float, float], library: BodyLibrary) -> Floats:
    rows = [BONE_NAMES.index(name) for name in HEAD_BONES]
    share = library.skin[:, rows].sum(1)
    centre = points[library.skeleton["head"].head].mean(0)
    scaled: Floats = points + share[:, None] * (points - centre) * (np.array(factors, np.float32) - 1)
    return scaled


def _rig(points: Floats, library: BodyLibrary) -> Rig:
    """The rig of a morphed base mesh (decimetres): every joint is the mean of the vertices that mark it."""
    metres = points / UNITS_PER_METRE
    bones = [library.skeleton[name] for name in BONE_NAMES]
    heads = np.stack([metres[bone.head].mean(0) for bone in bones])
    tails = np.stack([metres[bone.tail].mean(0) for bone in bones])
    pupils = tails[[BONE_NAMES.index("eye.L"), BONE_NAMES.index("eye.R")]]
    (inner_l, outer_l), (inner_r, outer_r) = EYE_CORNERS_L, EYE_CORNERS_R
    eyes = np.stack([metres[inner_l], pupils[0], metres[outer_l], metres[inner_r], pupils[1], metres[outer_r]])
    face = np.concatenate([metres[[NOSE]], eyes, metres[[*EARS, *MOUTH_CORNERS]]])
    return make_rig(heads, tails, face.astype(np.float32))


def _skin_piece(identity: Identity, points: Floats, library: BodyLibrary) -> Piece:
    folder = f"clothes/{identity.garment}"
    quads = library.base.faces[library.quads]
    metres = points / UNITS_PER_METRE
    triangles = split_quads(quads)
    normals = vertex_normals(metres, triangles)
    shade = crease_shade(metres, normals, triangles)
    tucked = metres - library.covered_skin(folder)[:, None] * normals
    visible = visible_faces(quads, library.garment(folder)[1].hidden, len(points))
    texture = dyes.tint(library.texture(f"skins/{identity.skin}.png"), identity.skin_tone)
    texture = dyes.paint(texture, identity.brows * library.brows, identity.brow_colour)
    return _piece(
        (identity.skin, "skin"),
        (tucked.astype(np.float32), normals, shade, library.skin),
        library.base,
        library.quads[visible],
        texture,
    )


def _worn(folder: str, kind: PartKind, identity: Identity, points: Floats, library: BodyLibrary) -> Piece:
    mesh, fit = library.garment(folder)
    metres = fit_garment(fit, points) / np.float32(UNITS_PER_METRE)
    triangles = split_quads(mesh.faces)
    normals = vertex_normals(metres, triangles)
    shade = crease_shade(metres, normals, triangles) if kind == "garment" else np.ones(len(metres), np.float32)
    return _piece(
        (folder, kind),
        (metres, normals, shade, carry_weights(fit, library.skin)),
        mesh,
        np.arange(len(mesh.faces)),
        _dyed(library.texture(f"{folder}/"), kind, identity),
    )


def _dyed(texture: Texture, kind: PartKind, identity: Identity) -> Texture:
    if kind == "hair":
        return dyes.colour_hair(texture, identity.hair_colour)
    if kind == "eyes":
        return dyes.colour_iris(texture, identity.iris)
    texture = dyes.cover_prints(texture, PRINTS.get(identity.garment, ()))
    return dyes.dye(texture, identity.garment_hue, identity.garment_gain, identity.garment_saturation)


def _piece(
    label: tuple[str, PartKind],
    attributes: tuple[Floats, Floats, Floats, Floats],
    mesh: Mesh,
    rows: Ints,
    texture: Texture,
) -> Piece:
    """A piece whose vertices are unique pairs of a point and a texture coordinate.

    Args:
        label: name and kind.
        attributes: per point of the mesh: position, normal, shade, bone weights.
        mesh: faces and texture coordinates.
        rows: which faces are rendered.
        texture: [512, 512, 4].
    """
    pairs = np.stack([mesh.faces[rows], mesh.face_uv[rows]], axis=-1).reshape(-1, 2)
    unique, back = np.unique(pairs, axis=0, return_inverse=True)
    points, normals, shade, skin = (attribute[unique[:, 0]] for attribute in attributes)
    uv = mesh.uv[unique[:, 1]] * (1, -1) + (0, 1)
    return Piece(label[0], label[1], points, normals, uv, shade, skin, split_quads(back.reshape(-1, 4)), texture)
