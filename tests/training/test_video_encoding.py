"""Videos written and read back."""

import io

import av
import numpy as np
import pytest

from training.errors import SceneError
from training.video_encoding import compress, encode


def moving_square(num=20, width=64, height=48):
    frames = np.full((num, height, width, 3), 60, np.uint8)
    for number, frame in enumerate(frames):
        frame[10:30, number : number + 20] = (220, 120, 40)
    return frames


def decoded(content):
    with av.open(io.BytesIO(content), "r") as source:
        stream = source.streams.video[0]
        return float(stream.average_rate), np.stack([f.to_ndarray(format="rgb24") for f in source.decode(video=0)])


@pytest.mark.parametrize(("container", "fps"), [("mp4", 25.0), ("mp4", 29.97), ("webm", 30.0)])
def test_a_video_holds_all_frames_at_its_rate(container, fps):
    frames = moving_square()
    rate, back = decoded(encode([frames[:7], frames[7:]], fps, container=container, crf=18))
    assert rate == pytest.approx(fps, rel=1e-3)
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).mean() < 4


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_the_same_frames_give_the_same_bytes(container):
    frames = moving_square()
    assert encode([frames], 25.0, container=container) == encode([frames], 25.0, container=container)


def test_odd_sides_are_refused():
    with pytest.raises(SceneError, match="65 x 48 pixels; a video needs even sides"):
        encode([moving_square(width=65)], 25.0)


def test_compression_keeps_the_frames_and_loses_more_at_poorer_quality():
    frames = moving_square()
    good, poor = (compress(frames, crf) for crf in (18, 45))
    assert good.shape == poor.shape == frames.shape
    assert np.abs(good.astype(int) - frames).mean() < np.abs(poor.astype(int) - frames).mean()
