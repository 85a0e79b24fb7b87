"""From a video file to square RGB frames at the encoder's rate."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

VideoSource = Path | BinaryIO
"""A path, or a seekable binary file object."""


@dataclass(frozen=True)
class VideoLimits:
    """What is refused before it costs anything."""

    max_duration_s: float = 60.0
    max_bytes: int = 100_000_000
    max_pixels: int = 4096 * 2304
    """Pixels of one frame as coded."""


@dataclass(frozen=True)
class VideoFacts:
    """What was learnt of a video while it was read."""

    container: str
    """FFmpeg's name of the container, e.g. `mov,mp4,m4a,3gp,3g2,mj2`."""
    codec: str
    width: int
    """Pixels as displayed: after rotation and sample aspect ratio."""
    height: int
    rotation_deg: int
    """Clockwise turn that was applied: 0, 90, 180 or 270."""
    source_fps: float
    """Decoded frames per second of the stretch that was read."""
    duration_s: float
    """Length of the stretch that was read, seconds."""
    num_frames: int
    """Frames given out, at the encoder's rate."""
