"""Renders posed bodies: OpenGL without a window, many frames at once.

A batch of frames shares one picture, each in a tile of its own, so that a batch costs one dispatch that moves the
vertices by the bones, one draw for the shadows, one dispatch that lights the vertices, two draws for the figures, one
for film and background, and one read-back that runs while the next batch is drawn. Edges are smoothed by drawing twice
as wide and high as requested: on a CPU that is half the cost of four samples a pixel.
"""

from collections.abc import Iterator

import moderngl
import numpy as np

from model.encoder import Flags, Floats, Frames, Ints
from training.errors import SceneError
from training.synth.people.body import Body
from training.synth.render.camera import view_projection
from training.synth.render.gl_resources import LoadedBody, compile_programs, load_body, open_context
from training.synth.render.hand_occlusion import HAND_BONES, finger_ends, posed_capsules
from training.synth.render.mesh_simplification import faces_away, faces_below, simplify_mesh
from training.synth.render.motion_blur import exposure_batches, shutter_transforms
from training.synth.render.scene import Lights, Scene, sway

MAX_PICTURE_PX = 8192
MAX_BATCH_PX = 1 << 24
MAX_BONES = 128
LIGHT_RADIUS_M = 0.95
GAP_PX = 2.0
"""Farther apart, two exposures of a finger are seen as two fingers."""
CLIP_DISTANCE0 = 0x3000


