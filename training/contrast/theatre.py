"""Draws the same movement by two people: another body, another room, another camera, another time.

Half of the movements are signs of the lexicon, half are those of real clips. Signers come in casts: two people who
perform a handful of movements, so that a batch holds other movements by the same people, which must not look alike.
"""

import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from model.encoder import Frames, Ints
from model.skeleton.kinematics import MIRROR
from model.skeleton.normal import normalise
from training.contrast.moments import NUM_SHOWN, Moments, describe, starts_of
from training.errors import PoseError, SampleError, SignError
from training.synth.bodies import BodyLibrary
from training.synth.camera import step_back
from training.synth.cast import BodySource, Mannequins, People, Signer, cast_signer
from training.synth.clips import Take, clip_rng, load_signer, take, take_of
from training.synth.lexicon import make_signs
from training.synth.manner import Manners, in_another_manner
from training.synth.phonology import Sign
from training.synth.reenact import ClipLandmarks, read_landmarks, reenact
from training.synth.render import Renderer
from training.synth.settings import AS_REAL_CLIPS, Variety, random_scene
from training.synth.shards import at_rate

FPS = 25.0
PAIRS_PER_CAST = 8
NUM_PERFORMERS = 2
MIRRORED = 0.5
"""Share of the pairs that are seen as in a mirror."""
TIMES_AWAY, LOWER_M = (1.0, 1.6), (0.05, 0.3)
"""How much further away and lower the camera of a wide clip stands."""
LONG_REST_S = (0.3, 1.0)
"""Rest before a sign and after it, where it is long."""


@dataclass(frozen=True)
class Programme:
    """What is drawn; the same programme gives the same pairs on one machine."""

    seed: int = 0
    size_px: int = 256
    num_moments: int = 8
    """Of every clip."""
    motions: tuple[Path, ...] = ()
    """Landmarks of clips to re-enact, as `training.pose` writes them."""
    reenacted: float = 0.5
    """Share of the pairs that re-enact, where there are motions."""
    assets: Path | None = None
    """Folder of the bodies' files; None: mannequins."""
    manners: Manners | None = None
    """How far people differ in how they re-enact a clip; None: they repeat it to the frame. Whether more is found with
    it is not shown (docs/log.md)."""
    wide: float = 0.25
    """Share of the clips that are filmed from further away, so that hands at rest are in the picture. Decision."""
    resting: float = 0.3
    """Share of the performed signs with long rest before and after. Decision."""


@dataclass(frozen=True)
class Movement:
    """What a clip shows: clips of the same movement belong together."""

    name: str
    """Of a real clip, or of a sign that nobody else in the programme performs."""
    mirrored: bool

    @property
    def number(self) -> int:
        """Stands for it, in every process alike."""
        return zlib.crc32(f"{self.name} {self.mirrored}".encode())

    def share(self, num_processes: int) -> int:
        """Which of so many processes learns from it: that of its mirror image, too."""
        return zlib.crc32(self.name.encode()) % num_processes


@dataclass(frozen=True)
class Duet:
    """One movement by two people."""

    number: int
    movement: Movement
    performances: tuple[Moments, Moments]

    @property
    def cast(self) -> int:
        """Who performs: pairs of the same number are by the same two people."""
        return self.number // PAIRS_PER_CAST


