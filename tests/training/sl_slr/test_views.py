"""How views come about."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND
from model.skeleton.rotations import pitch_yaw_roll
from training.sl_slr.config import Views
from training.sl_slr.views import (
    augmented,
    informative_frames,
    rotations,
    shuffled,
    shuffled_rows,
    time_warped,
    with_lost_hands,
)

STILL = Views(turn_deg=0.0, size=0.0, noise=0.0, hand_lost=0.0, pace=0.0)


def numbered(num: int = 5, num_frames: int = 12) -> tuple[Tensor, Tensor]:
    """Sequences in which every keypoint's x is the number of its frame."""
    keypoints = torch.zeros(num, num_frames, 61, 3)
    keypoints[..., 0] = torch.arange(num_frames, dtype=torch.float32)[:, None]
    return keypoints, torch.ones(num, num_frames, 61, dtype=torch.bool)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_thirds_call_the_middle_third_informative() -> None:
    raised = torch.zeros(2, 12, dtype=torch.bool)
    expected = [False] * 4 + [True] * 4 + [False] * 4
    assert informative_frames(raised, "thirds").tolist() == [expected, expected]


def test_raised_calls_informative_what_is_raised() -> None:
    raised = torch.rand(3, 12, generator=generator()) < 0.5
    assert torch.equal(informative_frames(raised, "raised"), raised)


def test_the_shuffle_moves_outer_frames_within_their_third_and_no_other() -> None:
    informative = informative_frames(torch.zeros(50, 12, dtype=torch.bool), "thirds")
    rows = shuffled_rows(informative, generator())
    assert torch.equal(rows[:, 4:8], torch.arange(4, 8).expand(50, 4))
    assert torch.equal(rows[:, :4].sort(dim=1).values, torch.arange(4).expand(50, 4))
    assert torch.equal(rows[:, 8:].sort(dim=1).values, torch.arange(8, 12).expand(50, 4))


def test_every_order_of_a_stretch_comes_about_equally_often() -> None:
    informative = torch.tensor([[False, False, False, True]]).expand(6000, 4)
    orders = [tuple(row) for row in shuffled_rows(informative, generator())[:, :3].tolist()]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert min(counts) > 850
    assert max(counts) < 1150


def test_frames_are_shuffled_whole_with_what_is_known_of_them() -> None:
    keypoints, known = numbered()
    known[:, 3, 20] = False
    informative = torch.zeros(5, 12, dtype=torch.bool)
    moved, flags = shuffled(keypoints, known, informative, generator())
    assert torch.equal(flags[:, :, 20], moved[:, :, 20, 0] != 3)
    assert (moved[..., :1] == moved[:, :, :1, :1]).all()


def test_a_camera_turns_as_the_skeletons_own_rotations_do() -> None:
    angles = torch.randn(7, 3, generator=generator())
    ours = rotations(angles).numpy()
    np.testing.assert_allclose(ours @ ours.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (7, 3, 3)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(ours), 1.0, atol=1e-6)
    yaw = rotations(torch.tensor([[0.0, 0.4, 0.0]])).numpy()[0]
    np.testing.assert_allclose(yaw, pitch_yaw_roll(np.array([0.0, 0.4, 0.0])), atol=1e-6)


def test_a_view_without_any_change_is_the_clip() -> None:
    keypoints, known = numbered()
    same, flags = augmented(keypoints, known, STILL, generator())
    torch.testing.assert_close(same, keypoints)
    assert torch.equal(flags, known)


def test_another_camera_keeps_lengths() -> None:
    keypoints = torch.randn(4, 6, 61, 3, generator=generator())
    known = torch.ones(4, 6, 61, dtype=torch.bool)
    turned, _ = augmented(keypoints, known, replace(STILL, turn_deg=20.0), generator())
    torch.testing.assert_close(turned.norm(dim=-1), keypoints.norm(dim=-1), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(turned, keypoints, atol=0.05)


def test_another_pace_never_goes_back_in_time() -> None:
    keypoints, known = numbered(200)
    moved, _ = time_warped(keypoints, known, 0.3, generator())
    times = moved[:, :, 0, 0]
    assert (times.diff(dim=1) >= 0).all()
    assert (times != torch.arange(12)).any(dim=1).float().mean() > 0.9


def test_a_lost_hand_is_lost_for_a_few_frames_and_keeps_its_wrist() -> None:
    known = torch.ones(500, 12, 61, dtype=torch.bool)
    flags = with_lost_hands(known, 0.4, generator())
    assert known.all()
    for hand in (LEFT_HAND, RIGHT_HAND):
        lost = ~flags[:, :, hand.start + 1]
        assert 0.3 < lost.any(dim=1).float().mean() < 0.5
        assert lost.sum(dim=1).max() == 4
        assert torch.equal(flags[:, :, hand.start + 1 : hand.stop].any(dim=-1), ~lost)
    assert flags[:, :, LEFT_HAND.start].all()
    assert flags[:, :, :19].all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_generator_gives_the_same_view(seed: int) -> None:
    keypoints, known = numbered()
    one, other = (augmented(keypoints, known, Views(), generator(seed)) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
