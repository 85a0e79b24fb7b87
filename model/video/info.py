"""Limits on videos, and the properties of one that was read."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

VideoSource = Path | BinaryIO
"""A path, or a seekable binary file object."""


@dataclass(frozen=True)
class VideoLimits:
    """What is refused before it costs anything."""

    max_duration_s: float = 60.0
    """Of the time range that is read, not of the whole file."""
    max_bytes: int = 100_000_000
    max_pixels: int = 4096 * 2304
    """Pixels of one frame as coded."""
    max_source_fps: float = 240.0
    """Pictures decoded per second, on average: a few bytes can hold a picture, so bytes alone do not bound the work."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video, found while it was read."""

    container: str
    """FFmpeg's name of the container, e.g. `mov,mp4,m4a,3gp,3g2,mj2`."""
    codec: str
    width: int
    """Pixels as displayed: after rotation and sample aspect ratio."""
    height: int
    rotation_deg: int
    """Clockwise turn that was applied: 0, 90, 180 or 270."""
    source_fps: float
    """Pictures per second that were on display in the time range."""
    duration_s: float
    """Length of the time range that was read, seconds."""
    num_frames: int
    """Frames given out, at the encoder's rate."""
