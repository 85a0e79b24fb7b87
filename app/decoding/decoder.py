"""The server's side of one decoding process."""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from app.decoding.limits import DecoderLimits
from app.decoding.messages import LENGTHS, MAX_HEAD_BYTES, Head, receive_exactly, send_with_file
from app.errors import VideoTooCostlyError, VideoUndecodableError
from model import errors as model_errors
from model.clip_stream import ClipInfo, MovingWindow, WindowingConfig
from model.config import WindowForm
from model.encoder import Floats, Ints, Windows
from model.errors import VideoError
from model.video import VideoLimits
from model.video.time_range import WHOLE_VIDEO, TimeRange
from model.windows import Window

CHECKOUT = Path(__file__).resolve().parent.parent.parent
START_S = 60.0
"""How long a process may take to start: it imports its libraries, on a machine that may be busy."""
ESTIMATOR_START_S = 300.0
"""The same with an estimator, which takes three seconds on an idle machine."""
ENVIRONMENT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")
"""Variables that a process inherits: nothing that is secret."""
MAX_THUMBNAIL_BYTES = 1_000_000
MAX_METRES = 1_000.0
"""Farthest coordinate of a keypoint; even a bad estimate is nearer, and finite."""

VIDEO_ERRORS = {
    error.__name__: error
    for error in vars(model_errors).values()
    if isinstance(error, type) and issubclass(error, VideoError)
}
CLIP_INFO = TypeAdapter(ClipInfo)


@dataclass(frozen=True)
class DecodedWindows:
    """The windows of a clip in which something moves; they share their frames."""

    frames: Windows
    """[F, H, W, 3] uint8, or [F, 61, 4] float32 of skeletons."""
    first_rows: tuple[int, ...]
    """Row of the first frame of each window."""
    start_frames: Ints
    """[N] number of the first frame of each window in the clip."""
    motion: Floats
    """[N] grey levels."""
    num_frames: int
    """Frames in a window."""
    info: ClipInfo

    def __len__(self) -> int:
        return len(self.first_rows)

    def __getitem__(self, number: int) -> Windows:
        """One window, [num_frames, ...], not copied."""
        row = self.first_rows[number]
        return self.frames[row : row + self.num_frames]

    def moving_windows(self) -> Iterator[MovingWindow]:
        """The windows as `model.clip_stream` gives them, not copied."""
        for number, (start_frame, motion) in enumerate(zip(self.start_frames, self.motion, strict=True)):
            yield Window(int(start_frame), self[number]), float(motion)


