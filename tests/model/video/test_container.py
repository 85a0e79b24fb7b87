"""Opening files without trusting them, and clocks that always go forward."""

import io
import itertools
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.errors import NotAVideoError, VideoError
from model.video import container, open_frames
from model.video.container import Clock
from tests.clips import numbered, write_clip


@pytest.fixture
def listener():
    """A server that nobody may call; `accept` on it times out at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def texts_that_point_elsewhere(where: str) -> dict[str, bytes]:
    return {
        "HLS": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{where}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{where}'\n".encode(),
        "DASH": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
            f"<Representation><BaseURL>{where}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ).encode(),
        "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    }


@pytest.mark.parametrize("kind", ["HLS", "concat", "DASH", "SDP"])
def test_a_file_that_points_to_other_files_is_refused(kind, tmp_path, listener):
    write_clip(tmp_path / "secret.ts", numbered(20), container="mpegts")
    for where in (str(tmp_path / "secret.ts"), f"http://127.0.0.1:{listener.getsockname()[1]}/x.ts"):
        list_path = tmp_path / "clip.mp4"
        list_path.write_bytes(texts_that_point_elsewhere(where)[kind])
        for source in (list_path, io.BytesIO(list_path.read_bytes())):
            with pytest.raises(NotAVideoError, match="allowed are MP4"):
                open_frames(source, fps=25, size=16)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_even_a_playlist_reader_could_open_nothing(tmp_path, listener, monkeypatch):
    monkeypatch.setattr(container, "FORMATS", container.FORMATS + ",hls,concat")
    write_clip(tmp_path / "secret.ts", numbered(20), container="mpegts")
    for where in (str(tmp_path / "secret.ts"), f"http://127.0.0.1:{listener.getsockname()[1]}/x.ts"):
        for kind in ("HLS", "concat"):
            with (
                pytest.raises(VideoError),
                open_frames(io.BytesIO(texts_that_point_elsewhere(where)[kind]), fps=25, size=16) as stream,
            ):
                list(stream)
    with pytest.raises(TimeoutError):
        listener.accept()


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1))
@example([None, 1e-292, 1e-136, 1.0, None])
def test_a_clock_always_goes_forward(times_s):
    clock = Clock(0.04)
    told = [clock.tick(time_s) for time_s in times_s]
    assert all(before < after for before, after in itertools.pairwise(told))


def test_a_clock_believes_times_that_lead_forward():
    clock = Clock(0.04)
    assert [clock.tick(t) for t in (0.0, 0.1, 0.15, 9.0)] == [0.0, 0.1, 0.15, 9.0]


def test_a_clock_fills_missing_and_backward_times_with_the_usual_step():
    clock = Clock(0.04)
    assert [clock.tick(t) for t in (0.0, 0.1, 0.2, None, 0.0)] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_a_clock_tick_is_no_duration_of_a_last_picture():
    clock = Clock(0.04)
    clock.tick(0.0)
    clock.tick(0.033)
    assert clock.last_duration(0.001) == pytest.approx(0.033)
    assert clock.last_duration(0.5) == 0.5
