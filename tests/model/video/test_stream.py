"""Sampling by time, stretches, limits, damage: whole files in, frames out."""

import contextlib
import io
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.errors import (
    NotAVideoError,
    VideoBrokenError,
    VideoError,
    VideoTooLargeError,
    VideoTooLongError,
    VideoTooShortError,
)
from model.video import VideoLimits, open_frames
from tests.clips import flat, moving_square, number_of, numbered, write_changing, write_clip

SIZE = 16
ROOT = Path(__file__).resolve().parents[3]


def clip(pictures, **how) -> io.BytesIO:
    file = io.BytesIO()
    write_clip(file, pictures, **how)
    return file


def read(source, *, fps=25.0, size=SIZE, **how):
    with open_frames(source, fps=fps, size=size, **how) as stream:
        frames = list(stream)
    return frames, stream


def on_display(times_s, fps, end_s):
    """Which picture is on display at every k / fps, by looking them all through."""
    shown, k = [], 0
    while k / fps < end_s - 0.0006:
        shown.append(max(n for n, time_s in enumerate(times_s) if time_s <= k / fps + 0.0006))
        k += 1
    return shown


@pytest.mark.parametrize("source_fps", [12, 25, 30, 60])
def test_a_frame_shows_the_picture_on_display_at_its_time(source_fps):
    frames, stream = read(clip(numbered(40), fps=source_fps))
    assert [number_of(frame) for frame in frames] == on_display(
        [n / source_fps for n in range(40)], 25, 40 / source_fps
    )
    assert stream.info.duration_s == pytest.approx(40 / source_fps, abs=0.001)
    assert stream.info.source_fps == pytest.approx(source_fps, rel=0.01)
    assert stream.info.num_frames == len(frames)
    assert stream.warnings == ()


def test_frames_are_contiguous_square_rgb():
    frames, _ = read(clip([flat(128, width=64, height=32)] * 5))
    for frame in frames:
        assert frame.shape == (SIZE, SIZE, 3)
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous


@settings(max_examples=30, deadline=None)
@given(
    steps_ms=st.lists(st.integers(5, 400), min_size=1, max_size=30),
    fps=st.sampled_from([10.0, 25.0, 29.97]),
    first_ms=st.integers(0, 5000),
)
def test_any_variable_rate_is_sampled_by_time(steps_ms, fps, first_ms):
    times_s = np.cumsum([0, *steps_ms]) / 1000
    file = clip(numbered(len(times_s)), times_s=times_s + first_ms / 1000, container="matroska")
    frames, stream = read(file, fps=fps)
    shown = [number_of(frame) for frame in frames]
    assert shown == on_display(times_s, fps, stream.info.duration_s)
    assert times_s[-1] < stream.info.duration_s <= times_s[-1] + 0.4


def test_the_last_picture_of_a_gif_stays_as_long_as_it_says():
    frames, _ = read(clip(numbered(3), times_s=[0, 0.2, 0.4], codec="gif", container="gif", pixel_format="rgb8"))
    levels = [round(float(frame.mean())) for frame in frames]
    assert [levels.count(level) for level in sorted(set(levels))] == [5, 5, 5]


def test_a_recording_without_duration_is_read_to_its_end():
    file = clip(numbered(50), codec="libvpx", container="webm", container_options={"live": "1"})
    frames, stream = read(file)
    assert len(frames) == 50
    assert stream.info.duration_s == pytest.approx(2.0, abs=0.01)


def test_path_and_file_object_give_the_same_frames_and_the_file_object_stays_open(tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, moving_square(20, width=96, height=64, centre=(60, 32)))
    by_path, _ = read(path)
    with path.open("rb") as file:
        file.seek(7)
        by_file, _ = read(file)
        assert not file.closed
    np.testing.assert_array_equal(by_path, by_file)


def test_two_decoding_threads_give_the_same_frames():
    file = clip(moving_square(20, width=96, height=64, centre=(60, 32)))
    np.testing.assert_array_equal(read(file)[0], read(file, threads=2)[0])


@pytest.mark.parametrize(
    "how",
    [
        {"container": "mp4"},
        {"container": "matroska"},
        {"container": "webm", "codec": "libvpx", "container_options": {"live": "1"}},
        {"container": "mpegts"},
        {"container": "avi"},
        {"container": "mp4", "options": {"bf": "3", "g": "50", "crf": "12"}},
    ],
    ids=["mp4", "matroska", "webm-live", "mpegts", "avi", "mp4-b-frames"],
)
@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 1.0), (0.5, 0.9), (2.0, None), (2.48, 3.0), (3.12, 99.0)])
def test_a_stretch_holds_the_frames_of_the_whole(how, start_s, end_s):
    file = clip(numbered(80), **how)
    whole, stream = read(file)
    cut, cut_stream = read(file, start_s=start_s, end_s=end_s)
    last = len(whole) if end_s is None else min(len(whole), round(end_s * 25))
    assert [number_of(f) for f in cut] == [number_of(f) for f in whole[round(start_s * 25) : last]]
    assert cut_stream.info.duration_s == pytest.approx(min(end_s or 99, stream.info.duration_s) - start_s, abs=0.002)