class Theatre:
    """Draws the pairs of a programme by their number. Not to be shared between threads or processes."""

    def __init__(self, programme: Programme) -> None:
        """Open a renderer.

        Raises:
            RenderUnavailableError: no OpenGL can be had.
        """
        self.programme = programme
        self._renderer = Renderer(programme.size_px, programme.size_px)
        self._cast: tuple[int, tuple[Signer, ...], tuple[Sign, ...]] | None = None

    @cached_property
    def _bodies(self) -> BodySource:
        assets = self.programme.assets
        return Mannequins() if assets is None else People(BodyLibrary(assets))

    def duet(self, number: int) -> Duet:
        """Pair `number`.

        Raises:
            SampleError: one of the two can't perform the movement.
            AssetError: a file of a body is missing or damaged.
        """
        programme = self.programme
        signers, signs = self._casting(number // PAIRS_PER_CAST)
        rng = np.random.default_rng((programme.seed, number, 0xD0E7))
        mirrored = bool(rng.random() < MIRRORED)
        motion: ClipLandmarks | Sign = signs[number % PAIRS_PER_CAST]
        name = f"{programme.seed}-{number}"
        try:
            if programme.motions and rng.random() < programme.reenacted:
                file = programme.motions[int(rng.integers(len(programme.motions)))]
                name, motion = movement_of(file), at_rate(read_landmarks(file), FPS)
            rngs = [clip_rng(programme.seed, number, part) for part in range(NUM_PERFORMERS)]
            takes = [self._take(motion, *each) for each in zip(signers, rngs, strict=True)]
        except (SignError, PoseError) as error:
            raise SampleError(f"pair {number}: {error}") from error
        first, second = (self._moments(whole, rng, mirrored=mirrored) for whole in takes)
        return Duet(number, Movement(name, mirrored), (first, second))

    def _casting(self, number: int) -> tuple[tuple[Signer, ...], tuple[Sign, ...]]:
        """The people of a cast, all leading with the right hand, and the signs that are theirs."""
        if self._cast is None or self._cast[0] != number:
            seed = self.programme.seed
            people = range(NUM_PERFORMERS * number, NUM_PERFORMERS * (number + 1))
            signers = tuple(cast_signer(self._bodies, one, seed, leading="right") for one in people)
            self._cast = number, signers, make_signs(PAIRS_PER_CAST, lexicon_seed(seed, number))
        return self._cast[1:]

    def _take(self, motion: ClipLandmarks | Sign, signer: Signer, rng: np.random.Generator) -> Take:
        size = (self.programme.size_px, self.programme.size_px)
        rig = signer.body.rig
        wide = rng.random() < self.programme.wide
        variety = Variety(blur_exposures=4, closest=1.0 if wide else AS_REAL_CLIPS)
        scene = random_scene(rng, rig, *size, variety=variety)
        if wide:
            away, lower = rng.uniform(*TIMES_AWAY), rng.uniform(*LOWER_M)
            scene = replace(scene, camera=step_back(scene.camera, float(away), float(lower)))
        # Moments are drawn out of their order, in which a camera can't sway.
        scene = replace(scene, sway_percent=0.0)
        if isinstance(motion, Sign):
            if rng.random() < self.programme.resting:
                signer = replace(signer, style=replace(signer.style, rest_s=float(rng.uniform(*LONG_REST_S))))
            return take(motion, signer, scene, size, rng, fps=FPS)
        if (manners := self.programme.manners) is not None:
            motion = in_another_manner(motion, rng, manners)
        return take_of(reenact(motion, rig, gloss=""), signer, scene, size, rng)

    def _moments(self, whole: Take, rng: np.random.Generator, *, mirrored: bool) -> Moments:
        size_px = self.programme.size_px
        keypoints = whole.keypoints
        starts = starts_of(len(whole.transforms), self.programme.num_moments, rng)
        frames = self._draw(whole, starts)
        pose = normalise(keypoints.world.astype(np.float64), keypoints.inside.astype(np.float64))
        pixels = keypoints.pixels
        if mirrored:
            frames, pose, pixels = frames[..., ::-1, :], pose.mirrored(), mirror_pixels(pixels, size_px)
        return Moments(np.ascontiguousarray(frames), **describe(pose, pixels, starts, size_px, None))  # type: ignore[arg-type]

    def _draw(self, whole: Take, starts: Ints) -> Frames:
        """[M, 2, S, S, 3]: every moment's two frames, the third drawn where the second is blurred towards it."""
        following = 1 if whole.scene.film.exposures > 1 else 0
        rows = starts[:, None] + np.arange(NUM_SHOWN + following)
        rows = np.minimum(rows, len(whole.transforms) - 1)
        loaded = load_signer(self._renderer, whole.signer, whole.scene)
        frames = self._renderer.render(loaded, whole.transforms[rows.ravel()], whole.scene, whole.fps)
        loaded.release()
        return frames.reshape(*rows.shape, *frames.shape[1:])[:, :NUM_SHOWN]

    def close(self) -> None:
        """Give the renderer back."""
        self._renderer.close()


def lexicon_seed(seed: int, cast: int) -> int:
    """Of a cast's signs: every cast has other ones."""
    return int(np.random.default_rng((seed, cast)).integers(1 << 31))


def movement_of(file: Path) -> str:
    """The name of a real clip's movement, from its video or its landmarks: HOUSE__12.mp4.npz -> HOUSE__12."""
    return file.name.split(".")[0]


def mirror_pixels(pixels: np.ndarray, size_px: int) -> np.ndarray:
    """[T, 61, 2] as in a mirror: the other side of the picture, and the other side's keypoints."""
    turned = pixels[:, MIRROR].copy()
    turned[..., 0] = size_px - turned[..., 0]
    return turned