class Decoder:
    """One decoding process. Not thread-safe, except for `kill`, which any thread may call.

    After any error but a `VideoError` it can't be used any more: kill it and start another.
    """

    def __init__(self, limits: DecoderLimits, estimator: str | None = None) -> None:
        """Start a process.

        Args:
            limits: of each video.
            estimator: of skeletons, as `model.skeleton.estimator` names it; None for pictures.
        """
        self._limits = limits
        self._start_s = ESTIMATOR_START_S if estimator else START_S
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # Threads of OpenBLAS take address space, which is limited; one is enough for windows.
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        with theirs:
            command = [sys.executable, "-m", "app.decoding.worker", str(theirs.fileno()), str(limits.memory_bytes)]
            command += [estimator] if estimator else []
            self._process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env={**environment, "OPENBLAS_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._busy = threading.Lock()
        self._is_ready = False
        self.num_done = 0
        """Videos that it has decoded."""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def decode_windows(
        self, video: int, windowing: WindowingConfig, limits: VideoLimits, time_range: TimeRange = WHOLE_VIDEO
    ) -> DecodedWindows:
        """Decode a clip into windows.

        Args:
            video: descriptor of an open file; its position is not kept.
            windowing: how frames are scaled and windows are made of them.
            limits: of what is accepted.
            time_range: the part that shows the sign.

        Raises:
            VideoError: the video can't be used, and why.
            VideoTooCostlyError: it takes more time or memory than allowed.
            VideoUndecodableError: the process ended over it.
        """
        with self._translating_errors():
            self._request(video, {"task": "windows", "windowing": asdict(windowing)}, limits, time_range)
            return self._read_windows(windowing, limits)

    def decode_thumbnail(
        self, video: int, size: int, limits: VideoLimits, time_range: TimeRange = WHOLE_VIDEO
    ) -> bytes:
        """The middle frame of a clip as JPEG of `size` x `size` pixels. Raises what `decode_windows` raises."""
        with self._translating_errors():
            self._request(video, {"task": "thumbnail", "size": size}, limits, time_range)
            _, payload = self._receive(MAX_THUMBNAIL_BYTES)
            self.num_done += 1
            return bytes(payload)

    def start(self) -> None:
        """Wait until the process has started.

        Raises:
            ServiceError: it could not; its messages are on the error stream.
        """
        with self._translating_errors():
            self._wait_until_ready()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone; the kernel may kill an idle one when memory runs out."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill the process; a thread that waits for it gets an error."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        with self._busy:  # a thread that waited for the socket is awake now, and releases it
            self._socket.close()

    def _wait_until_ready(self) -> None:
        if not self._is_ready:
            self._deadline = time.monotonic() + self._start_s
            self._receive(0)
            self._is_ready = True

    def _request(self, video: int, head: Head, limits: VideoLimits, time_range: TimeRange) -> None:
        self._wait_until_ready()  # the start of the process does not count as time of a video
        self._deadline = time.monotonic() + self._limits.seconds
        shared = {"limits": asdict(limits), "start_s": time_range.start_s, "end_s": time_range.end_s}
        send_with_file(self._socket, {**head, **shared, "seconds": self._limits.seconds}, video)

    def _read_windows(self, windowing: WindowingConfig, limits: VideoLimits) -> DecodedWindows:
        frame_bytes = math.prod(windowing.frame_shape) * windowing.dtype.itemsize
        max_frames = int(limits.max_duration_s * windowing.fps) + windowing.num_frames
        frames, first_rows, starts, motion = bytearray(), [], [], []
        while True:
            head, payload = self._receive(windowing.num_frames * frame_bytes)
            if "info" in head:
                break
            frames += payload
            first_rows.append(len(frames) // frame_bytes - windowing.num_frames)
            starts.append(int(head["start_frame"]))
            motion.append(float(head["motion"]))
            if len(frames) > max_frames * frame_bytes or len(frames) % frame_bytes or first_rows[-1] < 0:
                raise ValueError("frames that no clip of this length has")
        info = CLIP_INFO.validate_python(head["info"])
        if info.video_info.num_frames > max_frames or sorted({*starts} & {*info.starts(windowing).tolist()}) != starts:
            raise ValueError("windows that no clip of this length has")
        if not starts:
            raise ValueError("a clip without windows")
        whole = np.frombuffer(frames, windowing.dtype).reshape(-1, *windowing.frame_shape)
        if windowing.form != WindowForm.PICTURES and not (np.abs(whole) < MAX_METRES).all():
            raise ValueError("coordinates that no skeleton has")
        self.num_done += 1
        return DecodedWindows(
            frames=whole,
            first_rows=tuple(first_rows),
            start_frames=np.array(starts, np.int64),
            motion=np.array(motion, np.float32),
            num_frames=windowing.num_frames,
            info=info,
        )

    def _receive(self, max_payload_bytes: int) -> tuple[Head, bytearray]:
        """The next message. An error that it reports is raised."""
        head_bytes, payload_bytes = LENGTHS.unpack(self._receive_exactly(LENGTHS.size))
        if head_bytes > MAX_HEAD_BYTES or payload_bytes > max_payload_bytes:
            raise ValueError(f"a message of {head_bytes} + {payload_bytes} bytes")
        head: Head = json.loads(self._receive_exactly(head_bytes))
        payload = self._receive_exactly(payload_bytes)
        if "error" in head:
            self.num_done += 1
            raise self._reported_error(str(head["error"]), str(head["message"]))
        return head, payload

    def _receive_exactly(self, num_bytes: int) -> bytearray:
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
        return receive_exactly(self._socket, num_bytes)

    def _reported_error(self, name: str, message: str) -> Exception:
        if name == "MemoryError":
            return VideoTooCostlyError(
                f"decoding takes more than {self._limits.memory_bytes / 1e6:g} MB (SIGNDEX_DECODE_MB): send a video"
                " with fewer pixels"
            )
        return VIDEO_ERRORS.get(name, VideoError)(message)

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Raise an error about the video where the process ends, takes too long or sends nonsense."""
        try:
            with self._busy:
                yield
        except TimeoutError as error:
            raise self._too_slow() from error
        except (EOFError, OSError) as error:
            raise self._exit_error() from error
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise VideoUndecodableError("the decoder gave nonsense over this video: export it again") from error

    def _exit_error(self) -> Exception:
        """The error that the exit status of the process stands for."""
        status = self._process.wait()
        if status == -signal.SIGXCPU:
            return self._too_slow()
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return VideoUndecodableError(f"the decoder ended over this video ({how}): export it again, as MP4 or WebM")

    def _too_slow(self) -> VideoTooCostlyError:
        return VideoTooCostlyError(
            f"decoding takes more than {self._limits.seconds:g} s (SIGNDEX_DECODE_S): send a shorter video, or one with"
            " fewer pixels"
        )
