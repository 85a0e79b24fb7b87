"""Keypoint sequences and how they are cut."""

from pathlib import Path

import numpy as np
import pytest

from model.skeleton.features import sequence_from_landmarks
from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND
from tests.posed import keypoints_of, landmarks_of, raised_arm
from tests.training.sl_slr.conftest import write_landmarks
from training.data.poses.landmarks import read_landmarks
from training.errors import DataError, LandmarksError
from training.sl_slr.sequences import (
    Sequence61,
    make_sequence,
    mirrored,
    random_window,
    read_folder,
    read_sequence,
    shared_glosses,
    whole,
    windows,
)


def test_a_read_clip_is_what_the_landmark_baselines_see(tmp_path: Path) -> None:
    file = write_landmarks(tmp_path, "wave__1") / "wave__1.mp4.npz"
    clip = read_sequence(file, "s")
    theirs = sequence_from_landmarks(read_landmarks(file))
    np.testing.assert_allclose(clip.signing().keypoints, theirs.keypoints, atol=1e-5)
    rows = np.arange(5, 21)
    np.testing.assert_allclose(clip.activity(rows), theirs.activity(rows))
    assert clip.gloss == "wave"


def test_a_hand_missing_for_a_moment_is_bridged_and_one_missing_for_long_is_unknown() -> None:
    keypoints = keypoints_of(raised_arm(40))
    keypoints[10:14, RIGHT_HAND.start + 1 : RIGHT_HAND.stop] = np.nan
    keypoints[20:40, RIGHT_HAND.start + 1 : RIGHT_HAND.stop] = np.nan
    clip = make_sequence(keypoints, np.ones(keypoints.shape[:2]), "g", "s")
    assert clip.known[10:14, RIGHT_HAND].all()
    assert not clip.known[20:, RIGHT_HAND.start + 1 : RIGHT_HAND.stop].any()
    assert (clip.keypoints[~clip.known] == 0).all()


def test_what_is_seen_without_confidence_is_unknown() -> None:
    keypoints = keypoints_of(raised_arm(20))
    confidence = np.ones(keypoints.shape[:2])
    confidence[:, 6] = 0.4
    clip = make_sequence(keypoints, confidence, "g", "s")
    assert not clip.known[:, 6].any()
    assert clip.known[:, 7].all()


def test_a_raised_hand_is_seen_as_raised_and_hanging_ones_are_not(waving: Sequence61) -> None:
    assert waving.raised.all()
    hanging = keypoints_of(raised_arm(bend_deg=-20.0, move_deg=0.0))
    assert not make_sequence(hanging, np.ones(hanging.shape[:2]), "g", "s").raised.any()


def test_a_clip_mirrored_twice_is_the_clip(performed: tuple[Sequence61, ...]) -> None:
    clip = performed[1]
    twice = mirrored(mirrored(clip))
    np.testing.assert_array_equal(twice.keypoints, clip.keypoints)
    np.testing.assert_array_equal(twice.known, clip.known)
    np.testing.assert_array_equal(mirrored(clip).known[:, LEFT_HAND], clip.known[:, RIGHT_HAND])


def test_a_whole_clip_is_taken_from_first_to_last_frame() -> None:
    rows = whole(50, 16)
    assert rows[0] == 0
    assert rows[-1] == 49
    assert set(np.diff(rows)) <= {3, 4}


@pytest.mark.parametrize("fps", [25.0, 12.5, 10.0])
@pytest.mark.parametrize("num_seen", [1, 7, 16, 40, 83])
def test_windows_cover_every_sampled_frame_and_keep_the_rate(num_seen: int, fps: float) -> None:
    rows = windows(num_seen, fps, 16, 4)
    assert rows.shape[1] == 16
    assert rows[0, 0] == 0
    assert rows.max() < num_seen
    # As a video is sampled: frame k is what is on display at k / fps.
    wanted = [int(k * 25 / fps + 1e-9) for k in range(100) if k * 25 / fps < num_seen - 1e-9]
    assert set(rows.ravel()) == set(wanted)


def test_a_random_window_keeps_the_rate_and_lies_where_it_should() -> None:
    rng = np.random.default_rng(0)
    for near in (0.0, 0.5, 1.0):
        rows = random_window(rng, 101, 12.5, 16, near)
        assert set(np.diff(rows)) <= {1, 2, 3}
        assert rows[-1] - rows[0] in (29, 30, 31)
        assert abs(rows[0] - 70 * near) <= 4
    assert (random_window(rng, 5, 12.5, 16, 0.7)[3:] == 4).all()


def test_a_folder_is_read_but_for_glosses_left_out_and_files_that_are_damaged(tmp_path: Path) -> None:
    write_landmarks(tmp_path, "one__1", "two__2")
    (tmp_path / "three.mp4.npz").write_bytes(b"no landmarks")
    clips, failed = read_folder(tmp_path, frozenset({"two"}))
    assert [clip.gloss for clip in clips] == ["one"]
    assert len(failed) == 1
    assert "three.mp4.npz" in failed[0]


def test_a_folder_without_landmarks_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no landmarks .*training\.data pose"):
        read_folder(tmp_path / "nowhere")


def test_a_folder_of_which_nothing_is_left_says_so(tmp_path: Path) -> None:
    write_landmarks(tmp_path, "one__1")
    with pytest.raises(DataError, match="none of the clips"):
        read_folder(tmp_path, frozenset({"one"}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LandmarksError, match="is not there"):
        read_sequence(tmp_path / "gone.mp4.npz", "s")


def test_shared_glosses_are_those_of_two_folders(tmp_path: Path) -> None:
    a = write_landmarks(tmp_path / "a", "one__1", "two__1", "two__2")
    b = write_landmarks(tmp_path / "b", "two__9", "three")
    assert shared_glosses([str(a), str(b)]) == {"two"}


def test_landmarks_of_another_rate_are_sampled_by_time() -> None:
    seen = landmarks_of(keypoints_of(raised_arm(60)), fps=30.0)
    assert len(seen.rows_at(25.0)) == 50
