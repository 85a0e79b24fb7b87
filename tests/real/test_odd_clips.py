"""Every odd clip has an expected outcome: upright, in shape and in time, or refused with a reason."""

import math
from pathlib import Path

import av
import numpy as np
import pytest

from model.errors import NotAVideoError, VideoBrokenError
from model.video import open_frames

pytestmark = pytest.mark.real

FPS = 25
SIZE = 112

# Name: codec, displayed width and height, clockwise turn, seconds, pictures in the file.
# The original, house.mp4, has 97 pictures at 30000/1001 per second: 3.2366 s.
READ = {
    "anamorphic.mp4": ("h264", 432, 288, 0, 3.237, 97),
    "animated.gif": ("gif", 320, 214, 0, 3.26, 39),
    "five_frames.mp4": ("h264", 432, 288, 0, 0.167, 5),
    "hevc_10bit_hlg.mov": ("hevc", 432, 288, 0, 3.237, 97),
    "motion_jpeg.avi": ("mjpeg", 432, 288, 0, 3.237, 97),
    "no_signer.mp4": ("h264", 288, 288, 0, 2.0, 50),
    "phone_rotated.mov": ("h264", 480, 320, 270, 3.237, 97),
    "portrait.mp4": ("h264", 288, 512, 0, 3.237, 97),
    "sixty_fps.mp4": ("h264", 432, 288, 0, 3.233, 194),
    # The file declares 3.103 s, which leaves out its B-frames' delay: the last picture starts at 3.203.
    "variable_rate.mp4": ("h264", 480, 320, 0, 3.237, 57),
    "vp9.webm": ("vp9", 480, 320, 0, 3.236, 97),
    "webm_no_duration.webm": ("vp8", 480, 320, 0, 3.236, 97),
}
REFUSED = {
    "audio_only.m4a": (NotAVideoError, "no picture track, only audio"),
    # Its only picture that stands on its own is destroyed: from the second eighth of the rows on all is green.
    "bit_errors.mp4": (VideoBrokenError, r"3\.2 of 3\.2 s of the video are lost or damaged"),
    "empty.mp4": (NotAVideoError, r"empty \(0 bytes\)"),
    "not_a_video.mp4": (NotAVideoError, "allowed are MP4, MOV, WebM"),
    "truncated.mp4": (VideoBrokenError, "starts as MP4 but its index of pictures is missing"),
}
LIKE_THE_ORIGINAL = sorted(set(READ) - {"five_frames.mp4", "no_signer.mp4", "portrait.mp4"})


@pytest.fixture(scope="module")
def odd(shared) -> Path:
    return shared / "clips" / "odd"


@pytest.fixture(scope="module")
def original(shared) -> np.ndarray:
    frames, _ = read(shared / "clips" / "ukg" / "home" / "house.mp4")
    return frames


def read(path: Path):
    with open_frames(path, fps=FPS, size=SIZE) as stream:
        frames = np.stack(list(stream))
    return frames, stream


def grey(frames: np.ndarray) -> np.ndarray:
    return frames[..., 1].astype(float)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def times_in_file(path: Path) -> list[float]:
    """When each picture starts, by the packets alone."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.pts is not None]
    times_s = sorted(float(packet.pts * packet.time_base) for packet in packets)
    return [time_s - times_s[0] for time_s in times_s]


def test_every_odd_clip_has_an_expected_outcome(odd):
    assert {path.name for path in odd.iterdir()} == set(READ) | set(REFUSED)


@pytest.mark.parametrize("name", sorted(READ))
def test_an_odd_clip_has_its_shape_length_and_number_of_frames(odd, name):
    codec, width, height, turn, duration_s, num_pictures = READ[name]
    frames, stream = read(odd / name)
    facts = stream.info
    assert (facts.codec, facts.width, facts.height, facts.rotation_deg) == (codec, width, height, turn)
    assert facts.duration_s == pytest.approx(duration_s, abs=0.001)
    assert facts.source_fps == pytest.approx(num_pictures / duration_s, rel=0.001)
    assert facts.num_frames == len(frames) == math.ceil(duration_s * FPS - 0.01)
    assert stream.warnings == (
        ("The video is HDR; its colours were converted to the standard range.",) if "hlg" in name else ()
    )


@pytest.mark.parametrize("name", sorted(READ))
def test_an_odd_clip_is_as_long_as_its_packets_say(odd, name):
    times_s = times_in_file(odd / name)
    _, stream = read(odd / name)
    assert len(times_s) == READ[name][-1]
    assert times_s[-1] < stream.info.duration_s <= times_s[-1] + 2 * max(np.diff(times_s))


@pytest.mark.parametrize("name", LIKE_THE_ORIGINAL)
def test_an_odd_clip_stands_upright(odd, original, name):
    frames, _ = read(odd / name)
    ours, theirs = grey(frames[40]), grey(original[40])
    turned = [np.rot90(side, turns) for side in (ours, ours[:, ::-1]) for turns in range(4)]
    upright, *wrong = (likeness(picture, theirs) for picture in turned)
    assert upright > 0.93
    assert max(wrong) < 0.8


@pytest.mark.parametrize("name", LIKE_THE_ORIGINAL)
def test_an_odd_clip_runs_in_step_with_the_original(odd, original, name):
    frames, _ = read(odd / name)
    late = [best_match(frames, original, k) - k for k in range(12, 58, 4)]
    assert abs(np.median(late)) <= (0 if name != "animated.gif" else 1)
    assert max(np.abs(late)) <= (2 if name != "animated.gif" else 3)


def best_match(frames: np.ndarray, original: np.ndarray, k: int) -> int:
    """Which frame of the original the k-th frame resembles most; of several equally good ones the nearest to k."""
    scores = {j: likeness(grey(frames[k]), grey(original[j])) for j in range(k - 6, k + 7)}
    return min(scores, key=lambda j: (-round(scores[j], 3), abs(j - k)))


def test_a_portrait_clip_keeps_the_face_and_the_hands(odd, original):
    """The portrait clip is a cut-out of the original, scaled up: some cut-out of the original must look like it."""
    frames, _ = read(odd / "portrait.mp4")
    ours = grey(frames[40])
    scores = []
    for side in range(48, 112, 4):
        rows = np.linspace(0, SIZE - 1, side).astype(int)
        small = ours[rows][:, rows]
        for top in range(0, 112 - side, 4):
            for left in range(0, 112 - side, 4):
                cut = grey(original[40])[top : top + side, left : left + side]
                scores.append((likeness(small, cut), top, left, side))
    best, top, left, side = max(scores)
    assert best > 0.9
    assert top <= 30, "the face lies in the upper third of the original"
    assert top + side >= 70, "the hands lie in the middle"


def test_an_empty_room_is_even(odd):
    frames, _ = read(odd / "no_signer.mp4")
    assert np.ptp(grey(frames)) < 10


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_odd_clip_is_refused_with_a_reason(odd, name):
    error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        read(odd / name)
