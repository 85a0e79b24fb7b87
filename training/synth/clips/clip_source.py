"""Clips by number: who signs, what is performed, frames and exact keypoints, all sampled from one seed.

Windows, pretraining pairs, shards, dictionaries and the demo render their clips here. What they differ in is which
scene and which motion a clip gets; each samples these from the clip's own random numbers, in its own order.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from model.encoder import Frames, Ints
from training.synth.clips.clip import PosedClip, pose_clip
from training.synth.clips.signers import BodySource, Leading, Signer, sample_signer
from training.synth.language.phonology import Sign
from training.synth.motion.perform import perform
from training.synth.people.rig import Performance
from training.synth.render.gl_resources import LoadedBody
from training.synth.render.renderer import Renderer
from training.synth.render.scene import Scene
from training.video_encoding import compress

CLIP_STREAM = 0xC11B
"""Keeps the random numbers of clips apart from those of signers."""
CELL_PIXELS = 1.2
"""Pixels within which points of a mesh are merged; at 2 lips and eyelids begin to tear."""
FPS = 25.0


def clip_rng(seed: int, number: int, part: int) -> np.random.Generator:
    """The random numbers of one clip: the same whatever other clips are made.

    Args:
        seed: of the source.
        number: of the clip, or of its sign.
        part: tells clips of the same number apart: signer, worker or performer.
    """
    return np.random.default_rng((seed, CLIP_STREAM, number, part))


def padded_rows(start: int, count: int, num_frames: int) -> Ints:
    """Rows of consecutive frames; a clip that is shorter repeats its last frame, as short queries are padded."""
    return np.minimum(np.arange(start, start + count), num_frames - 1)


class ClipSource:
    """Signers, clips and frames of one seed. Not to be shared between threads or processes."""

    def __init__(
        self, bodies: BodySource, *, seed: int, size: tuple[int, int], fps: float = FPS, batch_frames: int = 16
    ) -> None:
        """Prepare; OpenGL is opened when the first frame is rendered, in the process that renders it.

        Args:
            bodies: makes the signers' bodies.
            seed: of everything.
            size: width and height of a frame, pixels; even.
            fps: frames per second of signs.
            batch_frames: frames rendered at once.
        """
        self.bodies, self.seed, self.size, self.fps = bodies, seed, size, fps
        self._batch_frames = batch_frames
        self._signer: tuple[int, Leading | None, Signer] | None = None

    @cached_property
    def renderer(self) -> Renderer:
        """Renders all frames of this source.

        Raises:
            RenderUnavailableError: no OpenGL can be had.
        """
        return Renderer(*self.size, batch_frames=self._batch_frames)

    def rng(self, number: int, part: int) -> np.random.Generator:
        """See `clip_rng`."""
        return clip_rng(self.seed, number, part)

    def signer(self, number: int, leading: Leading | None = None) -> Signer:
        """Signer `number` of this seed; the last one is kept, since making a body costs about as much as a clip.

        Raises:
            AssetError: a file of the body is missing or damaged.
        """
        if self._signer is None or self._signer[:2] != (number, leading):
            self._signer = number, leading, sample_signer(self.bodies, number, self.seed, leading)
        return self._signer[2]

    def clip(self, motion: Sign | Performance, signer: Signer, scene: Scene, rng: np.random.Generator) -> PosedClip:
        """A signer's performance in a scene, ready to be rendered.

        Args:
            motion: a sign, to be performed; or a performance by this signer's body, such as a re-enactment.
            signer: by whom.
            scene: where.
            rng: samples how, where it is a sign, and blinks.

        Raises:
            SignError: the sign is impossible; the parameter is named.
        """
        if isinstance(motion, Sign):
            motion = perform(motion, signer.body.rig, signer.style, rng, self.fps)
        return pose_clip(motion, signer, scene, self.size, rng)

    def load(self, signer: Signer, scene: Scene) -> LoadedBody:
        """Bring a signer to the GPU, simplified to the detail the scene's camera sees, without what it never shows."""
        # Half the picture is below its middle; the rest is for tilted cameras, and for a signer who leans or bobs.
        lowest = scene.camera.target[1] - 0.62 * self.renderer.pixel_m(scene) * self.renderer.height
        return self.renderer.load(
            signer.body,
            lowest_m=lowest,
            cell_m=CELL_PIXELS * self.renderer.pixel_m(scene),
            toward_camera=np.subtract(scene.camera.eye, scene.camera.target).astype(np.float32),
        )

    def frames(self, clip: PosedClip, rows: Ints | None = None, body: LoadedBody | None = None) -> Frames:
        """Rendered frames, uint8 [N, H, W, 3].

        Args:
            clip: what is rendered.
            rows: which frames, in which order; None: all.
            body: the clip's signer if already loaded; None: loaded for the clip's scene, and released.
        """
        transforms = clip.transforms if rows is None else clip.transforms[rows]
        loaded = body or self.load(clip.signer, clip.scene)
        frames = self.renderer.render(loaded, transforms, clip.scene, clip.fps)
        if body is None:
            loaded.release()
        return frames

    def recorded_frames(self, clip: PosedClip, rows: Ints, body: LoadedBody | None = None) -> Frames:
        """`frames`, compressed at the scene's quality."""
        frames, crf = self.frames(clip, rows, body), clip.scene.film.crf
        return frames if crf is None else compress(frames, crf, clip.fps)

    def batches(self, clip: PosedClip, body: LoadedBody | None = None) -> Iterator[Frames]:
        """All frames batch by batch, each uint8 [N, H, W, 3], for encoders that take them one after the other."""
        loaded = body or self.load(clip.signer, clip.scene)
        for _, frames in self.renderer.batches(loaded, clip.transforms, clip.scene, clip.fps):
            yield frames
        if body is None:
            loaded.release()

    def close(self) -> None:
        """Give the renderer back, if one was opened."""
        if "renderer" in self.__dict__:
            self.renderer.close()
