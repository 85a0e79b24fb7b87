"""Renders positive pairs: the same movement by two people with other bodies, rooms, cameras and timing.

Half of the movements are signs of the lexicon, half are those of real clips. Signers come in casts: two people who
perform a handful of movements, so that a batch holds other movements by the same people, as negatives.
"""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.encoder import Frames, Ints
from model.skeleton.kinematics import MIRROR
from model.skeleton.normalisation import normalise
from training.contrastive.clips.windows import NUM_SHOWN, ClipWindows, describe, random_starts
from training.errors import PoseError, SampleError, SignError
from training.synth.clips.clip import PosedClip
from training.synth.clips.clip_source import ClipSource
from training.synth.clips.lexicon import make_signs
from training.synth.clips.shards import at_rate
from training.synth.clips.signers import Signer, body_source
from training.synth.language.phonology import Sign
from training.synth.reenactment.clip_landmarks import ClipLandmarks, read_clip_landmarks
from training.synth.reenactment.reenact import reenact
from training.synth.reenactment.variation import MotionVariation, vary_motion
from training.synth.render.camera import step_back
from training.synth.render.random_scene import REAL_CLIP_CLOSENESS, SceneVariation, random_scene

PAIRS_PER_CAST = 8
NUM_PERFORMERS = 2
MIRRORED = 0.5
"""Share of the pairs that are mirrored."""
TIMES_AWAY, LOWER_M = (1.0, 1.6), (0.05, 0.3)
"""How much further away and lower the camera of a wide clip is."""
LONG_REST_S = (0.3, 1.0)
"""Rest before a sign and after it, where it is long."""


@dataclass(frozen=True)
class PairRendererConfig:
    """What is rendered; the same config gives the same pairs on one machine."""

    seed: int = 0
    size_px: int = 256
    num_windows: int = 8
    """Windows of every clip."""
    motions: tuple[Path, ...] = ()
    """Landmarks of clips to re-enact, as `python -m training.data pose` writes them."""
    reenacted: float = 0.5
    """Share of the pairs that re-enact, where there are motions."""
    assets: Path | None = None
    """Folder of the bodies' files; None: mannequins."""
    motion_variation: MotionVariation | None = None
    """How much people vary the movement of a clip that they re-enact; None: they repeat it to the frame. That retrieval
    improves with it is not shown (docs/log.md)."""
    wide: float = 0.25
    """Share of the clips with a camera further away, so that resting hands are in the picture. Decision."""
    resting: float = 0.3
    """Share of the performed signs with a long rest before and after. Decision."""


@dataclass(frozen=True)
class Movement:
    """What a clip shows: clips of the same movement are positives of each other."""

    name: str
    """Of a real clip, or of a sign that only one pair performs."""
    mirrored: bool

    @property
    def number(self) -> int:
        """A number for it, the same in every process."""
        return zlib.crc32(f"{self.name} {self.mirrored}".encode())

    def share(self, num_processes: int) -> int:
        """Which of so many processes trains on it, and on its mirror image."""
        return zlib.crc32(self.name.encode()) % num_processes


@dataclass(frozen=True)
class PositivePair:
    """One movement by two people."""

    number: int
    movement: Movement
    clips: tuple[ClipWindows, ClipWindows]

    @property
    def cast(self) -> int:
        """Number of the two people who perform it."""
        return self.number // PAIRS_PER_CAST


