"""Sliding windows over a stream of frames, never holding more than the window being built."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from model.encoder import Ints, Windows


@dataclass(frozen=True)
class Window:
    """Consecutive frames, what the encoder takes."""

    start_frame: int
    """Number of its first frame in the stream."""
    frames: Windows
    """[num_frames, ...]: uint8 pictures [H, W, 3], or skeletons."""
    num_padded: int = 0
    """How many frames at the end repeat the last one of a clip that is too short."""


def slide(frames: Iterable[Windows], num_frames: int, stride: int) -> Iterator[Window]:
    """The windows of a stream, which together cover every frame.

    Paper: a trailing partial window is dropped. Here: one last window ends on the last frame, because with strides
    above the paper's 2 the end of a sign would be lost. A stream shorter than a window repeats its last frame.

    Args:
        frames: uint8 [H, W, 3], or skeletons, one at a time.
        num_frames: frames in a window.
        stride: frames between window starts, at most `num_frames`.

    Raises:
        ValueError: the stride would skip frames.
    """
    if not 1 <= stride <= num_frames:
        raise ValueError(f"stride is {stride}; from 1 to {num_frames} frames every frame is covered")
    held: deque[Windows] = deque(maxlen=num_frames)
    num_seen, covered = 0, 0
    for frame in frames:
        held.append(frame)
        num_seen += 1
        if num_seen >= num_frames and (num_seen - num_frames) % stride == 0:
            covered = num_seen
            yield Window(num_seen - num_frames, np.stack(held))
    if covered == num_seen:
        return
    num_padded = max(0, num_frames - num_seen)
    held.extend([held[-1]] * num_padded)
    yield Window(max(0, num_seen - num_frames), np.stack(held), num_padded)


def window_starts(num_seen: int, num_frames: int, stride: int) -> Ints:
    """Where `slide` starts its windows in a stream of `num_seen` frames: [N] frame numbers, ascending."""
    last = max(0, num_seen - num_frames)
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)
