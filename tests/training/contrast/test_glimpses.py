import numpy as np
import torch

from model.encoder import Frames
from model.pixels import standardise
from tests.training.contrast.stage import in_picture, points, pose_of
from training.closeup.crops import cut_hands
from training.closeup.learn import Looks
from training.contrast.glimpses import glimpses
from training.contrast.moments import Moments, describe
from training.contrast.pool import Rows, make_rows
from training.data.shard_files import StoredPose

SIZE_PX = 128
TURNED = Looks(turn_deg=40.0, log_size=0.2, move=0.05, coarse_px=(96, 96), light=0.0, grey=0.0, noise=0.0, hidden=0.0)


def dotted() -> Frames:
    """Two frames, dark, with a dot on every keypoint of both hands."""
    frames = np.full((2, SIZE_PX, SIZE_PX, 3), 40, np.uint8)
    for x, y in in_picture(points(2), SIZE_PX)[0, 19:].round().astype(int):
        frames[:, y - 1 : y + 1, x - 1 : x + 1] = 250
    return frames


def still() -> np.ndarray:
    return np.repeat(points(2)[:1], 2, 0)


def rows_of(hidden: bool = False) -> Rows:
    described = describe(pose_of(still()), in_picture(still(), SIZE_PX), np.array([0]), SIZE_PX, None)
    rows = make_rows(1, SIZE_PX, torch.device("cpu"))
    rows.put(0, Moments(dotted()[None], **described))
    if hidden:
        rows.known.zero_()
    return rows


def test_hands_are_those_that_are_cut_out_of_shards() -> None:
    pictures, bones, seen = glimpses(rows_of(), 96, None, torch.Generator())
    expected = list(cut_hands(StoredPose(pose_of(still()), in_picture(still(), SIZE_PX)), dotted(), None, 2))
    assert len(pictures) == len(expected) == 2
    for number, hand in enumerate(expected):
        assert np.allclose(bones[number], hand.bones, atol=5e-3)
        assert np.allclose(seen[number], hand.points, atol=1e-3)


def test_dots_are_found_at_the_points_however_hands_are_turned() -> None:
    white = standardise(torch.full((1, 3, 1), 255.0), 1)[0, 0, 0]
    for seed in range(5):
        pictures, _, seen = glimpses(rows_of(), 96, TURNED, torch.Generator().manual_seed(seed))
        for picture, places in zip(pictures[:, 0, 0], seen, strict=True):
            for x, y in ((places + 0.5) * 96).round().long():
                if 2 < x < 93 and 2 < y < 93:
                    assert picture[y - 2 : y + 3, x - 2 : x + 3].max() > 0.2 * white


def test_bones_turn_with_their_points() -> None:
    straight, turned = (glimpses(rows_of(), 96, looks, torch.Generator().manual_seed(1)) for looks in (None, TURNED))
    flat = [bones[..., :2] * torch.tensor([1.0, -1.0]) for _, bones, _ in (straight, turned)]
    away = [seen[:, 4] - seen[:, 0] for _, _, seen in (straight, turned)]
    angles = [torch.atan2(one[..., 1], one[..., 0]) for one in away]
    turn = angles[1] - angles[0]
    for hand in range(2):
        turning = torch.tensor([[turn[hand].cos(), -turn[hand].sin()], [turn[hand].sin(), turn[hand].cos()]])
        assert torch.allclose(flat[0][hand] @ turning.T, flat[1][hand], atol=1e-4)
    assert torch.allclose(straight[1][..., 2], turned[1][..., 2])


def test_of_hands_that_are_not_known_nothing_comes() -> None:
    pictures, bones, seen = glimpses(rows_of(hidden=True), 96, Looks(), torch.Generator())
    assert [list(part.shape) for part in (pictures, bones, seen)] == [[0, 3, 2, 96, 96], [0, 20, 3], [0, 21, 2]]
