from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.config import EncoderConfig, compact
from model.network.checkpoint import untrained
from model.network.export import export
from model.network.hands import crop, token_places
from model.network.pixels import standardise
from model.network.signrep import SignRep
from model.runtime.onnx_encoder import OnnxEncoder


def looking_closer() -> EncoderConfig:
    return EncoderConfig(
        num_frames=2,
        image_size=64,
        patch_stride=(2, 8, 8),
        stem=(4, 6),
        embed_dim=8,
        stages=(1, 1),
        q_pool=1,
        local_stages=(True, False),
        mask_unit=(1, 4, 4),
        hand_px=16,
        hand_stem=(4,),
        hand_stages=(1, 1),
    )


@pytest.fixture
def network() -> SignRep:
    torch.manual_seed(0)
    return SignRep(looking_closer()).eval()


def frames_with(rows: slice, columns: slice) -> torch.Tensor:
    """[1, 3, 2, 64, 64] dark, with noise in one place."""
    windows = torch.zeros(1, 3, 2, 64, 64)
    part = windows[:, :, :, rows, columns]
    part += torch.randn(part.shape, generator=torch.Generator().manual_seed(1))
    return windows


def test_a_square_is_cut_around_its_place_and_the_edge_of_the_frame_goes_on() -> None:
    windows = torch.arange(2 * 3 * 2 * 20 * 20.0).reshape(2, 3, 2, 20, 20)
    found = crop(windows, torch.tensor([[0.5, 0.5, 0.4], [1.0, 0.0, 0.4]]), 8)
    assert torch.allclose(found[0], windows[0, :, :, 6:14, 6:14], atol=1e-3)
    assert torch.allclose(found[1, ..., 4:, :4], windows[1, :, :, 0:4, 16:20], atol=1e-3)
    assert torch.allclose(found[1, ..., :4, 3], windows[1, :, :, :1, 19], atol=1e-3)


def test_near_and_far_hands_are_seen_at_one_size() -> None:
    coarse = torch.rand(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    near, far = (F.interpolate(coarse, (size, size), mode="bilinear")[None] for size in (64, 32))
    square = torch.tensor([[0.5, 0.5, 0.5]])
    assert float((crop(near, square, 32) - crop(far, square, 32)).abs().max()) < 0.05
    larger = torch.tensor([[0.5, 0.5, 1.0]])
    assert float((crop(near, larger, 32) - far).abs().max()) < 0.05


def test_bytes_are_standardised_where_they_are_cut() -> None:
    windows = torch.randint(0, 256, (1, 3, 2, 16, 16), dtype=torch.uint8)
    square = torch.tensor([[0.4, 0.6, 0.5]])
    assert torch.equal(crop(windows, square, 8), crop(standardise(windows, 1), square, 8))


def test_tokens_know_where_they_are(network: SignRep) -> None:
    places = token_places(network.config)  # 8 x 8 patches of 8 pixels in 4 units, pooled once
    assert places.shape == (4, 4, 2)
    grid = {(round(float(x) * 64), round(float(y) * 64)) for x, y in places.flatten(0, 1)}
    assert grid == {(x, y) for x in (8, 24, 40, 56) for y in (8, 24, 40, 56)}
    assert (places[1] >= torch.tensor([0.5, 0.0])).all(), "the second unit is the one on the upper right"
    assert (places[1, :, 1] < 0.5).all()


def test_only_what_is_near_a_told_place_is_seen_closely(network: SignRep) -> None:
    told = torch.tensor([[[0.2, 0.2, 0.25], [0.8, 0.8, 0.25]]])
    blank, near, far = (
        torch.zeros(1, 3, 2, 64, 64),
        frames_with(slice(8, 16), slice(8, 16)),
        frames_with(slice(30, 34), slice(30, 34)),
    )
    hands = network.hands
    assert hands is not None
    tokens = network.backbone(blank)[-1]
    of_blank, of_near, of_far = (hands(windows, tokens, None, told)[0] for windows in (blank, near, far))
    assert not torch.allclose(of_near[:, :16], of_blank[:, :16]), "the left hand"
    assert torch.allclose(of_near[:, 16:32], of_blank[:, 16:32]), "the right hand"
    assert torch.allclose(of_far, of_blank)


def test_a_left_hand_looks_like_a_right_hand_in_the_mirror(network: SignRep) -> None:
    windows = frames_with(slice(20, 44), slice(4, 30))
    mirrored = windows.flip(-1)
    hands = network.hands
    assert hands is not None
    tokens = network.backbone(windows)[-1]
    told = torch.tensor([[[0.25, 0.5, 0.3], [0.75, 0.5, 0.3]]])
    left = hands(windows, tokens, None, told)[0][:, :16]
    right = hands(mirrored, tokens, None, told)[0][:, 16:32]
    assert torch.allclose(left, right, atol=1e-6)


def test_nothing_told_is_the_network_s_own_belief(network: SignRep) -> None:
    windows = torch.randn(3, 3, 2, 64, 64)
    alone = network(windows)
    assert alone.hands is not None
    assert torch.equal(network(windows, None, torch.full((3, 2, 3), torch.nan)).features, alone.features)
    believed = torch.cat([alone.hands.places, alone.hands.side[:, None, None].expand(-1, 2, 1)], dim=2)
    assert torch.allclose(network(windows, None, believed).features, alone.features)
    for elsewhere in (believed * torch.tensor([0.5, 0.5, 1.0]), believed * torch.tensor([1.0, 1.0, 0.5])):
        assert not torch.allclose(network(windows, None, elsewhere).features, alone.features)


def test_hands_are_found_among_the_visible_units_alone(network: SignRep) -> None:
    visible = torch.tensor([[3, 1]])
    found = network(torch.randn(1, 3, 2, 64, 64), visible).hands
    assert found is not None
    assert found.tokens.shape == (1, 8, 2)
    assert (found.places[..., 0] >= 0.5).all(), "units 1 and 3 are the right half"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hand_px": 80}, "hand_px is 80; a frame has 64 pixels"),
        ({"hand_stages": (1,)}, "hand_stages has 1 entries; stages has 2"),
        ({"hand_px": 18}, "of the hands' network: 18 rows of a window do not divide"),
        ({"stem": (4, 6, 8)}, "makes square patches of a multiple of 16 pixels"),
    ],
)
def test_hands_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(looking_closer(), **change)  # type: ignore[arg-type]


def test_the_geometry_survives_json() -> None:
    assert EncoderConfig.from_json(compact().to_json()) == compact()


def test_the_exported_network_looks_where_the_network_looks(tmp_path: Path) -> None:
    report = export(untrained(looking_closer(), "closer"), tmp_path / "closer.onnx")  # compares windows, or refuses
    assert set(report.max_relative_error) >= {"1 random", "3 random, half of the mask units"}
    windows = np.random.default_rng(0).integers(0, 256, (5, 2, 64, 64, 3), dtype=np.uint8)
    together = OnnxEncoder(tmp_path / "closer.onnx").encode(windows).embedding
    alone = np.concatenate([OnnxEncoder(tmp_path / "closer.onnx").encode(window[None]).embedding for window in windows])
    assert np.allclose(together, alone, atol=1e-5)
