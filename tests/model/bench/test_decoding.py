"""The decode benchmark measures something that can be true."""

import pytest

from model.bench.decoding import measure_decode


@pytest.mark.parametrize("codec", ["libx264", "libvpx"])
def test_the_cost_of_decoding_is_part_of_the_whole(codec):
    cost = measure_decode(codec, width=160, height=90, seconds=1, repeats=2)
    assert 0 < cost.decode_ms < cost.total_ms
    assert 0 < cost.resize_share < 1
