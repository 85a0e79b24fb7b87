"""OpenGL resources: a context without a window, shader programs, and the buffers that hold a body."""

from dataclasses import dataclass
from pathlib import Path

import moderngl
import numpy as np

from model.encoder import Flags, Floats, Ints
from training.errors import RenderUnavailableError
from training.synth.people.body import Body, PartKind
from training.synth.render.hand_occlusion import HandCapsules, hand_capsules
from training.synth.render.mesh_simplification import coarse_faces

Resource = moderngl.Buffer | moderngl.TextureArray | moderngl.VertexArray
Layout = list[tuple[moderngl.Buffer, str, str]]

SHADERS = Path(__file__).with_name("shaders")
KINDS: dict[PartKind, float] = {"skin": 0.0, "garment": 1.0, "hair": 2.0, "eyes": 3.0}
SHADOW_CELL_M = 0.018


def open_context() -> moderngl.Context:
    """An OpenGL 4.3 context without a window.

    Raises:
        RenderUnavailableError: EGL or its driver is missing; the message names the packages.
    """
    try:
        return moderngl.create_context(require=430, standalone=True, backend="egl")  # type: ignore[arg-type]
    except Exception as error:
        raise RenderUnavailableError(
            f"no OpenGL 4.3 through EGL ({error}); on Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri "
            "(on a GPU: the NVIDIA driver's libraries with graphics enabled)"
        ) from error


@dataclass(frozen=True)
class Programs:
    """The shaders of every pass."""

    skin: moderngl.ComputeShader
    light: moderngl.ComputeShader
    shadow: moderngl.Program
    figure: moderngl.Program
    sheer: moderngl.Program
    finish: moderngl.Program


def compile_programs(gl: moderngl.Context) -> Programs:
    """Compile all shaders."""

    def source(name: str) -> str:
        return (SHADERS / name).read_text()

    def program(vertex: str, fragment: str) -> moderngl.Program:
        return gl.program(vertex_shader=source(f"{vertex}.vert"), fragment_shader=source(f"{fragment}.frag"))

    return Programs(
        skin=gl.compute_shader(source("skin.comp")),
        light=gl.compute_shader(source("light.comp")),
        shadow=program("shadow", "shadow"),
        figure=program("figure", "figure"),
        sheer=program("figure", "sheer"),
        finish=program("finish", "finish"),
    )


@dataclass(frozen=True)
class LoadedBody:
    """A body's buffers on the device. Release it when done with it."""

    num_vertices: int
    num_bones: int
    rest: moderngl.Buffer
    materials: moderngl.Buffer
    textures: moderngl.TextureArray
    opaque: moderngl.VertexArray | None
    """Skin and eyes, back faces culled; None where there are none."""
    sheer: moderngl.VertexArray | None
    """Clothes and hair, seen from both sides; None where there are none."""
    caster: moderngl.VertexArray | None
    focus: Floats
    """[3] where the light is aimed: the chest."""
    capsules: HandCapsules
    """Occlude the light near the hands."""
    context: moderngl.Context
    owned: tuple[Resource, ...]

    def release(self) -> None:
        """Free the device's memory."""
        with self.context:
            for resource in self.owned:
                resource.release()


def load_body(gl: moderngl.Context, programs: Programs, body: Body, visible: Flags) -> LoadedBody:
    """Bring a body to the GPU; of its faces those that are to be rendered."""
    kinds = np.concatenate([np.full(part.num_faces, KINDS[part.kind]) for part in body.parts])
    casting = coarse_faces(body, SHADOW_CELL_M)
    used, faces = np.unique(body.faces[visible], return_inverse=True)
    faces, kinds = faces.reshape(-1, 3), kinds[visible]
    rest = gl.buffer(_rest_vertices(body, used))
    uv = gl.buffer(body.uv[used].astype("f4").tobytes())
    materials = gl.buffer(_material_bytes(body, used, faces, kinds))
    textures = gl.texture_array((*body.textures.shape[2:0:-1], len(body.textures)), 4, body.textures.tobytes())
    textures.build_mipmaps()
    textures.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
    solid = np.isin(kinds, (KINDS["skin"], KINDS["eyes"]))
    owned: list[Resource] = [rest, uv, materials, textures]

    def vertex_array(program: moderngl.Program, layout: Layout, rows: Ints) -> moderngl.VertexArray | None:
        if not len(rows):
            return None
        indices = gl.buffer(rows.astype("i4").tobytes())
        array = gl.vertex_array(program, layout, index_buffer=indices)
        owned.extend((indices, array))
        return array

    layout: Layout = [(uv, "2f", "in_uv"), (materials, "4f", "in_look")]
    row_of = np.zeros(len(body.vertices), np.int64)
    row_of[used] = np.arange(len(used))
    casting = casting[np.isin(casting, used).all(1)]
    return LoadedBody(
        num_vertices=len(used),
        num_bones=len(body.rig.names),
        rest=rest,
        materials=materials,
        textures=textures,
        opaque=vertex_array(programs.figure, layout, faces[solid]),
        sheer=vertex_array(programs.sheer, layout, faces[~solid]),
        caster=vertex_array(programs.shadow, [], row_of[casting]),
        focus=body.rig.heads[body.rig.bone("spine01")],
        capsules=hand_capsules(body),
        context=gl,
        owned=tuple(owned),
    )


def _material_bytes(body: Body, used: Ints, faces: Ints, kinds: Floats) -> bytes:
    """Layer, shade and kind of every vertex."""
    kind = np.zeros(len(used))
    kind[faces] = kinds[:, None]
    return np.stack([body.layers[used], body.shade[used], kind, np.zeros(len(used))], 1).astype("f4").tobytes()


def _rest_vertices(body: Body, used: Ints) -> bytes:
    """The vertices as `skin.comp` reads them."""
    fields = [
        ("position", "<f4", 4),
        ("normal", "i1", 4),
        ("bones", "u1", 4),
        ("weights", "u1", 4),
        ("unused", "<u4", 1),
    ]
    table = np.zeros(len(used), np.dtype([(name, kind, (count,)) for name, kind, count in fields]))
    table["position"][:, :3] = body.vertices[used]
    table["normal"][:, :3] = np.round(127 * body.normals[used])
    table["bones"] = body.bones[used]
    table["weights"] = np.round(255 * body.weights[used])
    return table.tobytes()
