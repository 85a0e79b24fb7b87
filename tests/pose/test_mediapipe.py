"""The encoder of skeletons on real clips, with MediaPipe: `make test-pose`."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from app.decoding.decoder import Decoder
from app.decoding.limits import DecoderLimits
from app.errors import VideoUndecodableError
from model.clip_stream import WindowingConfig
from model.config import MEDIAPIPE
from model.embed import Embedder
from model.errors import NoSignerError
from model.skeleton.encoders import BoneEncoder
from model.skeleton.estimator import Estimator, shared_estimator
from model.skeleton.skeleton_stream import open_skeletons, skeleton_frames
from model.video import VideoLimits
from model.video.time_range import TimeRange
from training.data.poses.landmarks import read_landmarks

pytestmark = [pytest.mark.pose, pytest.mark.real]

WINDOWING = WindowingConfig.of(BoneEncoder().info)
LIMITS = DecoderLimits(memory_bytes=1_024_000_000, seconds=390.0)


@pytest.fixture
def estimator():
    """The one of this process, given back after every test: who waits for it while a test has it waits for ever."""
    with shared_estimator(MEDIAPIPE).acquire() as estimator:
        yield estimator


def clip_of(shared: Path, sign: str) -> Path:
    return next((shared / "clips" / "asl_train" / "aslearn").glob(f"{sign}__*.mp4"))


def windows_of(path: Path, estimator: Estimator) -> np.ndarray:
    with open_skeletons(path, WINDOWING, estimator, end_s=1.0) as stream:
        return np.stack([window.frames for window, _ in stream])


def test_what_is_found_does_not_depend_on_the_clip_before(shared, estimator):
    first, second = clip_of(shared, "father"), clip_of(shared, "baby")
    before = windows_of(first, estimator)
    assert not np.array_equal(windows_of(second, estimator)[:1], before[:1])
    assert np.array_equal(windows_of(first, estimator), before)


def test_landmarks_are_those_that_training_finds(shared, estimator):
    path = clip_of(shared, "father")
    with open_skeletons(path, WINDOWING, estimator, end_s=1.0) as stream:
        frames = next(stream)[0].frames
    known = read_landmarks(shared / "clips" / "poses" / "asl_aslearn" / f"{path.name}.npz").at(25.0)
    theirs = skeleton_frames(known, WINDOWING.form)[: len(frames)]
    both = (frames[..., 3] > 0) & (theirs[..., 3] > 0)
    # They looked at 30 pictures a second, here it is 25: the tracker's smoothing differs a little.
    assert np.median(np.linalg.norm((frames - theirs)[both][:, :2], axis=-1)) < 0.05


def test_nobody_is_said_to_be_nobody(shared, estimator):
    with (
        pytest.raises(NoSignerError),
        open_skeletons(shared / "clips" / "odd" / "no_signer.mp4", WINDOWING, estimator, end_s=0.4) as stream,
    ):
        list(stream)


def test_a_decoder_finds_the_same_stays_quiet_and_a_killed_one_is_named(shared, capfd):
    path, time_range = clip_of(shared, "father"), TimeRange(0.0, 0.8)
    decoder = Decoder(LIMITS, MEDIAPIPE)
    try:
        decoder.start()
        with path.open("rb") as file:
            theirs = decoder.decode_windows(file.fileno(), WINDOWING, VideoLimits(), time_range)
            assert capfd.readouterr().err == ""
            os.kill(decoder.pid, signal.SIGKILL)
            with pytest.raises(VideoUndecodableError, match="SIGKILL"):
                decoder.decode_windows(file.fileno(), WINDOWING, VideoLimits())
    finally:
        decoder.kill()
    clip = Embedder(BoneEncoder()).embed(path, end_s=time_range.end_s)
    starts = clip.start_s[clip.encoded] * WINDOWING.fps
    assert theirs.start_frames.tolist() == starts.round().astype(int).tolist()
    again = BoneEncoder().encode(np.stack([theirs[number] for number in range(len(theirs))]))
    assert np.abs(again.embedding - clip.embeddings[clip.encoded]).max() < 1e-5
