"""One decoding process, seen from the server."""

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

from app.decoding.messages import LENGTHS, MAX_HEAD_BYTES, Head, receive_exactly, send_with_file
from app.errors import VideoTooCostlyError, VideoUndecodableError
from app.lookup import WHOLE, Stretch
from model import errors as model_errors
from model.config import Form
from model.cut import Cutting, MovingWindow, Seen
from model.encoder import Floats, Ints, Windows
from model.errors import VideoError
from model.video import VideoLimits
from model.windows import Window

CHECKOUT = Path(__file__).resolve().parent.parent.parent
START_S = 60.0
"""How long a process may take to start: it imports its libraries on a machine that may be busy."""
ESTIMATOR_START_S = 300.0
"""The same with an estimator: three seconds of a processor on a machine that does nothing else."""
PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")
"""What a process gets of the environment: nothing that is secret."""
MAX_PICTURE_BYTES = 1_000_000
MAX_METRES = 1_000.0
"""Beyond it, or no number at all, is no place of a keypoint: not even of one that was estimated badly."""

VIDEO_ERRORS = {
    error.__name__: error
    for error in vars(model_errors).values()
    if isinstance(error, type) and issubclass(error, VideoError)
}
SEEN = TypeAdapter(Seen)


@dataclass(frozen=True)
class DecoderLimits:
    """What one video may cost."""

    memory_bytes: int
    """Beyond what the process has when it starts."""
    seconds: float


@dataclass(frozen=True)
class CutClip:
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
    seen: Seen

    def __len__(self) -> int:
        return len(self.first_rows)

    def __getitem__(self, number: int) -> Windows:
        """One window, [num_frames, ...], not copied."""
        row = self.first_rows[number]
        return self.frames[row : row + self.num_frames]

    def moving_windows(self) -> Iterator[MovingWindow]:
        """The windows as `model.cut` gives them, not copied."""
        for number, (start_frame, motion) in enumerate(zip(self.start_frames, self.motion, strict=True)):
            yield Window(int(start_frame), self[number]), float(motion)


