from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.priors.table import NUM_FRAMES
from training.data.shards.source import ShardSource
from training.errors import OutputError
from training.synth.clips.shards import ShardPlan, at_rate, render_shards
from training.synth.reenactment.clip_landmarks import ClipLandmarks

PLAN = ShardPlan(num_clips=2, seed=4, size_px=64)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    report = render_shards(PLAN, folder)
    assert (report.num_done, report.num_there, report.failed) == (2, 0, ())
    return folder


def test_rendered_shards_are_a_source_with_exact_poses(rendered: Path) -> None:
    source = ShardSource(rendered)
    first, second = source.pair(0)
    assert first.frames.shape == second.frames.shape == (NUM_FRAMES, 64, 64, 3)
    assert first.frames.std() > 10
    assert first.masks["body_pose"].any()
    assert first.hands is not None
    assert (first.hands[..., 0] > 0).all()
    assert (first.hands[..., 0] < 1).all()
    assert (first.hands[..., 1] > 0.2).all()
    assert first.video == second.video


def test_rendering_again_keeps_what_is_there(rendered: Path) -> None:
    before = (rendered / "000000.tar").stat().st_mtime_ns
    report = render_shards(PLAN, rendered)
    assert (report.num_done, report.num_there) == (0, 2)
    assert (rendered / "000000.tar").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", [{"size_px": 96}, {"seed": 5}, {"reenacted": 0.1}])
def test_a_folder_of_another_plan_is_refused(rendered: Path, change: dict[str, Any]) -> None:
    with pytest.raises(OutputError, match="another plan"):
        render_shards(replace(PLAN, **change), rendered)


def test_more_clips_continue_a_folder_and_damage_is_drawn_again(tmp_path: Path) -> None:
    render_shards(replace(PLAN, num_clips=1), tmp_path)
    report = render_shards(PLAN, tmp_path)
    assert (report.num_done, report.num_there) == (2, 0)
    assert ShardSource(tmp_path).num_samples == 2
    with (tmp_path / "000000.tar").open("r+b") as shard:
        shard.truncate(5000)
    assert render_shards(PLAN, tmp_path).num_done == 2
    assert ShardSource(tmp_path).broken == []


def test_the_cache_gives_the_frames_that_the_shard_gives(rendered: Path, tmp_path: Path) -> None:
    decoded, cached = ShardSource(rendered, seed=1), ShardSource(rendered, seed=1, cache=tmp_path)
    for number in (0, 1, 0):
        for ours, theirs in zip(cached.pair(number), decoded.pair(number), strict=True):
            assert np.array_equal(ours.frames, theirs.frames)
            assert all(np.array_equal(ours.targets[name], theirs.targets[name]) for name in theirs.targets)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_a_mirrored_pair_shows_and_tells_the_mirrored_pose(rendered: Path) -> None:
    filmed, _ = ShardSource(rendered, seed=1).pair(0)
    mirrored, _ = ShardSource(rendered, seed=1, mirrored=1.0).pair(0)
    assert np.array_equal(mirrored.frames, filmed.frames[:, :, ::-1])
    points, other = (sample.targets["right_pose"].reshape(-1, 21, 3) for sample in (filmed, mirrored))
    flipped = mirrored.targets["left_pose"].reshape(-1, 21, 3) * (-1.0, 1.0, 1.0)
    known = filmed.masks["right_pose"].reshape(-1, 21, 3)
    assert known.any()
    assert np.allclose(points[known], flipped[known], atol=1e-4)
    assert not np.allclose(points[known], other[known], atol=1e-2)
    assert filmed.hands is not None
    assert mirrored.hands is not None
    assert np.allclose(mirrored.hands[:, 0], (1, 0, 0) + filmed.hands[:, 1] * (-1, 1, 1), atol=1e-6)
    assert not np.allclose(filmed.hands[:, 0], filmed.hands[:, 1], atol=0.05)


def test_landmarks_are_taken_at_another_rate_by_the_nearest_frame() -> None:
    frames = np.arange(60.0)
    clip = ClipLandmarks(
        *(
            np.broadcast_to(frames[:, None, None], (60, rows, axes))
            for rows, axes in ((33, 3), (33, 2), (21, 3), (21, 3))
        ),
        fps=60.0,
    )
    slower = at_rate(clip, 25.0)
    assert slower.num_frames == 25
    assert np.abs(slower.body[:, 0, 0] - np.arange(25) * 2.4).max() <= 0.5
