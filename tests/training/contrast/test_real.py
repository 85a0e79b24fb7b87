from pathlib import Path

import numpy as np

from tests.training.contrast.stage import write_shard
from training.contrast.real import MOST_MOMENTS, num_moments, read_real, starts
from training.priors import read_body


def test_every_clip_comes_as_filmed_and_in_a_mirror(tmp_path: Path) -> None:
    folder = write_shard(tmp_path / "shards", {"ann/HOUSE__1": 50, "ben/TREE__2": 90})
    clips = list(read_real(folder, read_body(folder / "body.json"), threads=2))
    names = [(clip.movement.name, clip.movement.mirrored, clip.gloss, clip.signer) for clip in clips]
    assert names == [
        ("HOUSE__1", False, "HOUSE", "ann"),
        ("HOUSE__1", True, "HOUSE", "ann"),
        ("TREE__2", False, "TREE", "ben"),
        ("TREE__2", True, "TREE", "ben"),
    ]
    filmed, mirrored = (clip.moments for clip in clips[:2])
    assert filmed.frames[0, 0, 32, 8].mean() > filmed.frames[0, 0, 32, 56].mean() + 20
    assert np.array_equal(filmed.frames[..., ::-1, :], mirrored.frames)
    assert np.allclose(filmed.hands[:, 0, 0], 1 - mirrored.hands[:, 1, 0], atol=1e-5), "the left hand is a right one"
    assert np.allclose(filmed.points[:, 0, :, 1], mirrored.points[:, 1, :, 1])
    assert np.array_equal(filmed.activity[:, ::-1], mirrored.activity)
    assert num_moments(folder) == sum(len(clip.moments) for clip in clips)


def test_of_long_clips_some_moments_are_kept() -> None:
    assert starts(6).tolist() == [0, 2, 4]
    assert starts(1).tolist() == [0]
    assert len(starts(1000)) == MOST_MOMENTS
    assert starts(1000)[-1] == 998
