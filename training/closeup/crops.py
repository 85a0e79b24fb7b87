"""Squares around single hands, cut out of shards once: what the closer look learns from by itself.

    pictures.u8    uint8 [N, 2, 144, 144, 3]: two frames, a left hand mirrored, so that all are right hands
    poses.npz      bones float32 [N, 20, 3], points float32 [N, 21, 2]
    crops.json     how many, and of which shards; written last: without it the folder is not finished

Squares are half as large again as those that the encoder looks at, so that they can be turned, moved and scaled.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.encoder import Floats, Frames
from model.hands import cut
from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND, Proportions
from training.data.shard_files import StoredPose, check_shard, find_shards, read_sample, write_whole
from training.data.sharded import hands_in_picture
from training.errors import DataError, ShardError
from training.priors import targets

KEPT_PX = 144
ROOM = 1.5
"""Side of what is kept, in sides of what the encoder looks at."""
SHAPE = (2, KEPT_PX, KEPT_PX, 3)
PICTURES, POSES, FACTS = "pictures.u8", "poses.npz", "crops.json"
FINGER_BONES = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))
"""From keypoint to keypoint within a hand, in MediaPipe's order: four bones a finger, thumb first."""
HANDS = (("left_pose", LEFT_HAND, -1.0), ("right_pose", RIGHT_HAND, 1.0))


@dataclass(frozen=True)
class Hand:
    """One hand over two frames, as a right hand."""

    pictures: Frames
    """[2, 144, 144, 3]."""
    bones: Floats
    """[20, 3] directions of `FINGER_BONES` in the signer's axes, of length 1."""
    points: Floats
    """[21, 2] keypoints, x right and y down from the square's middle, in sides of the encoder's square."""


@dataclass(frozen=True)
class Crops:
    """Hands in memory, pictures on the disk."""

    pictures: NDArray[np.uint8]
    """[N, 2, 144, 144, 3]."""
    bones: Floats
    """[N, 20, 3]."""
    points: Floats
    """[N, 21, 2]."""

    def __len__(self) -> int:
        return len(self.bones)


def cut_hands(stored: StoredPose, frames: Frames, body: Proportions, stride: int) -> Iterator[Hand]:
    """The hands of a clip that are known and in the picture, from every `stride`-th frame on."""
    found = targets(stored.pose, body)
    size_px = frames.shape[1]
    for start in range(0, len(frames) - 1, stride):
        pair = slice(start, start + 2)
        squares = hands_in_picture(stored.pixels, start, size_px, 2).mean(axis=0)  # [2, 3]
        for number, (name, part, towards) in enumerate(HANDS):
            points, known = (values[pair].reshape(2, 21, 3) for values in found[name])
            square = squares[number]
            if not known.all() or not np.isfinite(square).all() or not ((square[:2] > 0) & (square[:2] < 1)).all():
                continue
            seen = (stored.pixels[pair, part].mean(axis=0) / size_px - square[:2]) / square[2]
            pictures = cut_square(frames[pair], square)
            yield Hand(
                pictures[:, :, ::-1] if towards < 0 else pictures,
                directions(points.mean(axis=0) * (towards, 1.0, 1.0)),
                (seen * (towards, 1.0)).astype(np.float32),
            )


def cut_square(frames: Frames, square: Floats) -> Frames:
    """[2, H, W, 3] and x, y, side in shares of the frame -> [2, 144, 144, 3]."""
    whole = torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None].float()
    seen = cut(whole, torch.tensor([[square[0], square[1], ROOM * square[2]]]), KEPT_PX)[0]
    return seen.permute(1, 2, 3, 0).round().clamp(0, 255).to(torch.uint8).numpy()


def directions(points: Floats) -> Floats:
    """Where the bones of a hand point to: [.., 21, 3] -> [.., 20, 3] of length 1."""
    starts, ends = np.array(FINGER_BONES).T
    away = points[..., ends, :] - points[..., starts, :]
    return np.asarray(away / np.linalg.norm(away, axis=-1, keepdims=True).clip(1e-6), np.float32)


def write_crops(
    shards: Sequence[Path], out: Path, body: Proportions, *, stride: int, told: Callable[[int, int], None]
) -> int:
    """Cut the hands out of folders of shards.

    Args:
        shards: the folders.
        out: becomes the folder described above; if it is that of the same clips already, nothing is done, and what is
            left of an attempt that did not end is written over.
        body: the standard body, whose bones the targets have.
        stride: frames from one pair to the next.
        told: of clips done and clips in all.

    Returns:
        How many hands there are.

    Raises:
        ShardError: there is no usable shard; a damaged one is named.
    """
    places = [
        (shard, place) for folder in shards for shard in find_shards(folder) for place in check_shard(shard).places
    ]
    asked = {"shards": list(map(str, shards)), "num_clips": len(places), "stride": stride, "shape": list(SHAPE)}
    if (found := read_facts(out)) and found == asked | {"num_hands": found.get("num_hands")}:
        return int(found["num_hands"])
    out.mkdir(parents=True, exist_ok=True)
    (out / FACTS).unlink(missing_ok=True)
    bones, points = [], []
    with (out / PICTURES).open("wb") as file:
        for done, (shard, place) in enumerate(places):
            frames, stored = read_sample(shard, place, 0, place.facts.num_frames)
            for hand in cut_hands(stored, frames, body, stride):
                file.write(hand.pictures.tobytes())
                bones.append(hand.bones)
                points.append(hand.points)
            told(done + 1, len(places))
    if not bones:
        raise ShardError(
            f"no hand is known and in the picture in any of {len(places)} clips of {list(map(str, shards))}"
        )
    np.savez(out / POSES, bones=np.stack(bones), points=np.stack(points))
    write_whole(out / FACTS, json.dumps(asked | {"num_hands": len(bones)}))
    return len(bones)


def read_facts(folder: Path) -> dict[str, Any]:
    """What a finished folder says of itself; nothing if it is not finished."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    except (OSError, ValueError):
        return {}
    return facts


def read_crops(folder: Path) -> Crops:
    """The hands of a folder that `write_crops` finished.

    Raises:
        DataError: it is not finished, or damaged.
    """
    facts = read_facts(folder)
    if not facts:
        raise DataError(f"{folder} holds no finished crops; `python -m training.closeup cut` makes them")
    try:
        pictures = np.memmap(folder / PICTURES, np.uint8, "r").reshape(-1, *SHAPE)
        with np.load(folder / POSES) as poses:
            crops = Crops(pictures, poses["bones"], poses["points"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"the crops in {folder} are damaged ({error}); delete the folder and cut them again") from error
    written = facts.get("num_hands")
    if not len(crops.pictures) == len(crops.bones) == len(crops.points) == written:
        raise DataError(f"{folder} has {len(crops.pictures)} pictures, {written} were written; delete it and cut again")
    return crops
