import numpy as np
import torch

from model.encoder import Frames
from model.network.pixels import standardise
from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND
from tests.training.contrastive.made_up import in_picture, points, pose_of
from training.contrastive.clips.clip_pool import WindowTable, make_table
from training.contrastive.clips.windows import ClipWindows, describe
from training.contrastive.hand_crops import FINGER_BONES, HandAugmentConfig, blank, hand_crops
from training.data.shards.source import hands_in_picture

SIZE_PX = 128
TURNED = HandAugmentConfig(
    turn_deg=40.0, log_size=0.2, move=0.05, coarse_px=(96, 96), light=0.0, grey=0.0, noise=0.0, hidden=0.0
)


def dotted() -> Frames:
    """Two frames, dark, with a dot on every keypoint of both hands."""
    frames = np.full((2, SIZE_PX, SIZE_PX, 3), 40, np.uint8)
    for x, y in in_picture(points(2), SIZE_PX)[0, 19:].round().astype(int):
        frames[:, y - 1 : y + 1, x - 1 : x + 1] = 250
    return frames


def still() -> np.ndarray:
    return np.repeat(points(2)[:1], 2, 0)


def rows_of(hidden: bool = False) -> WindowTable:
    described = describe(pose_of(still()), in_picture(still(), SIZE_PX), np.array([0]), SIZE_PX, None)
    rows = make_table(1, SIZE_PX, torch.device("cpu"))
    rows.put(0, ClipWindows(dotted()[None], **described))
    if hidden:
        rows.known.zero_()
    return rows


def test_hands_are_cropped_with_their_keypoints_and_left_ones_are_mirrored() -> None:
    crops = hand_crops(rows_of(), 96, None, torch.Generator())
    assert len(crops.pictures) == 2
    squares = hands_in_picture(in_picture(still(), SIZE_PX), 0, SIZE_PX, 2).mean(axis=0)
    for number, (hand, mirror) in enumerate(((LEFT_HAND, -1), (RIGHT_HAND, 1))):
        middle, side = squares[number, :2] * SIZE_PX, squares[number, 2] * SIZE_PX
        expected = (in_picture(still(), SIZE_PX)[0, hand] - middle) / side * (mirror, 1)
        assert np.allclose(crops.points[number], expected, atol=1e-3)
        starts, ends = (still()[0, hand][[bone[end] for bone in FINGER_BONES]] for end in (0, 1))
        bones = (ends - starts) / np.linalg.norm(ends - starts, axis=1, keepdims=True)
        assert np.allclose(crops.bones[number], bones * (mirror, 1, 1), atol=0.02)


def test_bones_go_from_the_wrist_and_from_joint_to_joint() -> None:
    assert FINGER_BONES[:5] == ((0, 1), (1, 2), (2, 3), (3, 4), (0, 5))
    assert FINGER_BONES[-1] == (19, 20)


def test_dots_are_found_at_the_points_however_hands_are_turned() -> None:
    white = standardise(torch.full((1, 3, 1), 255.0), 1)[0, 0, 0]
    for seed in range(5):
        pictures, _, seen = hand_crops(rows_of(), 96, TURNED, torch.Generator().manual_seed(seed))
        for picture, places in zip(pictures[:, 0, 0], seen, strict=True):
            for x, y in ((places + 0.5) * 96).round().long():
                if 2 < x < 93 and 2 < y < 93:
                    assert picture[y - 2 : y + 3, x - 2 : x + 3].max() > 0.2 * white


def test_bones_turn_with_their_points() -> None:
    straight, turned = (hand_crops(rows_of(), 96, how, torch.Generator().manual_seed(1)) for how in (None, TURNED))
    flat = [bones[..., :2] * torch.tensor([1.0, -1.0]) for _, bones, _ in (straight, turned)]
    away = [seen[:, 4] - seen[:, 0] for _, _, seen in (straight, turned)]
    angles = [torch.atan2(one[..., 1], one[..., 0]) for one in away]
    turn = angles[1] - angles[0]
    for hand in range(2):
        turning = torch.tensor([[turn[hand].cos(), -turn[hand].sin()], [turn[hand].sin(), turn[hand].cos()]])
        assert torch.allclose(flat[0][hand] @ turning.T, flat[1][hand], atol=1e-4)
    assert torch.allclose(straight[1][..., 2], turned[1][..., 2])
    assert torch.allclose(turned.bones.norm(dim=-1), torch.ones(()), atol=1e-5)


def test_of_hands_that_are_not_known_nothing_comes() -> None:
    crops = hand_crops(rows_of(hidden=True), 96, HandAugmentConfig(), torch.Generator())
    assert [list(part.shape) for part in crops] == [[0, 3, 2, 96, 96], [0, 20, 3], [0, 21, 2]]


def test_a_share_of_pictures_is_blank_in_part() -> None:
    hidden = blank(400, 32, 0.5, torch.Generator().manual_seed(0))
    assert 0.35 < hidden.flatten(1).any(dim=1).float().mean() < 0.55
    assert hidden.flatten(1).float().mean(dim=1).max() < 0.2
