from dataclasses import replace

import numpy as np
import torch

from model.network.pixels import normalise
from training.contrastive.augment import (
    BLOCK_PX,
    AugmentConfig,
    Crops,
    augment,
    compress_blocks,
    cosine_basis,
    crop_pictures,
    reduce_detail,
    sample_crops,
)

NOTHING = AugmentConfig((1.0, 1.0), 1.0, 0.0, 0.0, 0.0, 0.0, (8, 9), 0.0, 0.0, 0.0, 0.0)


def frames(num: int = 4, size_px: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(num, 3, 8, 8, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (size_px, size_px), mode="bilinear")
    return (255 * fine).byte().permute(0, 2, 3, 1)[:, None].repeat(1, 2, 1, 1, 1)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_without_any_change_pictures_stay() -> None:
    crops = Crops(torch.ones(2, 2), torch.zeros(2, 2))
    clips = torch.tensor([0, 0, 1, 1])
    assert torch.allclose(augment(frames(), crops, clips, NOTHING, generator()), normalise(frames()), atol=1e-2)


def test_squares_go_where_their_pixels_go() -> None:
    picture = torch.zeros(1, 1, 64, 64)
    picture[0, 0, 36:40, 28:32] = 1.0
    square = torch.tensor([[[30 / 64, 38 / 64, 0.2], [0.5, 0.5, 0.1]]])
    for seed in range(10):
        crops = sample_crops(1, AugmentConfig(crop_area=(0.7, 1.6)), torch.Generator().manual_seed(seed))
        clips = torch.zeros(1, dtype=torch.long)
        shown = crop_pictures(picture, crops, clips)[0, 0]
        rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
        middle = [float((shown * axis).sum() / shown.sum() / 64) for axis in (columns, rows)]
        found = crops.transform(square, clips)[0, 0].tolist()
        assert np.allclose(middle, found[:2], atol=0.02)
        assert np.isclose(found[2] / 0.2, (float(shown.sum()) / 16) ** 0.5, rtol=0.15)


def test_all_windows_of_a_clip_are_changed_alike_and_clips_are_not() -> None:
    same = frames(1).repeat(4, 1, 1, 1, 1)
    config = AugmentConfig(noise=0.0)
    clips = torch.tensor([0, 0, 1, 1])
    crops = sample_crops(2, config, generator())
    shown = augment(same, crops, clips, config, generator())
    assert torch.allclose(shown[0], shown[1], atol=0.2)
    assert (shown[0] - shown[2]).abs().mean() > 0.1
    again = augment(same, sample_crops(2, config, generator()), clips, config, generator())
    assert torch.isfinite(again).all()


def test_the_second_picture_of_some_windows_is_the_first_once_more() -> None:
    many = frames(1).repeat(40, 1, 1, 1, 1)
    many[:, 1] = 255 - many[:, 0]
    crops, clips = Crops(torch.ones(40, 2), torch.zeros(40, 2)), torch.arange(40)
    for share in (0.0, 0.5, 1.0):
        shown = augment(many, crops, clips, replace(NOTHING, repeated=share, noise=0.05), generator())
        same = (shown[:, :, 0] == shown[:, :, 1]).flatten(1).all(dim=1)
        assert 40 * share - 12 <= int(same.sum()) <= 40 * share + 12
        assert int(same.sum()) == 40 * share or share == 0.5
        assert (shown - normalise(many))[:, :, 0].abs().mean() < 0.3, "the first one stays"


def test_cosines_are_orthonormal_and_fine_steps_change_nothing() -> None:
    basis = cosine_basis(torch.device("cpu"))
    assert torch.allclose(basis @ basis.T, torch.eye(BLOCK_PX), atol=1e-6)
    pictures = frames(2)[:, 0].permute(0, 3, 1, 2).float() / 255
    assert torch.allclose(compress_blocks(pictures, torch.full((2,), 1e-4)), pictures, atol=1e-3)
    coarse = compress_blocks(pictures, torch.tensor([0.05, 0.8]))
    away = (coarse - pictures).abs().mean(dim=(1, 2, 3))
    assert 0 < away[0] < away[1] < 0.2


def test_less_detail_is_for_those_that_are_chosen() -> None:
    pictures = torch.rand(4, 6, 64, 64, generator=generator())
    chosen = torch.tensor([True, False, True, False])
    shown = reduce_detail(pictures.clone(), chosen, (12, 20), generator())
    same = (shown == pictures).flatten(1).all(dim=1)
    assert same.tolist() == [False, True, False, True]
    assert shown[0].std() < 0.5 * pictures[0].std()
