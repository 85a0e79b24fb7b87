"""From a video to the windows an encoder takes, of pictures or of skeletons: `open_clip`."""

from contextlib import AbstractContextManager

from model.clip_stream import DEFAULT_LIMITS, ClipStream, WindowingConfig, open_pictures
from model.config import WindowForm
from model.skeleton.estimator import Estimator
from model.skeleton.skeleton_stream import open_skeletons
from model.video import VideoLimits, VideoSource


def open_clip(
    source: VideoSource,
    windowing: WindowingConfig,
    estimator: Estimator | None,
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> AbstractContextManager[ClipStream]:
    """Open a clip for reading its windows.

    Args:
        source: a path, or a seekable binary file object.
        windowing: the windows to make.
        estimator: finds skeletons; needed where windows are made of those.
        limits: what is refused.
        start_s: where the clip starts in the video, seconds.
        end_s: where it ends; None for the end of the video.

    Raises:
        VideoError: the video can't be used, and why; here or while reading.
    """
    if windowing.form == WindowForm.PICTURES:
        return open_pictures(source, windowing, limits=limits, start_s=start_s, end_s=end_s)
    assert estimator is not None, "windows of skeletons need an estimator"
    return open_skeletons(source, windowing, estimator, limits=limits, start_s=start_s, end_s=end_s)
