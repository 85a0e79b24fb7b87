import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import EncoderConfig, base, compact, small, tiny
from model.network.hiera import ConvStem, DropPath, Hiera, attend, max_pool, pooling_order
from model.network.pixels import normalise
from model.network.signrep import SignRep


@pytest.fixture(scope="module")
def network() -> SignRep:
    torch.manual_seed(0)
    return SignRep(tiny()).eval()


@pytest.fixture(scope="module")
def windows() -> torch.Tensor:
    return torch.randint(
        0, 256, (2, *tiny().window_size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize(("config", "millions"), [(base(), 51.48), (small(), 7.09), (compact(), 3.13), (tiny(), 0.89)])
def test_the_presets_have_the_size_they_say(config: EncoderConfig, millions: float) -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in SignRep(config).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


def test_tokens_that_are_pooled_together_are_neighbours_in_the_frame() -> None:
    _, height, width = base().token_grid
    for group_size in (4, 16, 64):  # after one pooling, after two, the whole unit
        groups = pooling_order(base()).reshape(-1, group_size)
        time, row, column = groups // (height * width), groups // width % height, groups % width
        side = int(group_size**0.5)
        for axis, extent in ((time, 1), (row, side), (column, side)):
            assert ((axis.max(1).values - axis.min(1).values) == extent - 1).all()
            assert (axis.min(1).values % extent == 0).all()


def test_every_token_has_one_place_and_units_are_row_major() -> None:
    order = pooling_order(base())
    assert torch.equal(order.flatten().sort().values, torch.arange(8 * 56 * 56))
    first_tokens = order[:, 0].reshape(8, 7, 7)
    assert first_tokens[0, 0, 1] == 8
    assert first_tokens[0, 1, 0] == 8 * 56
    assert first_tokens[1, 0, 0] == 56 * 56


def test_max_pool_agrees_with_a_loop() -> None:
    x = torch.randn(2, 3, 8, 5)
    expected = torch.stack([x[:, :, i : i + 4].max(dim=2).values for i in (0, 4)], dim=2)
    assert torch.equal(max_pool(x, 4), expected)


@torch.no_grad()
def test_maps_have_the_geometry_of_their_stage(network: SignRep, windows: torch.Tensor) -> None:
    maps = network(normalise(windows), torch.arange(30).expand(2, -1)).maps
    assert [list(m.shape) for m in maps] == [[2, 30, 64, 24], [2, 30, 16, 48], [2, 30, 4, 96], [2, 30, 4, 192]]


def stemmed() -> EncoderConfig:
    """Eight units of 2 x 16 x 16 pixels, four tokens each."""
    return EncoderConfig(
        num_frames=4,
        image_size=32,
        patch_stride=(2, 8, 8),
        stem=(4, 6),
        embed_dim=8,
        stages=(1, 1),
        local_stages=(True, False),
        mask_unit=(1, 2, 2),
        q_pool=1,
    )


@torch.no_grad()
def test_a_stem_sees_only_the_units_that_are_visible() -> None:
    torch.manual_seed(0)
    network = SignRep(stemmed()).eval()
    windows = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8)
    visible = torch.tensor([[0, 5], [7, 2]])
    seen = network(normalise(windows), visible)
    shown = torch.zeros(2, 8, dtype=torch.bool).scatter(1, visible, True).reshape(2, 2, 2, 2)
    pixels = shown.repeat_interleave(2, 1).repeat_interleave(16, 2).repeat_interleave(16, 3)[..., None]
    changed = network(normalise(torch.where(pixels, windows, 255 - windows)), visible)
    assert torch.allclose(seen.features, changed.features, atol=1e-6)
    touched = network(normalise(torch.where(pixels, 255 - windows, windows)), visible)
    assert not torch.allclose(seen.features, touched.features, atol=1e-3)


@torch.no_grad()
def test_naming_every_unit_of_a_stemmed_window_is_the_same_as_naming_none() -> None:
    torch.manual_seed(0)
    network = SignRep(stemmed()).eval()
    windows = normalise(torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8))
    shuffled = torch.stack([torch.randperm(8), torch.randperm(8)])
    assert torch.allclose(network(windows).features, network(windows, shuffled).features, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("config", [stemmed(), tiny()])
def test_bytes_are_normalised_within(config: EncoderConfig) -> None:
    torch.manual_seed(0)
    network = SignRep(config).eval()
    windows = torch.randint(0, 256, (1, *config.window_size, 3), dtype=torch.uint8)
    visible = torch.tensor([[1, 3]])
    for units in (None, visible):
        ours = network(windows.movedim(-1, 1), units).features
        assert torch.allclose(ours, network(normalise(windows), units).features, atol=1e-6)


def test_the_first_layer_of_a_stem_does_what_the_others_leave() -> None:
    config = EncoderConfig(stem=(8,), patch_stride=(2, 8, 8), mask_unit=(1, 4, 4), num_frames=2)
    strides = [layer.stride for layer in ConvStem(config).layers]
    assert strides == [(4, 4), (2, 2)]
    assert ConvStem(config)(torch.zeros(1, 3, 2, 224, 224)).shape == (1, 28 * 28, 96)


def test_a_stem_that_makes_patches_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a multiple of 8 pixels"):
        EncoderConfig(stem=(8, 8), patch_stride=(2, 4, 4), mask_unit=(1, 8, 8))


def test_a_refinement_begins_as_doing_nothing() -> None:
    stem = Hiera(stemmed()).patch_embed
    assert isinstance(stem, ConvStem)
    x = torch.randn(1, 6, 4, 4)
    assert torch.equal(stem.refine[0](x), x)


def test_few_tokens_attend_as_torch_s_own_attention_does() -> None:
    q, k, v = torch.randn(3, 2, 4, 5, 8).unbind()
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(attend(q, k, v), expected, atol=1e-6)


@torch.no_grad()
def test_pixels_of_hidden_units_have_no_influence(network: SignRep, windows: torch.Tensor) -> None:
    visible = torch.tensor([[0, 5, 17], [3, 4, 100]])
    hidden = torch.ones(2, 128, dtype=torch.bool)
    hidden[torch.arange(2)[:, None], visible] = False
    pixels = hidden.reshape(2, 8, 4, 4).repeat_interleave(2, 1).repeat_interleave(32, 2).repeat_interleave(32, 3)
    changed = torch.where(pixels[..., None], 255 - windows, windows)
    same = torch.allclose(
        network(normalise(windows), visible).features, network(normalise(changed), visible).features, atol=1e-6
    )
    assert same
    assert not torch.allclose(network(normalise(windows)).features, network(normalise(changed)).features, atol=1e-3)


@torch.no_grad()
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 128))
def test_the_order_in_which_units_are_listed_does_not_matter(
    network: SignRep, windows: torch.Tensor, seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    visible = torch.from_numpy(np.stack([rng.permutation(128)[:count] for _ in range(2)]))
    listed = network(normalise(windows), visible).features
    assert torch.allclose(listed, network(normalise(windows), visible.sort(dim=1).values).features, atol=1e-5)


def test_normalise_is_the_published_preprocessing() -> None:
    pixel = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(1, 1, 1, 1, 3)
    expected = [(0 / 255 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (255 / 255 - 0.406) / 0.225]
    assert normalise(pixel).flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_drop_path_keeps_the_mean_while_training_and_everything_otherwise() -> None:
    torch.manual_seed(0)
    layer, x = DropPath(0.25), torch.ones(20_000, 1, 1)
    dropped = layer(x)
    assert sorted(dropped.unique().tolist()) == pytest.approx([0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(layer.eval()(x), x)


def test_gradients_reach_every_parameter(windows: torch.Tensor) -> None:
    network = SignRep(tiny())
    output = network(normalise(windows), torch.arange(40).expand(2, -1))
    (output.features.square().sum() + output.activity_logits.sum()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_local_attention_does_not_look_beyond_its_unit() -> None:
    torch.manual_seed(0)
    backbone = Hiera(tiny()).eval()
    x = torch.randn(1, 128, 64, 24)
    changed = x.clone()
    changed[:, 1:] += 1
    with torch.no_grad():
        first = [block(x)[:, 0] for block in backbone.blocks[:1]]
        second = [block(changed)[:, 0] for block in backbone.blocks[:1]]
    assert torch.allclose(first[0], second[0], atol=1e-6)
