"""From a video file to square RGB frames at the encoder's rate.

    bytes -> container (opened, limits checked) -> timed pictures -> upright, small, SDR -> sampled at fps -> cropped
             container                             container         picture               stream            crop

Whatever the video's length and size, what is held is one decoded picture (and the decoder's own few) plus a bounded
look-ahead of small frames.
"""

from model.video.info import VideoInfo, VideoLimits, VideoSource
from model.video.stream import FrameStream, open_frames

__all__ = ["FrameStream", "VideoInfo", "VideoLimits", "VideoSource", "open_frames"]
