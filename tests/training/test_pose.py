from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model.encoder import Frames
from model.errors import NoSignerError, NotAVideoError
from tests.clips import numbered, write_clip
from training.errors import LandmarksError, ManifestError
from training.landmarks import read_landmarks
from training.pose import Estimator, estimate, estimate_folder, landmarks_path, write_landmarks


class GreySeer:
    """Finds a body whose every landmark is at the picture's grey, and a right hand in bright pictures only."""

    def __init__(self, estimator: Estimator) -> None:
        self.closed = False

    def process(self, image: Frames) -> SimpleNamespace:
        grey = image.mean() / 255
        mark = SimpleNamespace(x=grey, y=grey, z=0.0, visibility=0.9)
        body, hand = SimpleNamespace(landmark=[mark] * 33), SimpleNamespace(landmark=[mark] * 21)
        return SimpleNamespace(
            pose_landmarks=body,
            pose_world_landmarks=body,
            left_hand_landmarks=None,
            right_hand_landmarks=hand if grey > 0.1 else None,
        )

    def close(self) -> None:
        self.closed = True


class Blind(GreySeer):
    """Finds nobody."""

    def process(self, image: Frames) -> SimpleNamespace:
        names = ("pose_landmarks", "pose_world_landmarks", "left_hand_landmarks", "right_hand_landmarks")
        return SimpleNamespace(**dict.fromkeys(names))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clip.mp4", numbered(12, width=64, height=48), times_s=[*np.arange(11) / 20, 0.8])
    return tmp_path / "clip.mp4"


def test_every_picture_gets_its_landmarks_and_time(video: Path, tmp_path: Path) -> None:
    found = estimate(video, Estimator(), GreySeer)
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
        estimate(video, Estimator(), Blind)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(NotAVideoError):
        estimate(tmp_path / "text.mp4", Estimator(), GreySeer)


def test_without_mediapipe_it_says_how_to_get_it(video: Path) -> None:
    with pytest.raises(LandmarksError, match="uv sync --no-default-groups --group pose"):
        estimate(video, Estimator())


def test_clips_that_have_landmarks_are_left_alone_and_failures_are_reported(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_landmarks(landmarks_path(out, video, tmp_path), estimate(video, Estimator(), GreySeer))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "second.mp4").write_bytes(video.read_bytes())
    report = estimate_folder(tmp_path, out, Estimator(), workers=1)  # no MediaPipe here
    assert (report.num_done, report.num_there) == (0, 1)
    assert [(one.name, one.kind) for one in report.failed] == [("more/second.mp4", "LandmarksError")]
    assert "more/second.mp4" in (out / "report.json").read_text()
    assert landmarks_path(out, tmp_path / "more" / "second.mp4", tmp_path) == out / "more" / "second.mp4.npz"


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no video"):
        estimate_folder(tmp_path, tmp_path / "out", Estimator(), workers=1)
