"""The geometry of an encoder as data."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import PRESETS, EncoderConfig, base

SMALL_INTEGERS = st.integers(1, 4)


@st.composite
def geometries(draw):
    """Geometries that divide, built up from the mask units."""
    num_stages = draw(st.integers(1, 5))
    q_pool = draw(st.integers(0, min(2, num_stages - 1)))
    q_stride = tuple(draw(st.integers(1, 2)) for _ in range(3))
    mask_unit = tuple(draw(st.integers(1, 2)) * stride**q_pool for stride in q_stride)
    patch_stride = (draw(SMALL_INTEGERS), *[draw(SMALL_INTEGERS)] * 2)
    num_frames = draw(SMALL_INTEGERS) * patch_stride[0] * mask_unit[0]
    image_size = draw(SMALL_INTEGERS) * math.lcm(patch_stride[1] * mask_unit[1], patch_stride[2] * mask_unit[2])
    return EncoderConfig(
        num_frames=num_frames,
        image_size=image_size,
        patch_kernel=tuple(draw(SMALL_INTEGERS) for _ in range(3)),
        patch_stride=patch_stride,
        embed_dim=draw(st.integers(1, 128)),
        stages=tuple(draw(SMALL_INTEGERS) for _ in range(num_stages)),
        mask_unit=mask_unit,
        q_stride=q_stride,
        q_pool=q_pool,
        local_stages=tuple(draw(st.booleans()) for _ in range(num_stages)),
        mlp_ratio=draw(st.floats(0.5, 8.0)),
        drop_path=draw(st.floats(0.0, 0.9)),
    )


@given(geometries())
def test_any_geometry_survives_json(config):
    assert EncoderConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@given(geometries())
def test_mask_units_tile_the_window(config):
    pixels_of_a_unit = math.prod(config.mask_unit) * math.prod(config.patch_stride)
    assert config.num_units * pixels_of_a_unit == math.prod(config.window_size)
    assert math.prod(config.token_grid) == config.num_units * math.prod(config.mask_unit)


@given(geometries())
def test_channels_double_from_stage_to_stage(config):
    channels = config.embed_dim
    for _ in config.stages[1:]:
        channels += channels
    assert config.dim == channels


@given(geometries(), st.integers(1, 1000))
def test_a_window_that_does_not_divide_is_refused(config, more):
    unit_px = config.patch_stride[1] * config.mask_unit[1]
    size = config.image_size + more
    other_px = config.patch_stride[2] * config.mask_unit[2]
    if size % unit_px == 0 and size % other_px == 0:
        assert dataclasses.replace(config, image_size=size).num_units > config.num_units
    else:
        with pytest.raises(ValueError, match=rf"{size} (rows|columns) of a window do not divide into mask units"):
            dataclasses.replace(config, image_size=size)


def test_base_is_the_published_network():
    config = base()
    assert config.window_size == (16, 224, 224)
    assert config.token_grid == (8, 56, 56)
    assert config.unit_grid == (8, 7, 7)
    assert config.num_units == 392
    assert config.dim == 768


@pytest.mark.parametrize(("name", "dim"), [("base", 768), ("small", 384), ("tiny", 192)])
def test_a_preset_has_the_size_it_says(name, dim):
    config = PRESETS[name]()
    assert config.dim == dim
    assert config.num_frames == 16
    assert EncoderConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_fields_left_out_of_json_have_the_values_of_the_published_network():
    assert EncoderConfig.from_json({}) == base()
    assert EncoderConfig.from_json({"image_size": 128}) == dataclasses.replace(base(), image_size=128)


def test_a_config_can_be_a_key():
    assert len({base(), EncoderConfig(), PRESETS["tiny"]()}) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_size": 200}, "200 rows of a window do not divide into mask units of 32"),
        ({"num_frames": 15}, "15 frames of a window do not divide into mask units of 2"),
        ({"mask_unit": (1, 8, 6)}, "224 columns of a window do not divide into mask units of 24"),
        ({"stages": (2, 3, 16)}, "3 stages but 4 entries in local_stages"),
        ({"q_pool": 4}, "q_pool is 4; 4 stages have 3 transitions"),
        ({"q_pool": -1}, "q_pool is -1"),
        ({"mask_unit": (1, 2, 2)}, r"a mask unit of \(1, 2, 2\) can't be pooled 2 times by \(1, 2, 2\)"),
        ({"image_size": 0}, "^image_size is 0; it must be more than 0$"),
        ({"patch_stride": (0, 4, 4)}, r"patch_stride is \(0, 4, 4\); it must be more than 0"),
        ({"stages": ()}, r"stages is \(\); it must be more than 0"),
        ({"num_heads": 5}, "96 channels do not divide into 5 heads"),
        ({"patch_stride": [2, 4]}, r"^patch_stride\.2: Field required$"),
        ({"image_size": "wide"}, r"^image_size: .*valid integer[^;]*$"),
        ({"image_size": None}, r"^image_size: .*valid integer[^;]*$"),
        ({"image_size": 224.5}, r"^image_size: .*valid integer[^;]*$"),
        ({"mask_unit": [[1], 8, 8]}, r"^mask_unit\.0: .*valid integer"),
        ({"heads": 3, "width": 9}, r"unknown encoder fields \['heads', 'width'\]; known are .*'num_heads'"),
    ],
)
def test_what_is_no_geometry_is_refused_with_the_number_seen(changes, said):
    with pytest.raises(ValueError, match=said):
        EncoderConfig.from_json({**base().to_json(), **changes})
