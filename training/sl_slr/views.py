"""Augmentation of sequences: another camera, errors of a pose estimator, and the shuffle of SL-SLR.

All randomness is of the generator that is passed in. Functions take whole batches: [B, T, 61, 3] keypoints in metres
and [B, T, 61] flags of which are known.
"""

import math

import torch
from torch import Tensor

from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND
from training.sl_slr.config import Informative, Views

View = tuple[Tensor, Tensor]
"""Keypoints and which of them are known."""
LONGEST_LOSS = 4
"""Most frames for which a hand is lost."""


def augmented(keypoints: Tensor, known: Tensor, views: Views, generator: torch.Generator) -> View:
    """As seen by another camera and estimator, at another pace."""
    keypoints, known = time_warped(keypoints, known, views.pace, generator)
    num = len(keypoints)
    angles = math.radians(views.turn_deg) * torch.randn(num, 3, generator=generator) / torch.tensor([3.0, 1.0, 6.0])
    sizes = torch.exp(views.size * torch.randn(num, 1, 1, 3, generator=generator))
    common = torch.exp(views.size * torch.randn(num, 1, 1, 1, generator=generator))
    noise = torch.randn(keypoints.shape, generator=generator) * views.noise * torch.tensor([1.0, 1.0, 2.0])
    turned = keypoints @ rotations(angles).transpose(1, 2)[:, None]
    return turned * sizes * common + noise, with_lost_hands(known, views.hand_lost, generator)


def time_warped(keypoints: Tensor, known: Tensor, pace: float, generator: torch.Generator) -> View:
    """Faster or slower, earlier or later; the nearest frame is taken, the first and last are held."""
    num, num_frames = known.shape[:2]
    draws = torch.randn(num, 2, generator=generator).clamp(-2.0, 2.0)
    times = torch.arange(num_frames) - (num_frames - 1) / 2
    speed, shift = torch.exp(pace * draws[:, :1]), 0.5 * pace * num_frames * draws[:, 1:]
    rows = (speed * times + shift + (num_frames - 1) / 2).round().long().clamp(0, num_frames - 1)
    return take_frames(keypoints, known, rows)


def take_frames(keypoints: Tensor, known: Tensor, rows: Tensor) -> View:
    """Frames in another order or number: rows is [B, T]."""
    items = torch.arange(len(rows))[:, None]
    return keypoints[items, rows], known[items, rows]


def rotations(angles: Tensor) -> Tensor:
    """Rotation matrices [B, 3, 3] that pitch, then yaw, then roll by the angles [B, 3], radians."""
    pitch, yaw, roll = (_about(axis, angles[:, axis]) for axis in range(3))
    return roll @ yaw @ pitch


def _about(axis: int, angle: Tensor) -> Tensor:
    first, second = [other for other in range(3) if other != axis]
    turn = torch.eye(3).repeat(len(angle), 1, 1)
    sign = -1.0 if axis == 1 else 1.0
    turn[:, first, first] = turn[:, second, second] = torch.cos(angle)
    turn[:, second, first] = sign * torch.sin(angle)
    turn[:, first, second] = -sign * torch.sin(angle)
    return turn


def with_lost_hands(known: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Flags with each hand lost, with a probability, for one to four frames at a random place; its wrist stays."""
    num, num_frames = known.shape[:2]
    flags = known.clone()
    for hand in (LEFT_HAND, RIGHT_HAND):
        lost = torch.rand(num, 1, generator=generator) < probability
        start = torch.randint(0, num_frames, (num, 1), generator=generator)
        length = torch.randint(1, LONGEST_LOSS + 1, (num, 1), generator=generator)
        times = torch.arange(num_frames)
        gone = lost & (times >= start) & (times < start + length)
        flags[:, :, hand.start + 1 : hand.stop] &= ~gone[..., None]
    return flags


# ---------------------------------------------------------------------------------------------------------- the shuffle


def informative_frames(raised: Tensor, kind: Informative) -> Tensor:
    """Which frames are informative: [B, T].

    Args:
        raised: [B, T] a hand is raised.
        kind: `thirds`: the middle third of the sequence (the paper); `raised`: those with a raised hand.
    """
    if kind == "raised":
        return raised
    num_frames = raised.shape[1]
    times = torch.arange(num_frames)
    middle = (3 * times >= num_frames) & (3 * times < 2 * num_frames)
    return middle.expand(raised.shape)


def shuffled(keypoints: Tensor, known: Tensor, informative: Tensor, generator: torch.Generator) -> View:
    """The uninformative frames shuffled, each run of them within itself; the others stay where they are.

    Args:
        keypoints: [B, T, 61, 3].
        known: [B, T, 61].
        informative: [B, T].
        generator: of the order.
    """
    return take_frames(keypoints, known, shuffled_rows(informative, generator))


def shuffled_rows(informative: Tensor, generator: torch.Generator) -> Tensor:
    """[B, T] which frame comes at every position."""
    num_frames = informative.shape[1]
    changes = informative[:, 1:] != informative[:, :-1]
    run = torch.nn.functional.pad(changes.long().cumsum(dim=1), (1, 0))
    in_time = torch.arange(num_frames) / num_frames
    at_random = torch.rand(informative.shape, generator=generator)
    # Runs follow each other in time, so ordering by run first leaves every one in its place.
    return (run + torch.where(informative, in_time, at_random).double()).argsort(dim=1)
