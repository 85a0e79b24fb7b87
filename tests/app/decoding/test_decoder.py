"""Videos decoded in another process: the same windows, and limits that hold."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import numpy as np
import pytest

from app.decoding.decoder import Decoder
from app.decoding.limits import DecoderLimits
from app.decoding.messages import receive_with_file, send
from app.errors import VideoTooCostlyError, VideoUndecodableError
from model.clip_stream import WindowingConfig, open_pictures
from model.errors import NotAVideoError, VideoTooLongError
from model.video import VideoLimits
from model.video.time_range import WHOLE_VIDEO, TimeRange
from tests.clips import moving_square
from tests.clips import write_clip as write_pictures
from tests.conftest import ROOT
from tests.tiny_videos import write_clip

WINDOWING = WindowingConfig(fps=25, num_frames=16, size=64, stride_frames=4)
LIMITS = VideoLimits()
GENEROUS = DecoderLimits(memory_bytes=512_000_000, seconds=60)


@contextmanager
def decoding(limits=GENEROUS):
    decoder = Decoder(limits)
    try:
        yield decoder
    finally:
        decoder.kill()


@pytest.fixture(scope="module")
def decoder():
    with decoding() as decoder:
        yield decoder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 1, seconds=2)


def cut(decoder, path, windowing=WINDOWING, limits=LIMITS, time_range=WHOLE_VIDEO):
    with path.open("rb") as file:
        return decoder.decode_windows(file.fileno(), windowing, limits, time_range)


def pause_video(path: Path) -> Path:
    """Something moves, then nothing for two seconds, then again."""
    pictures = moving_square(100, width=96, height=96, centre=(48, 48), noise=0)
    write_pictures(path, [*pictures[:30], *[pictures[29]] * 50, *pictures[30:60]])
    return path


@pytest.mark.parametrize("stride_frames", [1, 4, 8, 16])
@pytest.mark.parametrize("time_range", [WHOLE_VIDEO, TimeRange(0.4, 1.7), TimeRange(0.1, 0.3)])
def test_windows_from_another_process_are_those_decoded_here(decoder, tmp_path, stride_frames, time_range):
    windowing = WindowingConfig(fps=25, num_frames=16, size=64, stride_frames=stride_frames)
    path = pause_video(tmp_path / "pause.mp4")
    theirs = cut(decoder, path, windowing, time_range=time_range)
    with open_pictures(path, windowing, start_s=time_range.start_s, end_s=time_range.end_s) as stream:
        ours = list(stream)
    assert theirs.start_frames.tolist() == [window.start_frame for window, _ in ours]
    assert theirs.motion.tolist() == pytest.approx([motion for _, motion in ours])
    assert theirs.info == stream.info
    for number, (window, _) in enumerate(ours):
        assert np.array_equal(theirs[number], window.frames)


def test_frames_that_windows_share_are_sent_once(decoder, clip):
    theirs = cut(decoder, clip)
    assert len(theirs) * 16 > len(theirs.frames) == theirs.start_frames[-1] + 16


@pytest.mark.parametrize(("content", "error"), [(b"", NotAVideoError), (b"no video at all" * 99, NotAVideoError)])
def test_an_error_keeps_its_class_and_message_and_the_process_continues(decoder, clip, tmp_path, content, error):
    (tmp_path / "x.mp4").write_bytes(content)
    before = decoder.pid
    with pytest.raises(error, match=r"empty|not a video"):
        cut(decoder, tmp_path / "x.mp4")
    with pytest.raises(VideoTooLongError, match=r"the limit is 1 s"):
        cut(decoder, clip, limits=VideoLimits(max_duration_s=1))
    assert len(cut(decoder, clip)) > 1
    assert decoder.pid == before


def test_a_video_that_takes_too_long_is_too_costly(clip):
    with decoding(DecoderLimits(memory_bytes=512_000_000, seconds=0.2)) as decoder:
        cut(decoder, clip)  # its start took longer than that, and did not count
        os.kill(decoder.pid, signal.SIGSTOP)
        with pytest.raises(VideoTooCostlyError, match=r"more than 0\.2 s \(SIGNDEX_DECODE_S\)"):
            cut(decoder, clip)


def test_a_video_that_takes_too_much_memory_is_too_costly(clip, decoder):
    large = WindowingConfig(fps=25, num_frames=16, size=1024, stride_frames=16)
    assert len(cut(decoder, clip, large)) > 1
    with decoding(DecoderLimits(memory_bytes=20_000_000, seconds=60)) as small:
        cut(small, clip)
        with pytest.raises(VideoTooCostlyError, match=r"more than 20 MB \(SIGNDEX_DECODE_MB\)"):
            cut(small, clip, large)


def test_when_memory_runs_out_the_kernel_kills_the_decoder_first(decoder, clip):
    cut(decoder, clip)
    assert Path(f"/proc/{decoder.pid}/oom_score_adj").read_text().strip() == "1000"
    assert int(Path("/proc/self/oom_score_adj").read_text()) < 1000


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_process_that_dies_over_a_video_says_how(clip, number):
    with decoding() as decoder:
        cut(decoder, clip)
        os.kill(decoder.pid, signal.SIGSTOP)
        threading.Timer(0.1, os.kill, (decoder.pid, number)).start()
        if number != signal.SIGKILL:
            threading.Timer(0.15, os.kill, (decoder.pid, signal.SIGCONT)).start()
        with pytest.raises(VideoUndecodableError, match=number.name):
            cut(decoder, clip)


def test_processor_time_ends_a_process_even_without_the_server(clip):
    with decoding(DecoderLimits(memory_bytes=512_000_000, seconds=60)) as decoder:
        cut(decoder, clip)
        limits = Path(f"/proc/{decoder.pid}/limits").read_text()
    [line] = [line for line in limits.splitlines() if line.startswith("Max cpu time")]
    assert 60 <= int(line.split()[3]) <= 70


def test_a_process_whose_server_is_gone_before_it_started_ends_quietly():
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "app.decoding.worker", str(theirs.fileno()), "512000000"]
        worker = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
    ours.close()
    assert worker.communicate(timeout=60)[1] == ""
    assert worker.returncode == 0


def test_killing_a_decoder_wakes_the_thread_that_waits_for_it(clip):
    with decoding() as decoder:
        cut(decoder, clip)
        os.kill(decoder.pid, signal.SIGSTOP)
        threading.Timer(0.1, decoder.kill).start()
        began = time.monotonic()
        with pytest.raises(VideoUndecodableError):
            cut(decoder, clip)
        assert time.monotonic() - began < 30


def test_a_process_knows_no_secret_and_no_library_of_the_server(monkeypatch, clip):
    monkeypatch.setenv("SIGNDEX_ADMIN_KEY", "not for the decoder")
    with decoding() as decoder:
        cut(decoder, clip)
        environment = Path(f"/proc/{decoder.pid}/environ").read_bytes()
        libraries = Path(f"/proc/{decoder.pid}/maps").read_text()
        deadline = time.monotonic() + 10
        while "clip.mp4" in open_files(decoder.pid):  # it closes the file right after its last message
            assert time.monotonic() < deadline
    assert b"SIGNDEX" not in environment
    for name in ("torch", "onnx", "faiss"):
        assert name not in libraries


def open_files(pid):
    names = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            names.append(path.readlink().name)
    return names


def test_a_thumbnail_is_the_middle_of_the_clip_as_jpeg(decoder, tmp_path):
    path = tmp_path / "halves.mp4"
    levels = [np.full((64, 96, 3), level, np.uint8) for level in (30, 120, 220)]
    write_pictures(path, [levels[number // 25] for number in range(75)])
    with path.open("rb") as file:
        content = decoder.decode_thumbnail(file.fileno(), 128, LIMITS)
    with av.open(io.BytesIO(content)) as jpeg:
        [frame] = jpeg.decode(video=0)
    assert content[:2] == b"\xff\xd8"
    assert (frame.width, frame.height) == (128, 128)
    assert frame.to_ndarray(format="rgb24").mean() == pytest.approx(120, abs=6)


class Liar:
    """What a process could send after a video has taken it over."""

    def __init__(self, decoder, messages):
        self.decoder = decoder
        import socket

        ours, theirs = socket.socketpair()
        self.decoder._socket.close()
        self.decoder._socket = ours
        self.thread = threading.Thread(target=self.run, args=(theirs, messages))
        self.thread.start()

    def run(self, sock, messages):
        with sock:
            send(sock, {"ready": True})
            received = receive_with_file(sock)
            os.close(received[1])
            try:
                for message in messages:
                    send(sock, *message) if isinstance(message, tuple) else sock.sendall(message)
            except OSError:
                pass


VIDEO_INFO = {
    "container": "mp4", "codec": "h264", "width": 64, "height": 64, "rotation_deg": 0, "source_fps": 25.0,
    "duration_s": 1.0, "num_frames": 25,
}  # fmt: skip
INFO = {"start_s": 0.0, "video_info": VIDEO_INFO, "warnings": []}
ENDLESS = {**VIDEO_INFO, "num_frames": 10**12}
WINDOW = bytes(16 * 64 * 64 * 3)


@pytest.mark.parametrize(
    "messages",
    [
        [b"\xff" * 64],
        [({"info": INFO},)],
        [({"start_frame": 0, "motion": 9.0}, WINDOW), ({"info": {**INFO, "video_info": {}}},)],
        [({"start_frame": 1, "motion": 9.0}, WINDOW), ({"info": INFO},)],
        [({"start_frame": 0, "motion": 9.0}, WINDOW[:-1]), ({"info": INFO},)],
        [({"start_frame": 0, "motion": 9.0}, b""), ({"info": INFO},)],
        [({"start_frame": 0, "motion": "much"}, WINDOW), ({"info": INFO},)],
        [
            ({"start_frame": 0, "motion": 9.0}, WINDOW),
            ({"info": {**INFO, "video_info": {**VIDEO_INFO, "num_frames": 10**12}}},),
        ],
        [({"start_frame": 0, "motion": 9.0}, WINDOW)] * 200,
        [({"what": 1},)],
    ],
)
def test_what_a_process_sends_is_validated(clip, messages):
    with decoding() as decoder:
        liar = Liar(decoder, messages)
        with pytest.raises(VideoUndecodableError, match="nonsense"):
            cut(decoder, clip)
        decoder.kill()
        liar.thread.join()