class PairRenderer:
    """Renders pairs by their number. Not to be shared between threads or processes."""

    def __init__(self, config: PairRendererConfig) -> None:
        """Open a renderer.

        Raises:
            RenderUnavailableError: no OpenGL can be had.
        """
        self.config = config
        size = (config.size_px, config.size_px)
        self._source = ClipSource(body_source(config.assets), seed=config.seed, size=size)
        self._source.renderer  # noqa: B018 opened here, so that a machine without OpenGL is found at once
        self._cast: tuple[int, tuple[Signer, ...], tuple[Sign, ...]] | None = None

    def render(self, number: int) -> PositivePair:
        """Pair `number`.

        Raises:
            SampleError: one of the two people can't perform the movement.
            AssetError: a file of a body is missing or damaged.
        """
        config = self.config
        signers, signs = self._casting(number // PAIRS_PER_CAST)
        rng = np.random.default_rng((config.seed, number, 0xD0E7))
        mirrored = bool(rng.random() < MIRRORED)
        motion: ClipLandmarks | Sign = signs[number % PAIRS_PER_CAST]
        name = f"{config.seed}-{number}"
        try:
            if config.motions and rng.random() < config.reenacted:
                file = config.motions[int(rng.integers(len(config.motions)))]
                name, motion = movement_of(file), at_rate(read_clip_landmarks(file), self._source.fps)
            rngs = [self._source.rng(number, part) for part in range(NUM_PERFORMERS)]
            clips = [self._clip(motion, *each) for each in zip(signers, rngs, strict=True)]
        except (SignError, PoseError) as error:
            raise SampleError(f"pair {number}: {error}") from error
        first, second = (self._windows(clip, rng, mirrored=mirrored) for clip in clips)
        return PositivePair(number, Movement(name, mirrored), (first, second))

    def _casting(self, number: int) -> tuple[tuple[Signer, ...], tuple[Sign, ...]]:
        """The people of a cast, all right-handed, and the signs that they perform."""
        if self._cast is None or self._cast[0] != number:
            seed = self.config.seed
            people = range(NUM_PERFORMERS * number, NUM_PERFORMERS * (number + 1))
            signers = tuple(self._source.signer(one, "right") for one in people)
            self._cast = number, signers, make_signs(PAIRS_PER_CAST, lexicon_seed(seed, number))
        return self._cast[1:]

    def _clip(self, motion: ClipLandmarks | Sign, signer: Signer, rng: np.random.Generator) -> PosedClip:
        rig = signer.body.rig
        wide = rng.random() < self.config.wide
        variation = SceneVariation(blur_exposures=4, closest=1.0 if wide else REAL_CLIP_CLOSENESS)
        scene = random_scene(rng, rig, *self._source.size, variation=variation)
        if wide:
            away, lower = rng.uniform(*TIMES_AWAY), rng.uniform(*LOWER_M)
            scene = replace(scene, camera=step_back(scene.camera, float(away), float(lower)))
        # Windows are rendered one by one, so that a camera can't sway between them.
        scene = replace(scene, sway_percent=0.0)
        if isinstance(motion, Sign):
            if rng.random() < self.config.resting:
                signer = replace(signer, style=replace(signer.style, rest_s=float(rng.uniform(*LONG_REST_S))))
            return self._source.clip(motion, signer, scene, rng)
        if (motion_variation := self.config.motion_variation) is not None:
            motion = vary_motion(motion, rng, motion_variation)
        return self._source.clip(reenact(motion, rig, gloss=""), signer, scene, rng)

    def _windows(self, clip: PosedClip, rng: np.random.Generator, *, mirrored: bool) -> ClipWindows:
        size_px = self.config.size_px
        keypoints = clip.keypoints
        starts = random_starts(clip.num_frames, self.config.num_windows, rng)
        frames = self._render(clip, starts)
        pose = normalise(keypoints.world.astype(np.float64), keypoints.inside.astype(np.float64))
        pixels = keypoints.pixels
        if mirrored:
            frames, pose, pixels = frames[..., ::-1, :], pose.mirrored(), mirror_pixels(pixels, size_px)
        return ClipWindows(np.ascontiguousarray(frames), **describe(pose, pixels, starts, size_px, None))  # type: ignore[arg-type]

    def _render(self, clip: PosedClip, starts: Ints) -> Frames:
        """[M, 2, S, S, 3]: the two frames of every window; a third is rendered where the second blurs towards it."""
        following = 1 if clip.scene.film.exposures > 1 else 0
        rows = starts[:, None] + np.arange(NUM_SHOWN + following)
        rows = np.minimum(rows, clip.num_frames - 1)
        frames = self._source.frames(clip, rows.ravel())
        return frames.reshape(*rows.shape, *frames.shape[1:])[:, :NUM_SHOWN]

    def close(self) -> None:
        """Release the renderer."""
        self._source.close()


def lexicon_seed(seed: int, cast: int) -> int:
    """Seed of a cast's signs: every cast has other signs."""
    return int(np.random.default_rng((seed, cast)).integers(1 << 31))


def movement_of(file: Path) -> str:
    """The name of a real clip's movement, from its video or its landmarks: HOUSE__12.mp4.npz -> HOUSE__12."""
    return file.name.split(".")[0]


def mirror_pixels(pixels: np.ndarray, size_px: int) -> np.ndarray:
    """[T, 61, 2] mirrored: the other side of the picture, and the keypoints of the other side."""
    mirrored = pixels[:, MIRROR].copy()
    mirrored[..., 0] = size_px - mirrored[..., 0]
    return mirrored
