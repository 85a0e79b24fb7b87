from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.clip import open_clip
from model.clip_stream import WindowingConfig
from model.config import SkeletonConfig, WindowForm
from model.errors import NoSignerError, NotAVideoError, VideoTooLongError
from model.skeleton.encoders import BoneEncoder
from model.skeleton.kinematics import L_SHOULDER, L_WRIST, LEFT_HAND, R_SHOULDER, RIGHT_HAND
from model.skeleton.landmarks import observe
from model.skeleton.skeleton_stream import (
    find_landmarks,
    known_hands,
    mirror_skeleton,
    open_skeletons,
    pack_keypoints,
    rows_at_rate,
    skeleton_frames,
    unpack_keypoints,
)
from model.video import VideoLimits
from tests.clips import numbered, write_clip
from tests.posed import keypoints_of, landmarks_of, raised_arm
from tests.signers import ColourSeer, pictures, write_nobody, write_signer

WINDOWING = WindowingConfig.of(BoneEncoder().info)
METRES = replace(WINDOWING, form=WindowForm.METRES)


def windows_of(
    path: Path, windowing: WindowingConfig = WINDOWING, estimator: ColourSeer | None = None, **stretch: float
):
    with open_skeletons(path, windowing, estimator or ColourSeer(), **stretch) as stream:
        return list(stream), stream.info


def test_a_clip_becomes_windows_of_its_signers_skeleton(tmp_path: Path) -> None:
    windows, seen = windows_of(write_signer(tmp_path / "clip.mp4", 1))
    assert [window.start_frame for window, _ in windows] == list(range(0, 15, 2))
    assert {(window.frames.shape, window.frames.dtype.name) for window, _ in windows} == {((16, 61, 4), "float32")}
    assert seen.starts(WINDOWING).tolist() == [window.start_frame for window, _ in windows]
    assert (seen.video_info.num_frames, seen.warnings) == (30, ())
    assert known_hands(windows[0][0].frames).tolist() == [[False, True]] * 16
    middles = windows[0][0].frames[:, [L_SHOULDER, R_SHOULDER], :3].mean(axis=1)
    assert np.abs(middles).max() < 1e-6


def test_metres_are_what_was_observed_with_short_gaps_bridged() -> None:
    seen = landmarks_of(keypoints_of(raised_arm(60)))
    gap, long = seen.right.copy(), seen.right.copy()
    gap[20:25], long[20:50] = np.nan, np.nan
    keypoints, known = unpack_keypoints(skeleton_frames(replace(seen, right=gap), WindowForm.METRES))
    assert known.all()
    expected = observe(seen).keypoints
    assert np.abs(keypoints - expected)[:20].max() < 1e-5
    assert np.abs(keypoints - expected)[20:25, RIGHT_HAND].max() < 0.1
    keypoints, known = unpack_keypoints(skeleton_frames(replace(seen, right=long), WindowForm.METRES))
    assert not known[20:50, RIGHT_HAND.start + 1 : RIGHT_HAND.stop].any()
    assert (keypoints[20:50, RIGHT_HAND.start + 1 : RIGHT_HAND.stop] == 0).all()
    assert known[:, LEFT_HAND].all()


def test_a_doubtful_keypoint_is_not_known_in_metres_but_carries_what_hangs_on_it() -> None:
    seen = landmarks_of(keypoints_of(raised_arm(20)))
    world = seen.world.copy()
    world[:, 23:25, 3] = 0.2  # the hips are hardly ever in the picture
    doubtful = replace(seen, world=world)
    assert not unpack_keypoints(skeleton_frames(doubtful, WindowForm.METRES))[1][:, 6:8].any()
    assert unpack_keypoints(skeleton_frames(doubtful, WindowForm.SHOULDERS))[1][:, 6:8].all()


def test_packing_and_mirroring_are_undone_by_themselves() -> None:
    rng = np.random.default_rng(0)
    keypoints, known = rng.normal(size=(5, 61, 3)), rng.random((5, 61)) < 0.7
    frames = pack_keypoints(keypoints, known)
    back, which = unpack_keypoints(frames)
    assert np.array_equal(which, known)
    assert back == pytest.approx(np.where(known[..., None], keypoints, 0), abs=1e-6)
    assert np.array_equal(mirror_skeleton(mirror_skeleton(frames)), frames)
    assert mirror_skeleton(frames)[0, L_WRIST, 0] == -frames[0, 2, 0]


def test_a_number_that_is_none_is_not_known() -> None:
    keypoints = np.zeros((1, 61, 3))
    keypoints[0, 5, 1] = np.nan
    frames = pack_keypoints(keypoints, np.ones((1, 61), bool))
    assert np.isfinite(frames).all()
    assert frames[0, 5].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("fps", "rows"), [(25.0, [0, 1, 2, 3, 4, 5, 6]), (12.5, [0, 2, 4, 6]), (10.0, [0, 2, 5])])
