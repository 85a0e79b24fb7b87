"""The decoding process: `python -m app.decoding.worker SOCKET MEMORY_BYTES [ESTIMATOR]`. `Decoder` starts it.

When FFmpeg's H.264 decoder can't allocate memory it reports a damaged picture; such a video then counts as broken.

The process imports neither the encoder's runtime nor the web framework, opens no file by itself, and ends when the
server does. For skeletons it has one estimator, which is used for clip after clip and loads its networks for each.
"""

import os
import resource
import socket
import sys
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from app.decoding.messages import Head, receive_with_file, send
from model.clip import open_clip
from model.clip_stream import WindowingConfig
from model.encoder import Frames
from model.errors import EstimatorError, VideoError
from model.skeleton.estimator import Estimator, open_estimator
from model.video import VideoLimits, open_frames

THUMBNAIL_FPS = 4
"""Frames per second from which the middle one is taken."""


def main() -> None:
    """Handle requests from the socket until the other side closes it or memory runs out."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    try:
        estimator = open_estimator(sys.argv[3]) if len(sys.argv) > 3 else None
    except EstimatorError as error:
        sys.exit(f"error: {error}")
    # The processor time of all threads of an estimator counts.
    num_threads = len(os.sched_getaffinity(0)) if estimator else 1
    limit_memory(int(sys.argv[2]))
    prefer_for_oom_kill()
    try:
        send(sock, {"ready": True})
        while (received := receive_with_file(sock)) is not None:
            head, number = received
            limit_processor_time(head["seconds"] * num_threads)
            with os.fdopen(number, "rb") as video:
                if not handle_request(sock, head, video, estimator):
                    return
    except (BrokenPipeError, ConnectionResetError):
        return


def handle_request(sock: socket.socket, head: Head, video: BinaryIO, estimator: Estimator | None = None) -> bool:
    """Answer one request. False where memory ran out: the process should end then."""
    try:
        if head["task"] == "windows":
            send_windows(sock, head, video, estimator)
        else:
            send_thumbnail(sock, head, video)
    except VideoError as error:
        send(sock, {"error": type(error).__name__, "message": str(error)})
    except MemoryError:
        send(sock, {"error": "MemoryError", "message": ""})
        return False
    return True


def send_windows(sock: socket.socket, head: Head, video: BinaryIO, estimator: Estimator | None) -> None:
    """Send the windows in which something moves as they are decoded, every frame once, then the facts of the clip."""
    windowing = WindowingConfig(**head["windowing"])
    sent_until = 0
    limits = VideoLimits(**head["limits"])
    with open_clip(video, windowing, estimator, limits=limits, start_s=head["start_s"], end_s=head["end_s"]) as windows:
        for window, motion in windows:
            num_known = max(0, sent_until - window.start_frame)
            send(sock, {"start_frame": window.start_frame, "motion": motion}, window.frames[num_known:])
            sent_until = window.start_frame + windowing.num_frames
    info = windows.info
    values = {"start_s": info.start_s, "video_info": vars(info.video_info), "warnings": info.warnings}
    send(sock, {"info": values})


def send_thumbnail(sock: socket.socket, head: Head, video: BinaryIO) -> None:
    """Send the middle frame of a clip as JPEG."""
    with open_frames(
        video,
        fps=THUMBNAIL_FPS,
        size=head["size"],
        limits=VideoLimits(**head["limits"]),
        start_s=head["start_s"],
        end_s=head["end_s"],
    ) as stream:
        frames = list(stream)
    send(sock, {"thumbnail": True}, as_jpeg(frames[len(frames) // 2]))


def as_jpeg(frame: Frames) -> bytes:
    """A frame, [H, W, 3] uint8 with even sides, as a JPEG file."""
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = frame.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 1)
    encoder.qmin = encoder.qmax = 5
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode()])


def limit_memory(num_bytes: int) -> None:
    """Limit the address space of this process to so many bytes more than it has now; disable core dumps."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + num_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def prefer_for_oom_kill() -> None:
    """When the machine or the container runs out of memory, let the kernel kill this process, not the service."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def limit_processor_time(seconds: float) -> None:
    """End the process if the next request takes longer than this, even if the server is gone and can't kill it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
