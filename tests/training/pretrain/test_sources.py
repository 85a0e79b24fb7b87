import pytest

from training.data.windows.sources import ArraySource, MixedSource
from training.errors import ConfigError
from training.pretrain.config import Data
from training.pretrain.sources import Spec, open_sources, parse


def test_a_source_is_a_kind_a_place_and_a_weight() -> None:
    assert parse("synthetic") == Spec("synthetic", "", 1.0)
    assert parse("synthetic:/data/bodies@2.5") == Spec("synthetic", "/data/bodies", 2.5)


@pytest.mark.parametrize("text", ["generated:2@", "generated:2@-1", "generated:2@much", "generated:2@nan"])
def test_a_weight_is_a_number_above_zero(text: str) -> None:
    if text.endswith("@"):
        assert parse(text).weight == 1
        return
    with pytest.raises(ConfigError, match="a weight is a number above 0"):
        parse(text)


def test_several_sources_are_mixed_and_one_is_taken_as_it_is() -> None:
    assert isinstance(open_sources(Data(sources=("generated:2",), frame_px=32), 0), ArraySource)
    mixed = open_sources(Data(sources=("generated:2@3", "generated:1@1"), frame_px=32), 0)
    assert isinstance(mixed, MixedSource)
    assert mixed.bounds.tolist() == [0.75, 1.0]
