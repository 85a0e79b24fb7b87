import numpy as np
import pytest
import torch

from training.contrastive.hand_crops import HandCrops
from training.contrastive.hand_reader import hand_loss


def test_the_loss_is_the_cosine_of_bones_and_the_distance_of_keypoints() -> None:
    rng = np.random.default_rng(0)
    bones, true = rng.normal(size=(2, 3, 20, 3)).astype(np.float32)
    points, places = rng.normal(size=(2, 3, 21, 2)).astype(np.float32)
    cosines = [
        b @ t / np.linalg.norm(b) / np.linalg.norm(t)
        for b, t in zip(bones.reshape(-1, 3), true.reshape(-1, 3), strict=True)
    ]
    away = np.abs(points - places)
    smooth = np.where(away < 0.05, away**2 / 0.1, away - 0.025).mean()
    crops = HandCrops(torch.zeros(3, 3, 2, 8, 8), torch.tensor(true), torch.tensor(places))
    loss, cosine = hand_loss(torch.tensor(bones), torch.tensor(points), crops)
    assert float(cosine) == pytest.approx(np.mean(cosines), abs=1e-5)
    assert float(loss) == pytest.approx(1 - np.mean(cosines) + 2 * smooth, rel=1e-5)
