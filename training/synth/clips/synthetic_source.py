"""The synthetic signer as a source of pretraining pairs: endless windows with exact priors, rendered on request."""

import numpy as np
from numpy.typing import NDArray

from model.encoder import Flags, Floats, Frames, Ints
from model.skeleton.kinematics import Proportions
from model.skeleton.normalisation import normalise
from training.data.priors.table import ACTIVITY, NUM_FRAMES
from training.data.priors.targets import PriorTarget, prior_targets
from training.data.shards.source import hands_in_picture
from training.data.windows.samples import Sample
from training.data.windows.sources import ArrayClip
from training.errors import SampleError, SignError
from training.synth.clips.clip import PosedClip
from training.synth.clips.clip_source import ClipSource, padded_rows
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import BodySource, Signer
from training.synth.render.gl_resources import LoadedBody
from training.synth.render.random_scene import random_scene
from training.synth.render.scene import Scene

NUM_SIGNS = 1000
CLIPS_PER_SIGNER = 8
"""Making a body costs about as much as rendering a clip."""


class SyntheticSource:
    """A pair is two windows of one clip: a random sign by a signer who performs a few, each in another scene.

    `training.synth.clips.window_stream` gives windows one after the other; here any pair is had by its number.
    """

    def __init__(
        self,
        bodies: BodySource,
        *,
        seed: int = 0,
        size_px: int = 256,
        num_signs: int = NUM_SIGNS,
        body: Proportions | None = None,
    ) -> None:
        """Prepare to render.

        Args:
            bodies: makes the signers.
            seed: of everything.
            size_px: height and width of a frame; even.
            num_signs: how many signs there are.
            body: the standard body of the targets; None for that of a middling adult.
        """
        self.seed, self.size_px, self.body = seed, size_px, body
        self.signs = make_signs(num_signs, seed)
        self._clips = ClipSource(bodies, seed=seed, size=(size_px, size_px))
        self._loaded: tuple[int, LoadedBody] | None = None

    def pair(self, number: int) -> tuple[Sample, Sample]:
        """Two windows of clip `number`, from random places.

        Raises:
            SampleError: this body can't perform that sign.
            RenderUnavailableError: no OpenGL can be had.
            AssetError: a file of a body is missing or damaged.
        """
        clip = self._clip(number)
        last_start = max(0, clip.num_frames - NUM_FRAMES)
        first, second = np.random.default_rng((self.seed, number)).integers(0, last_start + 1, 2)
        return self._window(clip, int(first), number), self._window(clip, int(second), number)

    def clip(self, number: int) -> ArrayClip:
        """Clip `number` from beginning to end, for keeping in memory; raises as `pair` does."""
        clip = self._clip(number)
        rows = padded_rows(0, max(NUM_FRAMES, clip.num_frames), clip.num_frames)
        pose = normalise(clip.keypoints.world[rows].astype(np.float64), confidence(clip.keypoints.inside[rows]))
        found = prior_targets(pose, self.body)
        activity = [
            prior_targets(pose.window(start), self.body)[ACTIVITY] for start in range(len(rows) - NUM_FRAMES + 1)
        ]
        found[ACTIVITY] = np.stack([value for value, _ in activity]), np.stack([known for _, known in activity])
        return ArrayClip(self._name(number), self._frames(clip, rows, number), *_separated(found))

    def _window(self, clip: PosedClip, start: int, number: int) -> Sample:
        rows = padded_rows(start, NUM_FRAMES, clip.num_frames)
        pose = normalise(clip.keypoints.world[rows].astype(np.float64), confidence(clip.keypoints.inside[rows]))
        hands = hands_in_picture(clip.keypoints.pixels, start, self.size_px)
        frames = self._frames(clip, rows, number)
        return Sample(frames, *_separated(prior_targets(pose, self.body)), self._name(number), hands)

    def _name(self, number: int) -> str:
        return f"synthetic {self.seed}-{number}"

    def _clip(self, number: int) -> PosedClip:
        signer = self._clips.signer(number // CLIPS_PER_SIGNER)
        scene, rng = self._scene(number, signer)
        sign = self.signs[int(rng.integers(len(self.signs)))]
        try:
            return self._clips.clip(sign, signer, scene, rng)
        except SignError as error:
            raise SampleError(f"{self._name(number)}, signer {signer.id}: {error}") from error

    def _scene(self, number: int, signer: Signer) -> tuple[Scene, np.random.Generator]:
        """The scene of a clip, and the random numbers it was the first to be sampled from."""
        rng = self._clips.rng(number, 0)
        return random_scene(rng, signer.body.rig, self.size_px, self.size_px), rng

    def _frames(self, clip: PosedClip, rows: Ints, number: int) -> Frames:
        return self._clips.recorded_frames(clip, rows, self._loaded_signer(clip.signer, number // CLIPS_PER_SIGNER))

    def _loaded_signer(self, signer: Signer, number: int) -> LoadedBody:
        """One mesh for all clips of a signer, as detailed as the first one needs, whichever is rendered first."""
        if self._loaded is None or self._loaded[0] != number:
            if self._loaded is not None:
                self._loaded[1].release()
            scene, _ = self._scene(number * CLIPS_PER_SIGNER, signer)
            self._loaded = number, self._clips.load(signer, scene)
        return self._loaded[1]


def confidence(inside: Flags) -> NDArray[np.float64]:
    """As sure as a pose estimator is of what it sees: keypoints outside the picture are not known. [T, 61]."""
    return inside.astype(np.float64)


def _separated(found: dict[str, PriorTarget]) -> tuple[dict[str, Floats], dict[str, Flags]]:
    """Targets and masks, each by name."""
    return {name: target for name, (target, _) in found.items()}, {name: known for name, (_, known) in found.items()}