class Renderer:
    """Renders frames of one size. Not to be shared between threads or processes."""

    def __init__(
        self, width: int, height: int, *, batch_frames: int = 16, oversample: int = 2, shadow_px: int = 192
    ) -> None:
        """Open a context and its pictures.

        Args:
            width: pixels of a frame.
            height: pixels of a frame.
            batch_frames: pictures rendered at once; lowered where they would not fit.
            oversample: pixels rendered per pixel of a frame, along each side.
            shadow_px: size of each frame's shadow picture.

        Raises:
            RenderUnavailableError: no OpenGL can be had.
            SceneError: a size that can't be rendered.
        """
        if not (16 <= width <= 4096 and 16 <= height <= 4096):
            raise SceneError(f"a frame of {width} x {height} pixels; allowed are 16 to 4096 on each side")
        if oversample not in (1, 2, 3, 4):
            raise SceneError(f"oversample is {oversample}; allowed are 1, 2, 3 and 4")
        self.width, self.height = width, height
        self._oversample, self._shadow_px = oversample, shadow_px
        drawn = (width * oversample, height * oversample)
        fitting = max(1, min(batch_frames, MAX_BATCH_PX // (drawn[0] * drawn[1])))
        self._columns = max(1, min(round(fitting**0.5), MAX_PICTURE_PX // max(drawn[0], shadow_px)))
        self._rows = max(1, min(-(-fitting // self._columns), MAX_PICTURE_PX // max(drawn[1], shadow_px)))
        self.batch_frames = min(fitting, self._columns * self._rows)
        # Several renderers may live side by side: each makes its context the current one before it uses it.
        self._gl = open_context()
        with self._gl:
            self.device: str = self._gl.info["GL_RENDERER"]
            self._on_cpu = "llvmpipe" in self.device
            self._programs = compile_programs(self._gl)
            self._programs.figure["textures"] = self._programs.sheer["textures"] = 0
            self._programs.light["shadows"] = 1
            self._programs.light["rods_per_hand"] = len(HAND_BONES)
            self._programs.finish["figures"], self._programs.finish["background"] = 2, 3
            self._cover = self._gl.vertex_array(self._programs.finish, [])
            self._make_pictures(drawn)

    def _make_pictures(self, drawn: tuple[int, int]) -> None:
        gl, grid = self._gl, (self._columns, self._rows)
        self._figures = gl.texture((drawn[0] * grid[0], drawn[1] * grid[1]), 4)
        self._drawn = gl.framebuffer([self._figures], gl.depth_renderbuffer(self._figures.size))
        self._final = gl.framebuffer([gl.renderbuffer((self.width * grid[0], self.height * grid[1]), 4)])
        self._shadows = gl.depth_texture((self._shadow_px * grid[0], self._shadow_px * grid[1]))
        self._shadows.compare_func = "<="
        self._shadows.repeat_x = self._shadows.repeat_y = False
        self._shadow_side = gl.framebuffer(depth_attachment=self._shadows)
        num = self.batch_frames
        self._downloads = [gl.buffer(reserve=self.width * self.height * grid[0] * grid[1] * 4) for _ in range(2)]
        self._bones = gl.buffer(reserve=num * MAX_BONES * 48)
        self._capsules = gl.buffer(reserve=num * 2 * (1 + len(HAND_BONES)) * 32)
        self._tiles, self._sways = gl.buffer(reserve=num * 96), gl.buffer(reserve=num * 16)
        self._posed, self._lit = gl.buffer(reserve=16), gl.buffer(reserve=16)

    def load(
        self, body: Body, *, lowest_m: float = -np.inf, cell_m: float = 0.0, toward_camera: Floats | None = None
    ) -> LoadedBody:
        """Bring a body to the device.

        Args:
            body: who is to be rendered.
            lowest_m: legs and trunk below this height are left out: what no picture shows costs nothing.
            cell_m: points nearer than this are merged; about what one pixel shows, see `pixel_m`.
            toward_camera: [3] direction to the camera, where it is known: the far side of clothes is left out.
        """
        simplified = simplify_mesh(body, cell_m)
        visible: Flags = ~faces_below(simplified, lowest_m)
        if toward_camera is not None:
            visible &= ~faces_away(simplified, toward_camera)
        with self._gl:
            return load_body(self._gl, self._programs, simplified, visible)

    def pixel_m(self, scene: Scene) -> float:
        """Metres a pixel shows at the signer."""
        camera = scene.camera
        distance = float(np.linalg.norm(np.subtract(camera.target, camera.eye)))
        return float(2 * distance * np.tan(np.radians(camera.lens_deg) / 2) / self.height)

    def render(self, body: LoadedBody, transforms: Floats, scene: Scene, fps: float = 25.0) -> Frames:
        """All frames of a posed body in a scene, uint8 [T, H, W, 3]; see `batches`."""
        frames = np.empty((len(transforms), self.height, self.width, 3), np.uint8)
        for first, batch in self.batches(body, transforms, scene, fps):
            frames[first : first + len(batch)] = batch
        return frames

    def batches(
        self, body: LoadedBody, transforms: Floats, scene: Scene, fps: float = 25.0
    ) -> Iterator[tuple[int, Frames]]:
        """Batches of frames as they are done: number of the first frame, uint8 [N, H, W, 3].

        Args:
            body: from `load`.
            transforms: [T, J, 3, 4] from `pose_bones`.
            scene: camera, lights, background, film.
            fps: frames a second, for the sway of a hand-held camera.

        A frame has as many exposures as its hands need to look like one smear, at most the film's and a batch's.
        """
        needed = np.minimum(self._exposures(body, transforms, scene), self.batch_frames)
        wander = sway(scene, len(transforms), fps)
        with self._gl:
            background = self._load_background(scene)
        pending: tuple[int, int, moderngl.Buffer] | None = None
        for number, (first, num_frames, exposures) in enumerate(exposure_batches(needed, self.batch_frames)):
            moments = shutter_transforms(
                transforms[first : first + num_frames + 1], num_frames, scene.film.shutter, exposures
            )
            download = self._downloads[number % 2]
            with self._gl:
                self._set_scene(body, scene, background)
                self._draw(body, moments, scene, wander[first : first + num_frames], first, exposures)
                size = (self.width * self._columns, self._rows_px(num_frames))
                self._final.read_into(download, size, components=4)
            if pending is not None:
                yield pending[0], self._collect(*pending[1:])
            pending = (first, num_frames, download)
        if pending is not None:
            yield pending[0], self._collect(*pending[1:])
        with self._gl:
            background.release()

    def _exposures(self, body: LoadedBody, transforms: Floats, scene: Scene) -> Ints:
        """Number of exposures of each frame, [T], from how far a fingertip moves while the shutter is open."""
        if scene.film.exposures == 1 or len(transforms) < 2:
            return np.ones(len(transforms), np.int64)
        way = np.linalg.norm(np.diff(finger_ends(body.capsules, transforms), axis=0), axis=-1).max(1)
        smear_px = np.append(way, way[-1:]) * scene.film.shutter / self.pixel_m(scene)
        doublings = np.ceil(np.log2(np.maximum(smear_px / GAP_PX, 1.0))).astype(np.int64)
        return np.minimum(2**doublings, scene.film.exposures)

    def _rows_px(self, num_tiles: int) -> int:
        return int(-(-num_tiles // self._columns) * self.height)

    def _load_background(self, scene: Scene) -> moderngl.Texture:
        pixels = np.ascontiguousarray(scene.background)
        background = self._gl.texture(pixels.shape[1::-1], 3, pixels.tobytes(), alignment=1)
        background.repeat_x = background.repeat_y = False
        return background

    def _set_scene(self, body: LoadedBody, scene: Scene, background: moderngl.Texture) -> None:
        """Set body and scene in every shader: another clip may have been rendered since the last batch."""
        if body.num_bones > MAX_BONES:
            raise SceneError(f"the rig has {body.num_bones} bones; this renderer takes {MAX_BONES}")
        programs, film = self._programs, scene.film
        self._set_lights(body, scene)
        for program in (programs.skin, programs.light, programs.figure, programs.sheer, programs.shadow):
            program["num_vertices"] = body.num_vertices
        programs.skin["num_bones"] = body.num_bones
        finish = programs.finish
        finish["frame_size"], finish["columns"] = (self.width, self.height), self._columns
        finish["oversample"] = self._oversample
        finish["noise_seed"] = scene.seed & 0xFFFFFFFF
        finish["gain"] = tuple(film.exposure * factor for factor in film.white_balance)
        finish["contrast"], finish["saturation"] = film.contrast, film.saturation
        finish["noise"], finish["vignette"] = film.noise, film.vignette
        finish["wall_shadow"] = scene.wall_shadow
        needed = self.batch_frames * body.num_vertices * 16
        if self._posed.size < needed:
            self._posed.orphan(needed)
            self._lit.orphan(needed // 2)
        body.textures.use(0)
        for unit, texture in enumerate((self._shadows, self._figures, background), start=1):
            texture.use(unit)

    def _set_lights(self, body: LoadedBody, scene: Scene) -> None:
        lights, light = scene.lights, self._programs.light
        matrix = light_matrix(lights, body.focus)
        for program in (light, self._programs.shadow):
            program["light"] = tuple(matrix.T.ravel().tolist())
        light["eye"] = scene.camera.eye
        light["key_direction"], light["key_colour"] = _unit(lights.key_direction), lights.key_colour
        light["fill_direction"], light["fill_colour"] = _unit(lights.fill_direction), lights.fill_colour
        light["sky_colour"], light["floor_colour"] = lights.sky_colour, lights.floor_colour
        light["shadow_texel"] = 1.0 / (self._shadow_px * self._columns) if lights.shadows else 0.0

    def _draw(
        self, body: LoadedBody, moments: Floats, scene: Scene, wander: Floats, first: int, exposures: int
    ) -> None:
        """Render one batch into the final picture.

        Args:
            body: who.
            moments: [N * exposures, J, 3, 4].
            scene: where.
            wander: [N, 2] the camera's sway.
            first: number of the batch's first frame.
            exposures: moments per frame.
        """
        self._programs.finish["num_exposures"] = exposures
        self._bones.write(np.ascontiguousarray(moments, np.float32).tobytes())
        self._capsules.write(posed_capsules(body.capsules, moments).tobytes())
        self._tiles.write(self._tile_table(len(moments), scene, np.repeat(wander, exposures, axis=0)))
        # The background lies further away and moves a little less.
        shifts = -0.8 * wander * (self.height / self.width, 1.0)
        self._sways.write(np.concatenate([shifts, np.zeros_like(shifts)], 1).astype("f4").tobytes())
        buffers = (
            body.rest,
            self._bones,
            self._posed,
            self._tiles,
            self._sways,
            body.materials,
            self._lit,
            self._capsules,
        )
        for binding, buffer in enumerate(buffers):
            buffer.bind_to_storage_buffer(binding)
        self._draw_figures(body, len(moments), scene.lights.shadows)
        if scene.wall_shadow[2] > 0:
            self._figures.build_mipmaps()
            self._figures.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.NEAREST)
        self._gl.disable(moderngl.DEPTH_TEST)
        self._final.use()
        self._final.viewport = (0, 0, self.width * self._columns, self._rows_px(len(wander)))
        self._programs.finish["first_frame"] = first
        self._cover.render(moderngl.TRIANGLES, vertices=3)

    def _draw_figures(self, body: LoadedBody, num_tiles: int, shadows: bool) -> None:
        gl, groups = self._gl, -(-body.num_vertices // 64)
        self._programs.skin.run(groups, num_tiles)
        gl.memory_barrier()
        gl.enable_only(moderngl.DEPTH_TEST)
        for plane in range(4):
            gl.enable_direct(CLIP_DISTANCE0 + plane)
        if shadows and body.caster is not None:
            self._shadow_side.use()
            self._shadow_side.clear(depth=1.0)
            body.caster.render(instances=num_tiles)
            if self._on_cpu:
                gl.finish()  # Mesa's rasteriser works on in other threads while a compute shader already reads
        self._programs.light.run(groups, num_tiles)
        gl.memory_barrier()
        self._drawn.use()
        self._drawn.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        gl.front_face = "cw"  # the picture's y points down
        if body.sheer is not None:
            body.sheer.render(instances=num_tiles)
        if body.opaque is not None:
            gl.enable(moderngl.CULL_FACE)
            body.opaque.render(instances=num_tiles)
            gl.disable(moderngl.CULL_FACE)
        for plane in range(4):
            gl.disable_direct(CLIP_DISTANCE0 + plane)

    def _tile_table(self, num_tiles: int, scene: Scene, wander: Floats) -> bytes:
        """Per tile: camera matrix (column by column), place in the batch picture, place in the shadow picture."""
        camera = view_projection(scene.camera, self.width, self.height)
        matrix = np.stack([sway_matrix(shift, self.width, self.height) for shift in wander]) @ camera
        tile = np.arange(num_tiles)
        scale = np.array([1 / self._columns, 1 / self._rows])
        place = (2 * np.stack([tile % self._columns, tile // self._columns], 1) + 1) * scale - 1
        spot = np.concatenate([np.broadcast_to(scale, place.shape), place], 1)
        table = np.concatenate([matrix.transpose(0, 2, 1).reshape(num_tiles, 16), spot, spot], 1)
        return table.astype("f4").tobytes()

    def _collect(self, num_frames: int, download: moderngl.Buffer) -> Frames:
        rows = -(-num_frames // self._columns)
        with self._gl:
            content = download.read(rows * self.height * self.width * self._columns * 4)
        pixels = np.frombuffer(content, np.uint8)
        grid = pixels.reshape(rows, self.height, self._columns, self.width, 4)[..., :3]
        return np.ascontiguousarray(grid.transpose(0, 2, 1, 3, 4)).reshape(-1, self.height, self.width, 3)[:num_frames]

    def close(self) -> None:
        """Give the context back, and all it holds."""
        self._gl.release()


def sway_matrix(shift: Floats, width: int, height: int) -> Floats:
    """[4, 4] that moves the picture right and down by a shift in picture heights."""
    matrix = np.eye(4, dtype=np.float32)
    matrix[0, 3], matrix[1, 3] = 2 * shift[0] * height / width, 2 * shift[1]
    return matrix


def light_matrix(lights: Lights, focus: Floats) -> Floats:
    """[4, 4] from world to the key light's clip space: parallel light on the upper body."""
    back = np.array(_unit(lights.key_direction))
    right = np.cross((0.0, 1.0, 0.0), back)
    right /= max(float(np.linalg.norm(right)), 1e-6)
    axes = np.stack([right, np.cross(back, right), -back]) / LIGHT_RADIUS_M
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    matrix[:3, 3] = -axes @ focus
    matrix[2] *= 0.5  # room for arms that reach towards the light
    return matrix.astype(np.float32)


def _unit(vector: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = np.asarray(vector) / np.linalg.norm(vector)
    return (float(x), float(y), float(z))
