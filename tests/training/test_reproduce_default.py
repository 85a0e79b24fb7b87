from pathlib import Path

import pytest
import torch

from training.reproduce_default import Step, done, split, steps


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


def test_what_is_held_out_is_not_re_enacted(folders: tuple[Path, Path], tmp_path: Path) -> None:
    train, _ = split(*folders)
    motions = [clip.landmarks for clip in train]
    todo = {step.name: str(step) for step in steps(tmp_path, tmp_path, motions, share=0.5)}
    assert list(todo) == [
        "train",
        "held_out",
        "contrast",
        "calibrate contrast",
        "draw",
        "hands",
        "behind",
        "parts",
        "deeper",
        "calibrate deeper",
        "export",
    ]
    for name, words in {
        "contrast": ("--minutes 3.25", "--draw-s 85", "--pairs 2250", f"--validation {tmp_path / 'held_out'}"),
        "draw": ("--pairs 520",),
        "hands": ("--minutes 14 ", f"--start-from {tmp_path / 'calibrated.pt'}"),
        "parts": (f"--start-from {tmp_path / 'behind.pt'}",),
        "deeper": (f"--start-from {tmp_path / 'parts.pt'}", "encoder.hand_stages=2,7", "--minutes 4.5"),
        "calibrate contrast": (str(tmp_path / "train.csv"),),
        "calibrate deeper": (str(tmp_path / "held_out.csv"),),
        "export": ("--precision fp16-stored",),
    }.items():
        for word in words:
            assert word in todo[name], name
    for name in ("contrast", "draw", "deeper"):
        assert "one__a" in todo[name]
        assert "two__" not in todo[name]


def test_a_small_share_draws_long_enough_to_begin(tmp_path: Path) -> None:
    contrast = next(step for step in steps(tmp_path, tmp_path, [], share=0.001) if step.name == "contrast")
    assert "--draw-s 30" in str(contrast)
    assert "--pairs 5" in str(contrast)


def test_learning_that_is_over_is_not_done_again(tmp_path: Path) -> None:
    learn, export = Step("contrast", ("true",)), Step("export", ("true",))
    assert not done(learn, tmp_path)
    torch.save({"contrast": {}}, tmp_path / "contrast.pt")
    assert not done(learn, tmp_path), "it goes on"
    torch.save({"model": {}}, tmp_path / "contrast.pt")
    assert done(learn, tmp_path)
    assert not done(export, tmp_path)
