"""One clip: a signer performs a sign in a scene; frames and exact keypoints come out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model.encoder import Flags, Floats, Frames
from training.synth.camera import project, view_projection
from training.synth.cast import Signer
from training.synth.device import LoadedBody
from training.synth.exposure import exposed
from training.synth.expression import with_face
from training.synth.motion import perform
from training.synth.phonology import Sign
from training.synth.render import Renderer, sway_matrix
from training.synth.rig import Performance, pose_bones, pose_landmarks
from training.synth.scene import Scene, sway

CLIP = 0xC11B
CELL_PIXELS = 1.2
"""Pixels within which points of a mesh are merged; at 2 lips and eyelids begin to tear."""


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
class Take:
    """A performance posed on its body and seen by its camera, ready to be drawn."""

    signer: Signer
    gloss: str
    transforms: Floats
    """[T, J, 3, 4]."""
    keypoints: Keypoints
    scene: Scene
    """As the camera exposes it."""
    fps: float


def clip_rng(seed: int, sign: int, signer: int) -> np.random.Generator:
    """The random numbers of one clip: the same whatever other clips are made."""
    return np.random.default_rng((seed, CLIP, sign, signer))


def take(
    sign: Sign, signer: Signer, scene: Scene, size: tuple[int, int], rng: np.random.Generator, *, fps: float = 25.0
) -> Take:
    """A signer's performance of a sign in a scene.

    Raises:
        SignError: the sign is impossible; the parameter is named.
    """
    return take_of(perform(sign, signer.body.rig, signer.style, rng, fps), signer, scene, size, rng)


def take_of(
    performance: Performance, signer: Signer, scene: Scene, size: tuple[int, int], rng: np.random.Generator
) -> Take:
    """Any performance on a signer's body in a scene.

    Args:
        performance: what is done.
        signer: by whom.
        scene: where.
        size: width and height of a frame, pixels.
        rng: draws blinks.
    """
    rig = signer.body.rig
    transforms = pose_bones(rig, with_face(performance, rig, rng), performance.root)
    world = pose_landmarks(rig, transforms)
    camera = view_projection(scene.camera, *size)
    wander = sway(scene, len(world), performance.fps)
    cameras = np.stack([sway_matrix(shift, *size) @ camera for shift in wander])[:, None]
    pixels, inside = project(world, np.broadcast_to(cameras, (*world.shape[:2], 4, 4)), *size)
    keypoints, seen = Keypoints(world, pixels, inside), exposed(scene, signer.body)
    return Take(signer, performance.gloss, transforms, keypoints, seen, performance.fps)


def load_signer(renderer: Renderer, signer: Signer, scene: Scene) -> LoadedBody:
    """Bring a signer to the device in the detail the scene's camera sees, without what is below the picture."""
    # Half the picture is below its middle; the rest is for tilted cameras, and for a signer who leans or bobs.
    lowest = scene.camera.target[1] - 0.62 * renderer.pixel_m(scene) * renderer.height
    return renderer.load(
        signer.body,
        lowest_m=lowest,
        cell_m=CELL_PIXELS * renderer.pixel_m(scene),
        toward_camera=np.subtract(scene.camera.eye, scene.camera.target).astype(np.float32),
    )


def draw(renderer: Renderer, body: LoadedBody, clip: Take) -> Iterator[Frames]:
    """The frames of a take, batch by batch, each uint8 [N, H, W, 3]."""
    return (frames for _, frames in renderer.batches(body, clip.transforms, clip.scene, clip.fps))
