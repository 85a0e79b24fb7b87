"""From a video to the windows of its signer's skeleton: what `model.clip_stream` is for pictures.

Skeletons are estimated at 25 frames per second, whatever the rate of the encoder: a tracker that sees every second
picture follows hands less well. A window in which no hand was found says nothing; it is left out like a still one of
pictures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from model.clip_stream import DEFAULT_LIMITS, ClipInfo, MovingWindow, WindowingConfig
from model.config import WindowForm
from model.encoder import Flags, Floats, Frames, Ints
from model.skeleton.estimator import Estimator, FrameLandmarks, stack_landmarks
from model.skeleton.features import FPS, bridge_hand_gaps, in_shoulder_widths, require_hands
from model.skeleton.kinematics import LEFT_HAND, MIRROR, RIGHT_HAND
from model.skeleton.landmarks import Landmarks, observe
from model.skeleton.normalisation import MIN_CONFIDENCE
from model.skeleton.rotations import Reals
from model.video import FrameStream, VideoLimits, VideoSource, open_frames
from model.windows import slide

SKELETON_VERSION = 1
"""Raise it when the same video gives other skeletons than before."""
MIN_HAND_SHARE = 0.25
"""With hands in less of its frames than this, a clip gets a warning."""


class SkeletonStream(Iterator[MovingWindow]):
    """The windows of one clip in which a hand was found. Not to be shared between threads.

    Reading raises what reading frames raises, and `NoSignerError`.
    """

    def __init__(self, frames: FrameStream, windowing: WindowingConfig, start_s: float, estimator: Estimator) -> None:
        self._frames = frames
        self._windowing = windowing
        self._start_s = start_s
        self._warnings: tuple[str, ...] = ()
        self._num_frames = 0
        self._windows = self._read(estimator)

    def __next__(self) -> MovingWindow:
        return next(self._windows)

    @property
    def info(self) -> ClipInfo:
        """See `ClipStream`."""
        video_info = replace(self._frames.info, num_frames=self._num_frames)
        return ClipInfo(self._start_s, video_info, (*self._frames.warnings, *self._warnings))

    def _read(self, estimator: Estimator) -> Iterator[MovingWindow]:
        clip = skeleton_frames(find_landmarks(self._frames, estimator), self._windowing.form)
        hands = known_hands(clip)
        require_hands(hands)
        self._warnings = tuple(_warn(int(hands.any(axis=1).sum()), len(hands)))
        self._num_frames = len(rows_at_rate(len(clip), self._windowing.fps))
        yield from skeleton_windows(clip, hands, self._windowing)


@contextmanager
def open_skeletons(
    source: VideoSource,
    windowing: WindowingConfig,
    estimator: Estimator,
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Iterator[SkeletonStream]:
    """Open a clip for reading the windows of its skeleton; like `model.clip_stream.open_pictures`.

    Raises:
        VideoError: the video can't be used, and why; here or while reading.
    """
    frames = open_frames(
        source,
        fps=FPS,
        size=windowing.size,
        limits=limits,
        start_s=start_s,
        end_s=end_s,
        square=False,
        enlarge=False,
    )
    with frames:
        yield SkeletonStream(frames, windowing, start_s, estimator)


def find_landmarks(frames: Iterator[Frames], estimator: Estimator) -> Landmarks:
    """The landmarks of a clip's frames, uncropped, at 25 per second.

    Raises:
        NoSignerError: nobody was found in any frame.
    """
    estimator.start_clip()
    found: list[FrameLandmarks] = []
    before: Frames | None = None
    for frame in frames:
        # A picture that is on display for longer is one and the same array: its landmarks are known already.
        found.append(found[-1] if frame is before else estimator.find(frame))
        before = frame
    assert before is not None, "a stream without frames raises"
    height, width = before.shape[:2]
    return stack_landmarks(found, [number / FPS for number in range(len(found))], fps=FPS, size=(width, height))


def skeleton_frames(landmarks: Landmarks, form: WindowForm) -> Floats:
    """A clip's frames as encoders take them: [T, 61, 4]; see `WindowForm`.

    Known is a keypoint that was found with confidence, or bridged.

    Args:
        landmarks: at 25 frames per second.
        form: `METRES` or `SHOULDERS`.
    """
    observed = observe(landmarks)
    keypoints = bridge_hand_gaps(observed.keypoints)
    known = np.asarray(np.isfinite(keypoints).all(axis=-1))
    if form == WindowForm.SHOULDERS:
        # Doubtful keypoints are kept: what hangs on them follows from where they were estimated to be.
        return pack_keypoints(in_shoulder_widths(keypoints), known)
    sure: Flags = (observed.confidence >= MIN_CONFIDENCE) | np.isnan(observed.keypoints[..., 0])
    return pack_keypoints(keypoints, known & sure)


def skeleton_windows(frames: Floats, hands: Flags, windowing: WindowingConfig) -> Iterator[MovingWindow]:
    """The windows of a clip in which a hand is known.

    Args:
        frames: [T, 61, 4] at 25 per second.
        hands: [T, 2] of `known_hands`.
        windowing: rate, length and stride of the windows.
    """
    rows = rows_at_rate(len(frames), windowing.fps)
    for window in slide(frames[rows], windowing.num_frames, windowing.stride_frames):
        if hands[rows][window.start_frame : window.start_frame + windowing.num_frames].any():
            yield window, 0.0


def pack_keypoints(keypoints: Reals, known: Flags) -> Floats:
    """Keypoints [..., 61, 3] and whether they are known [..., 61] as one array [..., 61, 4]; 0 where not."""
    known = known & np.isfinite(keypoints).all(axis=-1)
    return np.concatenate([np.where(known[..., None], keypoints, 0.0), known[..., None]], axis=-1).astype(np.float32)


def unpack_keypoints(frames: Floats) -> tuple[Floats, Flags]:
    """The inverse of `pack_keypoints`: keypoints [..., 61, 3] and [..., 61]."""
    return np.ascontiguousarray(frames[..., :3]), frames[..., 3] > 0.5


def mirror_skeleton(frames: Floats) -> Floats:
    """The same [..., 61, 4] as if filmed in a mirror: x negated, left and right exchanged."""
    turned: Floats = frames[..., MIRROR, :] * np.array([-1.0, 1.0, 1.0, 1.0], np.float32)
    return turned


def known_hands(frames: Floats) -> Flags:
    """[T, 2] left, right: the whole hand is known."""
    known = frames[..., 3] > 0.5
    return np.stack([known[:, hand].all(axis=-1) for hand in (LEFT_HAND, RIGHT_HAND)], axis=-1)


def rows_at_rate(num_frames: int, fps: float) -> Ints:
    """Which of a clip's frames at 25 per second are its frames at another rate: [T] rows, ascending."""
    count = max(1, int(np.ceil(num_frames * fps / FPS - 1e-9)))
    rows: Ints = np.floor(np.arange(count) * FPS / fps + 1e-9).astype(np.int64)
    return np.minimum(rows, num_frames - 1)


def _warn(num_found: int, num_frames: int) -> Iterator[str]:
    if num_found < MIN_HAND_SHARE * num_frames:
        yield (
            f"hands were found in {num_found} of {num_frames} frames only: keep both in the picture, in good light,"
            " and not too far away"
        )
