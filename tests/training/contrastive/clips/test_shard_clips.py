from pathlib import Path

import numpy as np

from tests.training.contrastive.made_up import write_shard
from training.contrastive.clips.shard_clips import MAX_WINDOWS, count_windows, read_clips, window_starts
from training.data.priors.standard_body import read_body


def test_every_clip_comes_as_filmed_and_mirrored(tmp_path: Path) -> None:
    folder = write_shard(tmp_path / "shards", {"ann/HOUSE__1": 50, "ben/TREE__2": 90})
    clips = list(read_clips(folder, read_body(folder / "body.json"), threads=2))
    names = [(clip.movement.name, clip.movement.mirrored, clip.gloss, clip.signer) for clip in clips]
    assert names == [
        ("HOUSE__1", False, "HOUSE", "ann"),
        ("HOUSE__1", True, "HOUSE", "ann"),
        ("TREE__2", False, "TREE", "ben"),
        ("TREE__2", True, "TREE", "ben"),
    ]
    filmed, mirrored = (clip.windows for clip in clips[:2])
    assert filmed.frames[0, 0, 32, 8].mean() > filmed.frames[0, 0, 32, 56].mean() + 20
    assert np.array_equal(filmed.frames[..., ::-1, :], mirrored.frames)
    assert np.allclose(filmed.hands[:, 0, 0], 1 - mirrored.hands[:, 1, 0], atol=1e-5), "the left hand is a right one"
    assert np.allclose(filmed.points[:, 0, :, 1], mirrored.points[:, 1, :, 1])
    assert np.array_equal(filmed.activity[:, ::-1], mirrored.activity)
    assert count_windows(folder) == sum(len(clip.windows) for clip in clips)


def test_from_long_clips_some_windows_are_taken() -> None:
    assert window_starts(6).tolist() == [0, 2, 4]
    assert window_starts(1).tolist() == [0]
    assert len(window_starts(1000)) == MAX_WINDOWS
    assert window_starts(1000)[-1] == 998
