"""The synthetic signer as a source: windows without end, with exact priors, drawn when they are asked for."""

import numpy as np
from numpy.typing import NDArray

from model.encoder import Flags, Floats, Frames, Ints
from model.skeleton.kinematics import Proportions
from model.skeleton.normal import normalise
from training.data.samples import Sample
from training.data.sharded import hands_in_picture
from training.data.sources import Clip
from training.errors import SampleError, SignError
from training.prior_table import ACTIVITY, NUM_FRAMES
from training.priors import Target, targets
from training.synth.cast import BodySource, Signer, cast_signer
from training.synth.clips import Take, clip_rng, load_signer, take
from training.synth.device import LoadedBody
from training.synth.lexicon import make_signs
from training.synth.render import Renderer
from training.synth.scene import Scene
from training.synth.settings import Variety, random_scene
from training.synth.video import compress

NUM_SIGNS = 1000
CLIPS_PER_SIGNER = 8
"""Making a body costs about as much as drawing a clip."""
FPS = 25.0


class SyntheticSource:
    """A pair is two windows of one clip: a sign drawn at random, by a signer who performs a few, each in another scene.

    `training.synth.stream` gives the same kind of windows one after the other; here any pair can be had by its number.
    """

    def __init__(
        self,
        bodies: BodySource,
        *,
        seed: int = 0,
        size_px: int = 256,
        num_signs: int = NUM_SIGNS,
        variety: Variety | None = None,
        body: Proportions | None = None,
    ) -> None:
        """Prepare to draw.

        Args:
            bodies: makes the signers.
            seed: of everything.
            size_px: height and width of a frame; even.
            num_signs: how many signs there are.
            variety: how far scenes differ.
            body: the standard body of the targets; None for that of a middling adult.
        """
        self.bodies, self.seed, self.size_px = bodies, seed, size_px
        self.variety, self.body = variety, body
        self.signs = make_signs(num_signs, seed)
        # Made when first needed: a renderer belongs to the process that makes it.
        self._renderer: Renderer | None = None
        self._signer: tuple[int, Signer] | None = None
        self._loaded: LoadedBody | None = None

    def pair(self, number: int) -> tuple[Sample, Sample]:
        """Two windows of clip `number`, from random places.

        Raises:
            SampleError: this body can't perform that sign.
            RenderUnavailableError: no OpenGL can be had.
            AssetError: a file of a body is missing or damaged.
        """
        whole = self._perform(number)
        last_start = max(0, len(whole.transforms) - NUM_FRAMES)
        first, second = np.random.default_rng((self.seed, number)).integers(0, last_start + 1, 2)
        return self._window(whole, int(first), number), self._window(whole, int(second), number)

    def clip(self, number: int) -> Clip:
        """Clip `number` from beginning to end, for keeping in memory; raises as `pair` does."""
        whole = self._perform(number)
        rows = np.minimum(np.arange(max(NUM_FRAMES, len(whole.transforms))), len(whole.transforms) - 1)
        pose = normalise(whole.keypoints.world[rows].astype(np.float64), confidence(whole.keypoints.inside[rows]))
        found = targets(pose, self.body)
        activity = [targets(pose.window(start), self.body)[ACTIVITY] for start in range(len(rows) - NUM_FRAMES + 1)]
        found[ACTIVITY] = np.stack([value for value, _ in activity]), np.stack([known for _, known in activity])
        return Clip(self._name(number), self._draw(whole, rows), *_apart(found))

    def _window(self, whole: Take, start: int, number: int) -> Sample:
        # A clip shorter than a window stands still at its end, as short videos are padded when they are looked up.
        rows = np.minimum(np.arange(start, start + NUM_FRAMES), len(whole.transforms) - 1)
        pose = normalise(whole.keypoints.world[rows].astype(np.float64), confidence(whole.keypoints.inside[rows]))
        hands = hands_in_picture(whole.keypoints.pixels, start, self.size_px)
        return Sample(self._draw(whole, rows), *_apart(targets(pose, self.body)), self._name(number), hands)

    def _name(self, number: int) -> str:
        return f"synthetic {self.seed}-{number}"

    def _perform(self, number: int) -> Take:
        signer = self._cast(number // CLIPS_PER_SIGNER)
        rng, scene = self._scene(number, signer)
        sign = self.signs[int(rng.integers(len(self.signs)))]
        try:
            return take(sign, signer, scene, (self.size_px, self.size_px), rng, fps=FPS)
        except SignError as error:
            raise SampleError(f"{self._name(number)}, signer {signer.id}: {error}") from error

    def _scene(self, number: int, signer: Signer) -> tuple[np.random.Generator, Scene]:
        """The random numbers of a clip, and its scene, which is drawn from them first."""
        rng = clip_rng(self.seed, number, 0)
        return rng, random_scene(rng, signer.body.rig, self.size_px, self.size_px, variety=self.variety)

    def _draw(self, whole: Take, rows: Ints) -> Frames:
        if self._renderer is None:
            self._renderer = Renderer(self.size_px, self.size_px)
        if self._loaded is None:
            # One mesh serves all clips of a signer, in the detail that their first one needs: whichever is drawn first.
            number = self._signer[0] if self._signer else 0
            _, scene = self._scene(number * CLIPS_PER_SIGNER, whole.signer)
            self._loaded = load_signer(self._renderer, whole.signer, scene)
        frames = self._renderer.render(self._loaded, whole.transforms[rows], whole.scene, whole.fps)
        crf = whole.scene.film.crf
        return frames if crf is None else compress(frames, crf, whole.fps)

    def _cast(self, number: int) -> Signer:
        if self._signer is None or self._signer[0] != number:
            if self._loaded is not None:
                self._loaded.release()
                self._loaded = None
            self._signer = (number, cast_signer(self.bodies, number, self.seed))
        return self._signer[1]


def confidence(inside: Flags) -> NDArray[np.float64]:
    """As a pose estimator is sure of what it sees: keypoints outside the picture are not known. [T, 61]."""
    return inside.astype(np.float64)


def _apart(found: dict[str, Target]) -> tuple[dict[str, Floats], dict[str, Flags]]:
    """Targets with their masks as targets and masks."""
    return {name: target for name, (target, _) in found.items()}, {name: known for name, (_, known) in found.items()}
