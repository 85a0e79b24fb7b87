from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import NoSignerError
from model.skeleton.kinematics import L_WRIST, LEFT_HAND, R_ELBOW, R_WRIST, RIGHT_HAND, mirror_points
from model.skeleton.landmarks import Landmarks, observe
from tests.posed import keypoints_of, landmarks_of, raised_arm
from training.data.poses.landmarks import check_length, read_landmarks, save_landmarks
from training.errors import LandmarksError, LengthMismatchError


@pytest.fixture(scope="module")
def keypoints() -> np.ndarray:
    return keypoints_of(raised_arm())


@pytest.fixture(scope="module")
def seen(keypoints: np.ndarray) -> Landmarks:
    return landmarks_of(keypoints)


def test_a_person_seen_without_error_is_lifted_to_where_they_are(keypoints: np.ndarray, seen: Landmarks) -> None:
    observed = observe(seen)
    assert np.abs(observed.keypoints - keypoints).max() < 1e-9
    assert (observed.confidence == 1).all()


def test_keypoints_project_to_where_they_were_seen(keypoints: np.ndarray, seen: Landmarks) -> None:
    observed = observe(seen)
    shares = observed.project(observed.keypoints)
    assert np.allclose(shares[:, RIGHT_HAND], seen.right[..., :2])
    assert np.allclose(shares[:, 8], seen.pose[:, 0, :2])


def test_landmarks_survive_the_disk_to_half_precision(tmp_path: Path, seen: Landmarks) -> None:
    file = tmp_path / "clip.npz"
    with file.open("wb") as out:
        save_landmarks(out, seen)
    read = read_landmarks(file)
    assert np.abs(read.world - seen.world).max() < 1e-3
    assert read.size == seen.size
    assert read.fps == seen.fps


def test_files_without_times_are_at_a_steady_rate(tmp_path: Path, seen: Landmarks) -> None:
    arrays = {name: getattr(seen, name) for name in ("pose", "world", "left", "right")}
    np.savez(tmp_path / "old.npz", **arrays, fps=25.0, size=np.array(seen.size))
    assert np.allclose(read_landmarks(tmp_path / "old.npz").times_s, np.arange(40) / 25.0)


def test_a_lost_hand_is_unknown_and_its_wrist_stays_the_arms(keypoints: np.ndarray, seen: Landmarks) -> None:
    right = seen.right.copy()
    right[5] = np.nan
    observed = observe(replace(seen, right=right))
    assert np.isnan(observed.keypoints[5, 20:40]).all()
    assert np.allclose(observed.keypoints[5, 19], keypoints[5, R_WRIST])
    assert (observed.confidence[5, 20:40] == 0).all()
    assert np.isfinite(observed.keypoints[4]).all()


def test_exchanged_hands_go_back_to_their_arms(keypoints: np.ndarray, seen: Landmarks) -> None:
    observed = observe(replace(seen, left=seen.right, right=seen.left))
    assert np.abs(observed.keypoints - keypoints).max() < 1e-9


def test_a_hand_found_twice_stays_with_the_arm_whose_wrist_is_there(seen: Landmarks) -> None:
    observed = observe(replace(seen, left=seen.right + 0.002))
    assert np.isnan(observed.keypoints[:, LEFT_HAND][:, 1:]).all()
    assert np.isfinite(observed.keypoints[:, RIGHT_HAND]).all()


def test_hands_laid_together_are_both_kept(keypoints: np.ndarray) -> None:
    """Each landmark lies near its fellow's, and both wrists are seen there."""
    both = keypoints.copy()
    mirrored = mirror_points(keypoints)
    both[:, 3:6], both[:, LEFT_HAND] = mirrored[:, 3:6], mirrored[:, LEFT_HAND]
    shift = both[:, R_WRIST, :1] - 0.01
    both[:, [R_WRIST, *range(19, 40)], 0] -= shift
    both[:, [L_WRIST, *range(40, 61)], 0] += shift
    observed = observe(landmarks_of(both))
    assert np.isfinite(observed.keypoints).all()


def test_an_arm_that_looks_too_long_gives_way_in_depth(seen: Landmarks, keypoints: np.ndarray) -> None:
    world = seen.world.copy()
    world[10, 16, 2] -= 0.5  # the right wrist, far too near to the camera in one frame
    observed = observe(replace(seen, world=world)).keypoints
    usual = np.linalg.norm(keypoints[0, R_WRIST] - keypoints[0, R_ELBOW])
    assert np.linalg.norm(observed[10, R_WRIST] - observed[10, R_ELBOW]) == pytest.approx(usual, rel=0.02)
    assert np.allclose(observed[10, R_WRIST, :2], keypoints[10, R_WRIST, :2], atol=0.01)


def test_frames_take_the_picture_that_is_on_display(seen: Landmarks) -> None:
    uneven = replace(seen, times_s=np.array([0.0, 0.03, 0.2, *np.arange(3, 40) / 10]), fps=10.0)
    assert uneven.rows_at(25.0, 7).tolist() == [0, 1, 1, 1, 1, 2, 2]
    assert len(seen.rows_at(25.0)) == 40
    assert len(replace(seen, fps=50.0, times_s=np.arange(40) / 50.0).rows_at(25.0)) == 20


def test_what_is_no_landmark_file_is_named(tmp_path: Path, seen: Landmarks) -> None:
    with pytest.raises(LandmarksError, match="is not there"):
        read_landmarks(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(LandmarksError, match="holds no landmarks"):
        read_landmarks(tmp_path / "text.npz")
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(LandmarksError, match="holds no landmarks"):
        read_landmarks(tmp_path / "empty.npz")
    with (tmp_path / "short.npz").open("wb") as file:
        save_landmarks(file, replace(seen, left=seen.left[:3]))
    with pytest.raises(LandmarksError, match=r"arrays of shapes .*'left': \(3, 21, 4\)"):
        read_landmarks(tmp_path / "short.npz")
    with (tmp_path / "nobody.npz").open("wb") as file:
        save_landmarks(file, replace(seen, world=np.full_like(seen.world, np.nan)))
    with pytest.raises(NoSignerError, match="nobody was found in any of the 40 frames"):
        read_landmarks(tmp_path / "nobody.npz")


def test_landmarks_of_another_length_are_refused(seen: Landmarks) -> None:
    check_length(41, seen)
    with pytest.raises(LengthMismatchError, match="the clip has 50 frames, its landmarks 40"):
        check_length(50, seen)