def test_a_stretch_between_frame_times_starts_with_the_picture_on_display():
    frames, _ = read(clip(numbered(20), fps=10), start_s=0.55, end_s=0.95)
    assert [number_of(frame) for frame in frames] == [5, 5, 6, 6, 7, 7, 7, 8, 8, 9]


@pytest.mark.parametrize(
    ("start_s", "end_s"),
    [(-1, None), (math.nan, None), (math.inf, None), (1e15, None), (1e308, None), (1, 1), (1, 0.5), (0, math.nan)],
)
def test_an_impossible_stretch_is_refused(start_s, end_s):
    with pytest.raises(VideoTooShortError, match="the requested time range"):
        read(clip(numbered(5)), start_s=start_s, end_s=end_s)


def test_a_stretch_behind_the_end_is_refused_with_the_length_of_the_video():
    with pytest.raises(VideoTooShortError, match=r"between 5 and inf s; the video lasts 0\.80 s"):
        read(clip(numbered(20)), start_s=5)


def test_facts_and_warnings_wait_for_the_last_frame():
    with open_frames(clip(numbered(5)), fps=25, size=SIZE) as stream:
        next(stream)
        with pytest.raises(RuntimeError, match="read on to the end"):
            _ = stream.info
        with pytest.raises(RuntimeError, match="read on to the end"):
            _ = stream.warnings
        assert len(list(stream)) == 4
        assert stream.info.num_frames == 5


def test_a_stream_closed_early_gives_no_more_frames(tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, numbered(50))
    with open_frames(path, fps=25, size=SIZE) as stream:
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)


# Limits


def test_a_declared_duration_above_the_limit_is_refused_at_once():
    with pytest.raises(VideoTooLongError, match=r"lasts 3\.2 s; the limit is 2 s"):
        open_frames(clip(numbered(80)), fps=25, size=SIZE, limits=VideoLimits(max_duration_s=2))


def test_a_short_stretch_of_a_long_video_is_accepted():
    frames, _ = read(clip(numbered(80)), start_s=1.0, end_s=2.0, limits=VideoLimits(max_duration_s=2))
    assert len(frames) == 25


def test_an_undeclared_duration_is_refused_as_soon_as_the_limit_is_passed():
    file = clip(numbered(80), codec="libvpx", container="webm", container_options={"live": "1"})
    with open_frames(file, fps=25, size=SIZE, limits=VideoLimits(max_duration_s=1)) as stream:
        with pytest.raises(VideoTooLongError, match="lasts more than 1 s; the limit is 1 s"):
            list(stream)
        assert stream._reader.num_decoded < 40


def test_too_many_bytes_are_refused(tmp_path):
    path = tmp_path / "big.mp4"
    path.write_bytes(bytes(2_000_001))
    with pytest.raises(VideoTooLargeError, match=r"2\.0 MB; the limit is 2\.0 MB"):
        open_frames(path, fps=25, size=SIZE, limits=VideoLimits(max_bytes=2_000_000))


def test_too_many_pixels_are_refused():
    with pytest.raises(VideoTooLargeError, match=r"128 x 64 = 8192 pixels; the limit is 8000"):
        open_frames(clip([flat(9, width=128, height=64)]), fps=25, size=SIZE, limits=VideoLimits(max_pixels=8000))


def test_pictures_that_grow_beyond_the_limit_on_the_way_are_not_decoded():
    file = io.BytesIO()
    write_changing(file, [flat(9)] * 3 + [flat(9, width=128, height=64)] * 9)
    assert len(read(file)[0]) == 12
    with pytest.raises(VideoBrokenError, match="lost or damaged"):
        read(file, limits=VideoLimits(max_pixels=8000))


def test_a_picture_in_the_shape_of_a_ribbon_is_refused():
    with pytest.raises(VideoTooLargeError, match="at most 4 times"):
        read(clip([flat(9, width=320, height=32)]))


def test_a_flood_of_pictures_is_refused():
    times_s = [n / 2000 for n in range(400)]
    with pytest.raises(VideoTooLongError, match=r"more than 101 pictures; allowed are 100 per second"):
        read(clip(numbered(400), times_s=times_s), limits=VideoLimits(max_duration_s=1, max_source_fps=100))


MEASURE = """
import sys
from pathlib import Path
from model.video import open_frames
with open_frames(Path(sys.argv[1]), fps=25, size=224) as stream:
    num_frames = sum(1 for _ in stream)
peak_kb = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(num_frames, int(peak_kb) // 1024)
"""


