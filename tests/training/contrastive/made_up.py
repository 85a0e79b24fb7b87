"""Made-up clips of a few windows, told apart by their brightness, and small runs on them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND, Angles, forward, standard_proportions, standing
from model.skeleton.normalisation import NormalisedPose, normalise
from tests.model.network.test_hands import looking_closer
from training.atomic import write_atomically
from training.contrastive.clips.clip_pool import ClipPool, make_table
from training.contrastive.clips.pair_renderer import Movement, PositivePair
from training.contrastive.clips.windows import ClipWindows, describe
from training.contrastive.config import ContrastiveConfig
from training.data.priors.standard_body import write_body
from training.data.shards.files import SampleInfo, ShardFormat, ShardSample, ShardWriter
from training.fit.distributed import World

SIZE_PX = 64
NUM_FRAMES = 20
CPU = torch.device("cpu")
ALONE = World(CPU)


def run_config(output: Path = Path("runs/none"), **changes: object) -> ContrastiveConfig:
    """A run of a tiny encoder that ends by its steps."""
    fields: dict[str, object] = {
        "output": output,
        "encoder": replace(looking_closer(), drop_path=0.0),
        "num_real": 2,
        "num_rendered": 3,
        "num_windows": 2,
        "steps": 6,
        "minutes": math.inf,
        "log_every": 1,
        "save_every": 100,
        "device": "cpu",
    }
    return ContrastiveConfig(**(fields | changes))  # type: ignore[arg-type]


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


def pose_of(whole: np.ndarray) -> NormalisedPose:
    return normalise(whole, np.ones(whole.shape[:2]))


def some_windows(brightness: int, count: int = 3, bend: float = 0.5) -> ClipWindows:
    """Windows of one brightness."""
    whole = points(bend=bend)
    starts = np.linspace(0, NUM_FRAMES - 2, count).astype(int)
    frames = np.full((count, 2, SIZE_PX, SIZE_PX, 3), brightness, np.uint8)
    return ClipWindows(frames, **describe(pose_of(whole), in_picture(whole), starts, SIZE_PX, None))


def positive_pair(number: int, name: str, brightness: int, count: int = 3) -> PositivePair:
    clips = some_windows(brightness, count), some_windows(brightness + 1, count)
    return PositivePair(number, Movement(name, mirrored=False), clips)


def write_shard(folder: Path, names: dict[str, int]) -> Path:
    """A folder of clips, SIGNER/GLOSS__ID by brightness; the left half of the picture is brighter."""
    folder.mkdir(parents=True)
    form = ShardFormat(size_px=SIZE_PX)
    writer = ShardWriter(folder / "000000.tar", form)
    for name, brightness in names.items():
        frames = np.full((NUM_FRAMES, SIZE_PX, SIZE_PX, 3), brightness, np.uint8)
        frames[:, :, : SIZE_PX // 2] += 40
        signer, stem = name.split("/")
        facts = SampleInfo(stem, name, NUM_FRAMES, gloss=stem.split("__")[0], signer=signer)
        whole = points(bend=0.3 + brightness / 200)
        writer.add(ShardSample(facts, frames, pose_of(whole), in_picture(whole)))
    writer.finish(list(names), [])
    write_body(folder / "body.json", standard_proportions())
    write_atomically(folder / "data.json", json.dumps(form.__dict__))
    return folder


def made_up_pool() -> ClipPool:
    """Two real clips and four rendered pairs."""
    pool = ClipPool(make_table(6 + 4 * 6, SIZE_PX, CPU), num_windows=3, max_pairs=4)
    for number in range(2):
        pool.add_clip(some_windows(20 * number), Movement(f"real {number}", mirrored=False))
    for number in range(4):
        pool.add_pair(positive_pair(number, f"rendered {number}", 60 + 30 * number))
    return pool
