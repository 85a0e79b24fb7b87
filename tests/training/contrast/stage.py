"""What the tests of contrast share: clips of a few moments, told apart by their brightness."""

import json
from pathlib import Path

import numpy as np

from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND, Angles, forward, standard_proportions, standing
from model.skeleton.normal import NormalPose, normalise
from training.contrast.moments import Moments, describe
from training.contrast.theatre import Duet, Movement
from training.data.shard_files import Form, SampleFacts, ShardSample, ShardWriter, write_whole
from training.priors import write_body

SIZE_PX = 64
NUM_FRAMES = 20


def points(num_frames: int = NUM_FRAMES, bend: float = 0.5) -> np.ndarray:
    """[T, 61, 3] metres: somebody with both hands up, the right one rising."""
    stance = standing()
    right = stance.right.copy()
    right[[4, 12, 20]] += bend
    whole = np.repeat(forward(Angles(stance.body, stance.left, right), standard_proportions())[None], num_frames, 0)
    for hand, x in ((LEFT_HAND, 0.25), (RIGHT_HAND, -0.25)):
        whole[:, hand] += np.array([x, 0.05, 0.3]) - whole[:, hand].mean(axis=1, keepdims=True)
    whole[:, RIGHT_HAND, 1] += np.linspace(0.0, 0.2, num_frames)[:, None]
    return whole


def in_picture(whole: np.ndarray, size_px: int = SIZE_PX) -> np.ndarray:
    """[T, 61, 3] metres to [T, 61, 2] pixels, seen from straight ahead."""
    return (whole[..., :2] * (1, -1) * 0.9 + 0.5) * size_px


def pose_of(whole: np.ndarray) -> NormalPose:
    return normalise(whole, np.ones(whole.shape[:2]))


def some_moments(brightness: int, count: int = 3, bend: float = 0.5) -> Moments:
    """Moments of one brightness."""
    whole = points(bend=bend)
    starts = np.linspace(0, NUM_FRAMES - 2, count).astype(int)
    frames = np.full((count, 2, SIZE_PX, SIZE_PX, 3), brightness, np.uint8)
    return Moments(frames, **describe(pose_of(whole), in_picture(whole), starts, SIZE_PX, None))


def duet(number: int, name: str, brightness: int, count: int = 3) -> Duet:
    performances = some_moments(brightness, count), some_moments(brightness + 1, count)
    return Duet(number, Movement(name, mirrored=False), performances)


def write_shard(folder: Path, names: dict[str, int]) -> Path:
    """A folder of clips, SIGNER/GLOSS__ID by brightness; the left half of the picture is brighter."""
    folder.mkdir(parents=True)
    form = Form(size_px=SIZE_PX)
    writer = ShardWriter(folder / "000000.tar", form)
    for name, brightness in names.items():
        frames = np.full((NUM_FRAMES, SIZE_PX, SIZE_PX, 3), brightness, np.uint8)
        frames[:, :, : SIZE_PX // 2] += 40
        signer, stem = name.split("/")
        facts = SampleFacts(stem, name, NUM_FRAMES, gloss=stem.split("__")[0], signer=signer)
        whole = points(bend=0.3 + brightness / 200)
        writer.add(ShardSample(facts, frames, pose_of(whole), in_picture(whole)))
    writer.finish(list(names), [])
    write_body(folder / "body.json", standard_proportions())
    write_whole(folder / "data.json", json.dumps(form.__dict__))
    return folder
