"""Settings of a run."""

from pathlib import Path

import pytest

from training.errors import ConfigError, ResumeError
from training.fit.overrides import as_plain_data, from_plain_data, override, read_preset
from training.fit.resume import require_same_settings
from training.sl_slr.config import PRESETS, SlSlrConfig


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_itself_and_comes_back_from_its_data(name: str) -> None:
    config = read_preset(PRESETS, name)
    assert config.preset == name
    assert from_plain_data(SlSlrConfig, as_plain_data(config)) == config


def test_the_papers_preset_is_the_papers() -> None:
    config = read_preset(PRESETS, "paper")
    assert config.method == "sl-slr"
    assert config.network.projection == 128
    assert config.network.kept == 0
    assert config.optimiser.learning_rate == 1e-4
    assert (config.views.shuffle, config.views.informative) == (True, "thirds")
    assert config.losses.on_embedding == 0


def test_a_preset_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="preset is 'huge'; allowed are paper, table, serving, debug"):
        read_preset(PRESETS, "huge")


def test_fields_of_groups_are_set_by_name() -> None:
    config = override(
        read_preset(PRESETS, "debug"), ["data.sources=lexicon:2x2,poses:here", "views.shuffle=false", "steps=7"]
    )
    assert config.data.sources == ("lexicon:2x2", "poses:here")
    assert not config.views.shuffle
    assert config.steps == 7


def test_an_unknown_key_lists_all() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'view.shuffle'; valid are .*views\.shuffle"):
        override(SlSlrConfig(), ["view.shuffle=1"])


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("steps", "sets nothing"),
        ("method=swav", "sl-slr"),
        ("steps=0", "at least 1"),
        ("minutes=0", "more than 0"),
        ("batch_size=2", "at least 4"),
        ("data.fps=30", "above 0 up to 25"),
        ("data.num_frames=2", "at least 4"),
        ("data.stride_frames=17", "from 1 to data.num_frames"),
        ("data.sources=", "at least one source"),
        ("network.heads=5", "a divisor of network.width"),
        ("network.kept=17", "from 0 to data.num_frames"),
        ("network.kept_share=1", "between 0 and 1"),
        ("network.metric=true", "true only with network.kept"),
        ("losses.temperature=0", "more than 0"),
        ("losses.momentum=1", "at least 0 and below 1"),
        ("views.informative=all", "thirds"),
    ],
)
def test_a_value_that_cannot_be_is_named(setting: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        override(SlSlrConfig(), [setting])
    assert setting.partition("=")[0] in str(caught.value)


def test_mocos_queue_is_whole_batches() -> None:
    with pytest.raises(ConfigError, match=r"losses.queue is 1000; it must be a multiple of batch_size, 128"):
        override(SlSlrConfig(), ["method=moco", "losses.queue=1000"])


def test_a_changed_setting_is_named_and_a_changed_place_is_not() -> None:
    config = SlSlrConfig()
    require_same_settings(
        Path("last.pt"), as_plain_data(config), override(config, ["output=elsewhere", "minutes=3", "log_every=1"])
    )
    with pytest.raises(ResumeError, match=r"views.noise was 0.004 and is 0.1"):
        require_same_settings(Path("last.pt"), as_plain_data(config), override(config, ["views.noise=0.1"]))


def test_settings_of_another_version_are_refused() -> None:
    with pytest.raises(ConfigError, match="not of this version"):
        from_plain_data(SlSlrConfig, {"steps": "many"})