class Decoder:
    """One process. Not to be shared between threads, but for `kill`, which any thread may call.

    After any other error than a `VideoError` it is of no more use: kill it and make another.
    """

    def __init__(self, limits: DecoderLimits, estimator: str | None = None) -> None:
        """Start a process.

        Args:
            limits: of each video.
            estimator: what finds skeletons, as `model.skeleton.estimator` names it; None where pictures are wanted.
        """
        self._limits = limits
        self._start_s = ESTIMATOR_START_S if estimator else START_S
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # No other library may take over the address space: one thread in the mathematics is plenty to cut windows.
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
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

    def cut(self, video: int, cutting: Cutting, limits: VideoLimits, stretch: Stretch = WHOLE) -> CutClip:
        """Decode a clip and cut it into windows.

        Args:
            video: an open file; its position is not kept.
            cutting: how to cut it.
            limits: what is refused.
            stretch: the part that shows the sign.

        Raises:
            VideoError: the video can't be used, and why.
            VideoTooCostlyError: it takes more time or memory than allowed.
            VideoUndecodableError: the process ended over it.
        """
        with self._reported():
            self._ask(video, {"do": "cut", "cutting": asdict(cutting)}, limits, stretch)
            return self._read_windows(cutting, limits)

    def picture(self, video: int, size: int, limits: VideoLimits, stretch: Stretch = WHOLE) -> bytes:
        """The middle of a clip as JPEG of `size` x `size` pixels. Raises what `cut` raises."""
        with self._reported():
            self._ask(video, {"do": "picture", "size": size}, limits, stretch)
            _, payload = self._receive(MAX_PICTURE_BYTES)
            self.num_done += 1
            return bytes(payload)

    def start(self) -> None:
        """Wait until the process has started.

        Raises:
            ServiceError: it could not; its own words are on the error stream.
        """
        with self._reported():
            self._wait_until_ready()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone; a decoder that nobody uses can be taken by whoever looks for memory."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process, whatever it does; a thread that waits for it gets an error."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        with self._busy:  # whoever waits for the socket is awake now, and lets go of it
            self._socket.close()

    def _wait_until_ready(self) -> None:
        if not self._is_ready:
            self._deadline = time.monotonic() + self._start_s
            self._receive(0)
            self._is_ready = True

    def _ask(self, video: int, head: Head, limits: VideoLimits, stretch: Stretch) -> None:
        self._wait_until_ready()  # its start does not count into the time of a video
        self._deadline = time.monotonic() + self._limits.seconds
        shared = {"limits": asdict(limits), "start_s": stretch.start_s, "end_s": stretch.end_s}
        send_with_file(self._socket, {**head, **shared, "seconds": self._limits.seconds}, video)

    def _read_windows(self, cutting: Cutting, limits: VideoLimits) -> CutClip:
        frame_bytes = math.prod(cutting.frame_shape) * cutting.dtype.itemsize
        max_frames = int(limits.max_duration_s * cutting.fps) + cutting.num_frames
        frames, first_rows, starts, motion = bytearray(), [], [], []
        while True:
            head, payload = self._receive(cutting.num_frames * frame_bytes)
            if "seen" in head:
                break
            frames += payload
            first_rows.append(len(frames) // frame_bytes - cutting.num_frames)
            starts.append(int(head["start_frame"]))
            motion.append(float(head["motion"]))
            if len(frames) > max_frames * frame_bytes or len(frames) % frame_bytes or first_rows[-1] < 0:
                raise ValueError("frames that no clip of this length has")
        seen = SEEN.validate_python(head["seen"])
        if seen.facts.num_frames > max_frames or sorted({*starts} & {*seen.starts(cutting).tolist()}) != starts:
            raise ValueError("windows that no clip of this length has")
        if not starts:
            raise ValueError("a clip without windows")
        whole = np.frombuffer(frames, cutting.dtype).reshape(-1, *cutting.frame_shape)
        if cutting.form != Form.PICTURES and not (np.abs(whole) < MAX_METRES).all():
            raise ValueError("a skeleton that nobody has")
        self.num_done += 1
        return CutClip(
            frames=whole,
            first_rows=tuple(first_rows),
            start_frames=np.array(starts, np.int64),
            motion=np.array(motion, np.float32),
            num_frames=cutting.num_frames,
            seen=seen,
        )

    def _receive(self, max_payload_bytes: int) -> tuple[Head, bytearray]:
        """The next message; an error in it is raised."""
        head_bytes, payload_bytes = LENGTHS.unpack(self._receive_exactly(LENGTHS.size))
        if head_bytes > MAX_HEAD_BYTES or payload_bytes > max_payload_bytes:
            raise ValueError(f"a message of {head_bytes} + {payload_bytes} bytes")
        head: Head = json.loads(self._receive_exactly(head_bytes))
        payload = self._receive_exactly(payload_bytes)
        if "error" in head:
            self.num_done += 1
            raise self._error(str(head["error"]), str(head["message"]))
        return head, payload

    def _receive_exactly(self, num_bytes: int) -> bytearray:
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
        return receive_exactly(self._socket, num_bytes)

    def _error(self, name: str, message: str) -> Exception:
        if name == "MemoryError":
            return VideoTooCostlyError(
                f"decoding takes more than {self._limits.memory_bytes / 1e6:g} MB (SIGNDEX_DECODE_MB): send a video"
                " with fewer pixels"
            )
        return VIDEO_ERRORS.get(name, VideoError)(message)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn what becomes of a process into what its video is to blame for."""
        try:
            with self._busy:
                yield
        except TimeoutError as error:
            raise self._too_slow() from error
        except (EOFError, OSError) as error:
            raise self._ending() from error
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise VideoUndecodableError("the decoder gave nonsense over this video: export it again") from error

    def _ending(self) -> Exception:
        """What the end of the process says of the video."""
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
