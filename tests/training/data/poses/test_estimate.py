from pathlib import Path

import numpy as np
import pytest

from model.encoder import Frames
from model.errors import EstimatorError, NoSignerError, NotAVideoError
from model.skeleton.estimator import FrameLandmarks, MediaPipeOptions
from tests.clips import numbered, write_clip
from training.data.poses.estimate import estimate, estimate_folder, landmarks_path, write_landmarks
from training.data.poses.landmarks import read_landmarks
from training.errors import ManifestError


class GreySeer:
    """Finds a body whose every landmark is at the picture's grey, and a right hand in bright pictures only."""

    def __init__(self, options: MediaPipeOptions) -> None:
        self.closed = False

    def start_clip(self) -> None:
        pass

    def find(self, picture: Frames) -> FrameLandmarks:
        grey = picture.mean() / 255
        body, hand = np.full((33, 4), grey), np.full((21, 4), grey if grey > 0.1 else np.nan)
        return FrameLandmarks(body, body, np.full((21, 4), np.nan), hand)

    def close(self) -> None:
        self.closed = True


class Blind(GreySeer):
    """Finds nobody."""

    def find(self, picture: Frames) -> FrameLandmarks:
        return FrameLandmarks(*(np.full((count, 4), np.nan) for count in (33, 33, 21, 21)))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clip.mp4", numbered(12, width=64, height=48), times_s=[*np.arange(11) / 20, 0.8])
    return tmp_path / "clip.mp4"


def test_every_picture_gets_its_landmarks_and_time(video: Path, tmp_path: Path) -> None:
    found = estimate(video, MediaPipeOptions(), GreySeer)
    assert found.pose[:, 0, 0] * 255 == pytest.approx(10 + 3 * np.arange(12), abs=2)
    assert np.isnan(found.left).all()
    assert np.isnan(found.right[:, 0, 0]).tolist() == [grey <= 25.5 for grey in 10 + 3 * np.arange(12)]
    assert found.size == (64, 48)
    assert found.fps == pytest.approx(20, rel=0.01)
    assert found.times_s[-1] == pytest.approx(0.8, abs=0.01)
    write_landmarks(tmp_path / "poses" / "clip.mp4.npz", found)
    assert np.allclose(read_landmarks(tmp_path / "poses" / "clip.mp4.npz").pose, found.pose, atol=1e-3)


def test_a_video_without_a_signer_is_said_to_be_one(video: Path) -> None:
    with pytest.raises(NoSignerError, match="nobody was found in any of the 12 frames"):
        estimate(video, MediaPipeOptions(), Blind)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(NotAVideoError):
        estimate(tmp_path / "text.mp4", MediaPipeOptions(), GreySeer)


def test_without_mediapipe_it_says_how_to_get_it(video: Path) -> None:
    with pytest.raises(EstimatorError, match="dependency group `pose`"):
        estimate(video, MediaPipeOptions())


def test_clips_that_have_landmarks_are_left_alone_and_failures_are_reported(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_landmarks(landmarks_path(out, video, tmp_path), estimate(video, MediaPipeOptions(), GreySeer))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "second.mp4").write_bytes(video.read_bytes())
    report = estimate_folder(tmp_path, out, MediaPipeOptions(), workers=1)  # no MediaPipe here
    assert (report.num_done, report.num_there) == (0, 1)
    assert [(one.name, one.kind) for one in report.failed] == [("more/second.mp4", "EstimatorError")]
    assert "more/second.mp4" in (out / "report.json").read_text()
    assert landmarks_path(out, tmp_path / "more" / "second.mp4", tmp_path) == out / "more" / "second.mp4.npz"


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no video"):
        estimate_folder(tmp_path, tmp_path / "out", MediaPipeOptions(), workers=1)
