"""One clip before it is rendered: a performance posed on its body and seen by its camera, with exact keypoints."""

from dataclasses import dataclass

import numpy as np

from model.encoder import Flags, Floats
from training.synth.clips.signers import Signer
from training.synth.motion.expression import with_face
from training.synth.people.rig import Performance, pose_bones, pose_landmarks
from training.synth.render.camera import project, view_projection
from training.synth.render.exposure import auto_exposed
from training.synth.render.renderer import sway_matrix
from training.synth.render.scene import Scene, sway


@dataclass(frozen=True)
class Keypoints:
    """The 61 keypoints of every frame, exactly where they are."""

    world: Floats
    """[T, 61, 3] metres: x to the signer's left, y up, z to the front; the floor is y = 0."""
    pixels: Floats
    """[T, 61, 2] x right and y down from the top left corner of the frame."""
    inside: Flags
    """[T, 61] whether the keypoint lies inside the frame; it may be hidden behind the body."""

    def part(self, frames: slice) -> "Keypoints":
        """The keypoints of some frames."""
        return Keypoints(self.world[frames], self.pixels[frames], self.inside[frames])


@dataclass(frozen=True)
class PosedClip:
    """Everything a clip is rendered from, and its keypoints."""

    signer: Signer
    gloss: str
    transforms: Floats
    """[T, J, 3, 4]."""
    keypoints: Keypoints
    scene: Scene
    """As the camera exposes it."""
    fps: float

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return len(self.transforms)


def pose_clip(
    performance: Performance, signer: Signer, scene: Scene, size: tuple[int, int], rng: np.random.Generator
) -> PosedClip:
    """A performance on a signer's body in a scene.

    Args:
        performance: what is done.
        signer: by whom.
        scene: where.
        size: width and height of a frame, pixels.
        rng: samples blinks.
    """
    rig = signer.body.rig
    transforms = pose_bones(rig, with_face(performance, rig, rng))
    world = pose_landmarks(rig, transforms)
    camera = view_projection(scene.camera, *size)
    shifts = sway(scene, len(world), performance.fps)
    cameras = np.stack([sway_matrix(shift, *size) @ camera for shift in shifts])[:, None]
    pixels, inside = project(world, np.broadcast_to(cameras, (*world.shape[:2], 4, 4)), *size)
    keypoints = Keypoints(world, pixels, inside)
    return PosedClip(
        signer, performance.gloss, transforms, keypoints, auto_exposed(scene, signer.body), performance.fps
    )
