"""The process that decodes: `python -m app.decoding.worker SOCKET MEMORY_BYTES [ESTIMATOR]`. `Decoder` starts it.

Where memory is refused to FFmpeg's H.264 decoder, that reports a damaged picture; such a video then counts as broken.

It imports neither the encoder's runtime nor the web framework, opens no file by itself, and ends when the server does.
Where skeletons are wanted it holds one estimator, which goes from clip to clip and reads its own networks at each.
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
from model.cut import Cutting
from model.encoder import Frames
from model.errors import EstimatorError, VideoError
from model.skeleton.estimator import Estimator, open_estimator
from model.video import VideoLimits, open_frames

PICTURE_FPS = 4
"""Frames per second among which the middle one is looked for."""


def main() -> None:
    """Decode what comes over the socket, until the other side goes or memory runs out."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    try:
        estimator = open_estimator(sys.argv[3]) if len(sys.argv) > 3 else None
    except EstimatorError as error:
        sys.exit(f"error: {error}")
    # An estimator works in several threads, whose times add up.
    num_threads = len(os.sched_getaffinity(0)) if estimator else 1
    limit_memory(int(sys.argv[2]))
    go_first()
    try:
        send(sock, {"ready": True})
        while (received := receive_with_file(sock)) is not None:
            head, number = received
            limit_processor_time(head["seconds"] * num_threads)
            with os.fdopen(number, "rb") as video:
                if not answered(sock, head, video, estimator):
                    return
    except (BrokenPipeError, ConnectionResetError):
        return


def answered(sock: socket.socket, head: Head, video: BinaryIO, estimator: Estimator | None = None) -> bool:
    """Answer one message. False where the memory did not suffice: what is left of the process is not worth keeping."""
    try:
        if head["do"] == "cut":
            send_windows(sock, head, video, estimator)
        else:
            send_picture(sock, head, video)
    except VideoError as error:
        send(sock, {"error": type(error).__name__, "message": str(error)})
    except MemoryError:
        send(sock, {"error": "MemoryError", "message": ""})
        return False
    return True


def send_windows(sock: socket.socket, head: Head, video: BinaryIO, estimator: Estimator | None) -> None:
    """Send the windows that are worth encoding as they come, every frame once, then what was learnt of the clip."""
    cutting = Cutting(**head["cutting"])
    sent_until = 0
    limits = VideoLimits(**head["limits"])
    with open_clip(video, cutting, estimator, limits=limits, start_s=head["start_s"], end_s=head["end_s"]) as windows:
        for window, motion in windows:
            num_known = max(0, sent_until - window.start_frame)
            send(sock, {"start_frame": window.start_frame, "motion": motion}, window.frames[num_known:])
            sent_until = window.start_frame + cutting.num_frames
    seen = windows.seen
    send(sock, {"seen": {"start_s": seen.start_s, "facts": vars(seen.facts), "warnings": seen.warnings}})


def send_picture(sock: socket.socket, head: Head, video: BinaryIO) -> None:
    """Send the middle of a clip as JPEG."""
    with open_frames(
        video,
        fps=PICTURE_FPS,
        size=head["size"],
        limits=VideoLimits(**head["limits"]),
        start_s=head["start_s"],
        end_s=head["end_s"],
    ) as stream:
        frames = list(stream)
    send(sock, {"picture": True}, as_jpeg(frames[len(frames) // 2]))


def as_jpeg(frame: Frames) -> bytes:
    """A frame, [H, W, 3] uint8 with even sides, as a JPEG file."""
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = frame.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 1)
    encoder.qmin = encoder.qmax = 5
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode()])


def limit_memory(num_bytes: int) -> None:
    """Let the process take this much address space beyond what it has now; write no core."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + num_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def go_first() -> None:
    """Where the machine or the container runs out of memory, the kernel is to end this process, not the service."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def limit_processor_time(seconds: float) -> None:
    """End the process when the next task takes longer than this, even if the server is no longer there to do so."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