def peak_mb(path: Path) -> tuple[int, int]:
    """Frames read, and the peak memory of the process that read them."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    num_frames, megabytes = map(int, done.stdout.split())
    return num_frames, megabytes


def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path):
    pictures = numbered(80, width=320, height=180)
    write_clip(tmp_path / "short.mp4", (pictures[n % 80] for n in range(12 * 25)))
    write_clip(tmp_path / "long.mp4", (pictures[n % 80] for n in range(58 * 25)))
    _, short_mb = peak_mb(tmp_path / "short.mp4")
    num_frames, long_mb = peak_mb(tmp_path / "long.mp4")
    assert num_frames == 58 * 25  # 388 MB of reduced frames
    assert long_mb - short_mb < 20


def test_a_4k_video_is_not_held_as_4k_frames(tmp_path):
    write_clip(tmp_path / "4k.mp4", (flat(10 + 3 * n, width=3840, height=2160) for n in range(40)))
    num_frames, megabytes = peak_mb(tmp_path / "4k.mp4")
    assert num_frames == 40  # 1 GB as RGB, 500 MB as decoded
    assert megabytes < 350


# What is no video, and what tries to be more than one


def test_an_empty_file_is_refused():
    with pytest.raises(NotAVideoError, match=r"empty \(0 bytes\)"):
        read(io.BytesIO())


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(NotAVideoError, match=r"nothing\.mp4 can't be opened: No such file"):
        read(tmp_path / "nothing.mp4")


def test_a_still_picture_is_refused():
    file = io.BytesIO()
    write_clip(file, [flat(9)], codec="png", container="image2pipe", pixel_format="rgb24")
    with pytest.raises(NotAVideoError, match="allowed are MP4"):
        read(file)


def test_bytes_cut_before_the_index_are_called_cut_off():
    file = clip(numbered(50))
    with pytest.raises(VideoBrokenError, match="starts as MP4 but its index of pictures is missing"):
        read(io.BytesIO(file.getvalue()[:1500]))


def test_nothing_is_printed_about_broken_files(capfd):
    data = clip(numbered(50)).getvalue()
    for broken in (data[:1500], data[:600] + bytes(400) + data[1000:], b"#EXTM3U\nhttp://127.0.0.1:9/x\n"):
        with contextlib.suppress(VideoError):
            read(io.BytesIO(broken))
    assert capfd.readouterr() == ("", "")


# Damage


@pytest.fixture(scope="module")
def streamable(tmp_path_factory) -> bytes:
    """A clip of 4 s whose index comes first, with a picture that stands on its own every 12."""
    pictures = moving_square(100, width=64, height=64, centre=(32, 32))
    path = tmp_path_factory.mktemp("streamable") / "clip.mp4"
    write_clip(path, pictures, container_options={"movflags": "faststart"})
    return path.read_bytes()


def test_a_file_cut_off_near_its_end_is_read_with_a_warning(streamable):
    frames, stream = read(io.BytesIO(streamable[: len(streamable) * 8 // 10]))
    assert 70 <= len(frames) <= 85
    assert stream.info.duration_s == pytest.approx(len(frames) / 25, abs=0.04)
    assert any("breaks off" in warning for warning in stream.warnings)


def test_a_file_cut_off_early_is_refused(streamable):
    with pytest.raises(VideoBrokenError, match=r"of 4\.0 s of the video are lost or damaged; up to half"):
        read(io.BytesIO(streamable[: len(streamable) * 3 // 10]))


def test_a_damaged_spot_keeps_the_time_and_is_warned_about(streamable):
    spot = len(streamable) * 7 // 10
    broken = streamable[:spot] + b"\xff" * 4000 + streamable[spot + 4000 :]
    frames, stream = read(io.BytesIO(broken))
    assert len(frames) == 100
    assert any("damaged" in warning for warning in stream.warnings)
    intact, _ = read(io.BytesIO(streamable))
    np.testing.assert_array_equal(frames[:60], intact[:60])
    np.testing.assert_array_equal(frames[-10:], intact[-10:])


def test_a_stretch_beside_the_damage_needs_no_warning(streamable):
    spot = len(streamable) * 7 // 10
    broken = streamable[:spot] + b"\xff" * 4000 + streamable[spot + 4000 :]
    frames, stream = read(io.BytesIO(broken), start_s=0.4, end_s=2.0)
    assert len(frames) == 40
    assert stream.warnings == ()


def test_a_stretch_of_a_recording_without_any_usable_key_picture_is_refused():
    file = clip(numbered(80), codec="libvpx", container="webm", container_options={"live": "1"})
    start_code = b"\x9d\x01\x2a"
    with pytest.raises(VideoBrokenError, match=r"not one picture could be decoded \(80 packets"):
        read(io.BytesIO(file.getvalue().replace(start_code, bytes(3))), start_s=1.7)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spots=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=40)), min_size=1, max_size=6),
    kept=st.floats(0.05, 1.0),
)
def test_whatever_happened_to_the_bytes_there_are_frames_or_a_reason(streamable, spots, kept):
    data = bytearray(streamable)
    for place, garbage in spots:
        at = int(place * (len(data) - len(garbage)))
        data[at : at + len(garbage)] = garbage
    try:
        frames, stream = read(io.BytesIO(bytes(data[: int(kept * len(data))])), limits=VideoLimits(max_duration_s=20))
    except VideoError:
        return
    assert len(frames) == stream.info.num_frames > 0
    assert all(frame.shape == (SIZE, SIZE, 3) for frame in frames)
