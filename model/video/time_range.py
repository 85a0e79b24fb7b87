"""The part of a video that shows a sign."""

from dataclasses import dataclass

from model.errors import TimeRangeError


@dataclass(frozen=True)
class TimeRange:
    """Seconds of a video, from its first picture on."""

    start_s: float = 0.0
    end_s: float | None = None
    """None for the end of the video."""

    def __post_init__(self) -> None:
        """Refuse an empty range.

        Raises:
            TimeRangeError: it ends before it starts.
        """
        if self.end_s is not None and self.end_s <= self.start_s:
            raise TimeRangeError(f"end_s is {self.end_s}, start_s is {self.start_s}; end_s must be larger")


WHOLE_VIDEO = TimeRange()
"""The whole video."""