def test_slower_encoders_see_some_of_the_frames(fps: float, rows: list[int]) -> None:
    assert rows_at_rate(7, fps).tolist() == rows


def test_a_slower_encoders_windows_come_from_skeletons_found_at_the_full_rate(tmp_path: Path) -> None:
    path = write_signer(tmp_path / "clip.mp4", 1, 40)
    slow = replace(METRES, fps=12.5, num_frames=8)
    estimator = ColourSeer()
    windows, seen = windows_of(path, slow, estimator)
    whole, _ = windows_of(path, replace(METRES, num_frames=40))
    assert estimator.num_found == 40
    assert seen.video_info.num_frames == 20
    assert np.array_equal(windows[0][0].frames, whole[0][0].frames[0:16:2])


def test_windows_without_a_hand_are_left_out_and_few_hands_are_worth_a_word(tmp_path: Path) -> None:
    empty = pictures(1, 90, right=False)
    path = tmp_path / "clip.mp4"
    write_clip(path, [*empty, *pictures(1, 20), *empty[:10]])
    windows, seen = windows_of(path)
    starts = [window.start_frame for window, _ in windows]
    assert starts == list(range(76, 105, 2))
    assert seen.starts(WINDOWING)[0] == 0
    assert "hands were found in 20 of 120 frames only" in seen.warnings[-1]


def test_nobody_and_no_hands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSignerError, match="nobody was found in any of the 20 frames"):
        windows_of(write_nobody(tmp_path / "nobody.mp4"))
    write_clip(tmp_path / "handless.mp4", pictures(1, 20, right=False))
    for windowing in (WINDOWING, METRES):
        with pytest.raises(NoSignerError, match="no hand was found"):
            windows_of(tmp_path / "handless.mp4", windowing)


def test_limits_and_refusals_are_those_of_other_clips(tmp_path: Path) -> None:
    path = write_signer(tmp_path / "clip.mp4", 1)
    with pytest.raises(VideoTooLongError, match="the limit is 1 s"):
        windows_of(path, limits=VideoLimits(max_duration_s=1.0))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(NotAVideoError):
        windows_of(tmp_path / "text.mp4")


def test_a_stretch_is_cut_from_the_video(tmp_path: Path) -> None:
    path = write_signer(tmp_path / "clip.mp4", 1, 50)
    estimator = ColourSeer()
    windows, seen = windows_of(path, WINDOWING, estimator, start_s=0.4, end_s=1.2)
    assert estimator.num_found == seen.video_info.num_frames == 20
    assert seen.window_start_s(WINDOWING)[0] == pytest.approx(0.4)
    assert [window.start_frame for window, _ in windows] == [0, 2, 4]


def test_a_picture_on_display_for_longer_is_looked_at_once(tmp_path: Path) -> None:
    write_clip(tmp_path / "slow.mp4", pictures(1, 10), fps=5)
    estimator = ColourSeer()
    _, seen = windows_of(tmp_path / "slow.mp4", WINDOWING, estimator)
    assert (estimator.num_found, seen.video_info.num_frames) == (10, 50)


def test_small_pictures_are_not_enlarged_and_large_ones_are_reduced(tmp_path: Path) -> None:
    class Measure(ColourSeer):
        def find(self, picture):
            self.shape = picture.shape
            return super().find(picture)

    sizes = []
    for width, height in ((320, 240), (1920, 1080)):
        write_clip(tmp_path / "grey.mp4", numbered(3, width=width, height=height))
        measure = Measure()
        with pytest.raises(NoSignerError):
            windows_of(tmp_path / "grey.mp4", WINDOWING, measure)
        sizes.append(measure.shape)
    assert sizes == [(240, 320, 3), (720, 1280, 3)]


def test_every_clip_is_begun_anew() -> None:
    estimator = ColourSeer()
    for seed in (1, 2):
        found = find_landmarks(iter(pictures(seed, 4)), estimator)
        assert (found.num_frames, found.fps, found.size) == (4, 25.0, (320, 240))
    assert estimator.num_begun == 2


def test_pictures_are_cut_as_ever_by_the_same_door(tmp_path: Path) -> None:
    path = write_signer(tmp_path / "clip.mp4", 1)
    windowing = WindowingConfig(fps=25, num_frames=16, size=64, stride_frames=4)
    with open_clip(path, windowing, None) as stream:
        assert next(stream)[0].frames.shape == (16, 64, 64, 3)
    with open_clip(path, WINDOWING, ColourSeer()) as stream:
        assert next(stream)[0].frames.shape == (16, 61, 4)


def test_an_encoder_of_skeletons_does_not_gate_by_motion() -> None:
    assert (WINDOWING.still, WINDOWING.frame_shape, WINDOWING.dtype) == (0.0, (61, 4), np.float32)
    with pytest.raises(ValueError, match="does not take pictures"):
        SkeletonConfig(16, 8, WindowForm.PICTURES)
    with pytest.raises(ValueError, match="num_frames is 0"):
        SkeletonConfig(0, 8)
