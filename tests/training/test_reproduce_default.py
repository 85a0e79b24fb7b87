from pathlib import Path

import pytest

from training.pretrain.config import override, small
from training.reproduce_default import SETTINGS, TOGETHER, Minutes, shortened, split, steps


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two sources that have the sign `two` in common."""
    for source, signs in (("rth", ("one__a", "two__b")), ("aslearn", ("two__c", "three__d"))):
        for kind, name in (("clips", f"{source}"), ("poses", f"asl_{source}")):
            (tmp_path / kind / name).mkdir(parents=True)
        for sign in signs:
            (tmp_path / "clips" / source / f"{sign}.mp4").touch()
    return tmp_path / "clips", tmp_path / "poses"


def test_signs_that_both_sources_have_are_held_out(folders: tuple[Path, Path]) -> None:
    train, held_out = split(*folders)
    assert sorted(clip.video_id for clip in train) == ["aslearn/three__d", "rth/one__a"]
    assert sorted(clip.video_id for clip in held_out) == ["aslearn/two__c", "rth/two__b"]
    assert train[0].landmarks == folders[1] / "asl_rth" / "one__a.mp4.npz"


def test_the_settings_are_settings_of_a_run() -> None:
    config = override(small(), (*SETTINGS, *TOGETHER))
    assert (config.encoder.num_frames, config.num_visible, len(config.losses.weights)) == (
        2,
        config.encoder.num_units,
        9,
    )


def test_what_is_held_out_is_not_re_enacted(folders: tuple[Path, Path], tmp_path: Path) -> None:
    train, _ = split(*folders)
    todo = {
        step.name: str(step)
        for step in steps(tmp_path, tmp_path, [clip.landmarks for clip in train], shortened(Minutes(60, 40, 20), 4))
    }
    assert list(todo) == [
        *("train", "held_out", "rendered", "cut train", "cut held_out", "cut rendered"),
        *("first", "closeup", "together", "metric", "export"),
    ]
    assert "one__a" in todo["rendered"]
    assert "two__" not in todo["rendered"]
    for name, minutes in (("first", "minutes=15"), ("closeup", "--minutes 10"), ("together", "minutes=5")):
        assert minutes in todo[name]
    assert f"start_from={tmp_path / 'closeup.pt'}" in todo["together"]
