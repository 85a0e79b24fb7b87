"""From a video to windows of what an encoder takes: pictures, or skeletons."""

from contextlib import AbstractContextManager

from model.config import Form
from model.cut import DEFAULT_LIMITS, ClipStream, Cutting, open_windows
from model.skeleton.cut import open_skeletons
from model.skeleton.estimator import Estimator
from model.video import VideoLimits, VideoSource


def open_clip(
    source: VideoSource,
    cutting: Cutting,
    estimator: Estimator | None,
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> AbstractContextManager[ClipStream]:
    """Open a clip for reading its windows.

    Args:
        source: a path, or a seekable binary file object.
        cutting: how it is cut.
        estimator: finds skeletons, where windows are made of those.
        limits: what is refused.
        start_s: where the stretch begins, seconds.
        end_s: where it ends; None for the end of the video.

    Raises:
        VideoError: the video can't be used, and why; here or while reading.
    """
    if cutting.form == Form.PICTURES:
        return open_windows(source, cutting, limits=limits, start_s=start_s, end_s=end_s)
    assert estimator is not None, "windows of skeletons need an estimator"
    return open_skeletons(source, cutting, estimator, limits=limits, start_s=start_s, end_s=end_s)
