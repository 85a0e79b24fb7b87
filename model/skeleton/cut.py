"""From a video to the windows of its signer's skeleton: what `model.cut` is for pictures.

Skeletons are found in 25 frames per second, whatever the rate of the encoder: a tracker that sees every second picture
follows hands less well. A window in which no hand was found says nothing; it is left out like a still one of pictures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from model.config import Form
from model.cut import DEFAULT_LIMITS, Cutting, MovingWindow, Seen
from model.encoder import Flags, Floats, Frames, Ints
from model.skeleton.estimator import Estimator, Found, landmarks_of
from model.skeleton.kinematics import LEFT_HAND, MIRROR, RIGHT_HAND
from model.skeleton.landmarks import Landmarks, observe
from model.skeleton.normal import MIN_CONFIDENCE
from model.skeleton.rotations import Reals
from model.skeleton.signing import FPS, bridged_hands, in_shoulder_widths, require_hands
from model.video import FrameStream, VideoLimits, VideoSource, open_frames
from model.windows import slide

SKELETON_VERSION = 1
"""Raise it when the same video gives other skeletons than before."""
FEW_HANDS = 0.25
"""With hands in less of its frames than this, a clip gets a warning."""


class SkeletonStream(Iterator[MovingWindow]):
    """The windows of one clip in which a hand was found. Not to be shared between threads.

    Reading raises what reading frames raises, and `NoSignerError`.
    """

    def __init__(self, frames: FrameStream, cutting: Cutting, start_s: float, estimator: Estimator) -> None:
        self._frames = frames
        self._cutting = cutting
        self._start_s = start_s
        self._warnings: tuple[str, ...] = ()
        self._num_frames = 0
        self._windows = self._read(estimator)

    def __next__(self) -> MovingWindow:
        return next(self._windows)

    @property
    def seen(self) -> Seen:
        """What was learnt of the clip; known once every window was read."""
        facts = replace(self._frames.facts, num_frames=self._num_frames)
        return Seen(self._start_s, facts, (*self._frames.warnings, *self._warnings))

    def _read(self, estimator: Estimator) -> Iterator[MovingWindow]:
        clip = skeleton(find_landmarks(self._frames, estimator), self._cutting.form)
        hands = hands_known(clip)
        require_hands(hands)
        self._warnings = tuple(_warn(int(hands.any(axis=1).sum()), len(hands)))
        self._num_frames = len(sampled(len(clip), self._cutting.fps))
        yield from skeleton_windows(clip, hands, self._cutting)


@contextmanager
def open_skeletons(
    source: VideoSource,
    cutting: Cutting,
    estimator: Estimator,
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Iterator[SkeletonStream]:
    """Open a clip for reading the windows of its skeleton; like `model.cut.open_windows`.

    Raises:
        VideoError: the video can't be used, and why; here or while reading.
    """
    frames = open_frames(
        source,
        fps=FPS,
        size=cutting.size,
        limits=limits,
        start_s=start_s,
        end_s=end_s,
        square=False,
        enlarge=False,
    )
    with frames:
        yield SkeletonStream(frames, cutting, start_s, estimator)


def find_landmarks(frames: Iterator[Frames], estimator: Estimator) -> Landmarks:
    """The landmarks of a clip's frames, whole ones, at 25 per second.

    Raises:
        NoSignerError: nobody was found in any frame.
    """
    estimator.begin()
    found: list[Found] = []
    before: Frames | None = None
    for frame in frames:
        # A picture that is on display for longer is one and the same array: it need not be looked at again.
        found.append(found[-1] if frame is before else estimator.find(frame))
        before = frame
    assert before is not None, "a stream without frames raises"
    height, width = before.shape[:2]
    return landmarks_of(found, [number / FPS for number in range(len(found))], fps=FPS, size=(width, height))


def skeleton(landmarks: Landmarks, form: Form) -> Floats:
    """A clip's frames as encoders take them: [T, 61, 4]; see `Form`.

    Known is a keypoint that was found with confidence, or bridged.

    Args:
        landmarks: at 25 frames per second.
        form: `METRES` or `SHOULDERS`.
    """
    observed = observe(landmarks)
    keypoints = bridged_hands(observed.keypoints)
    known = np.asarray(np.isfinite(keypoints).all(axis=-1))
    if form == Form.SHOULDERS:
        # Doubtful keypoints are kept: what hangs on them is told by where they were estimated to be.
        return packed(in_shoulder_widths(keypoints), known)
    sure: Flags = (observed.confidence >= MIN_CONFIDENCE) | np.isnan(observed.keypoints[..., 0])
    return packed(keypoints, known & sure)


def skeleton_windows(frames: Floats, hands: Flags, cutting: Cutting) -> Iterator[MovingWindow]:
    """The windows of a clip in which a hand is known.

    Args:
        frames: [T, 61, 4] at 25 per second.
        hands: [T, 2] of `hands_known`.
        cutting: at which rate, how long, how far apart.
    """
    rows = sampled(len(frames), cutting.fps)
    for window in slide(frames[rows], cutting.num_frames, cutting.stride_frames):
        if hands[rows][window.start_frame : window.start_frame + cutting.num_frames].any():
            yield window, 0.0


def packed(keypoints: Reals, known: Flags) -> Floats:
    """Keypoints [..., 61, 3] and whether they are known [..., 61] as one array [..., 61, 4]; 0 where not."""
    known = known & np.isfinite(keypoints).all(axis=-1)
    return np.concatenate([np.where(known[..., None], keypoints, 0.0), known[..., None]], axis=-1).astype(np.float32)


def unpacked(frames: Floats) -> tuple[Floats, Flags]:
    """The inverse of `packed`: keypoints [..., 61, 3] and [..., 61]."""
    return np.ascontiguousarray(frames[..., :3]), frames[..., 3] > 0.5


def mirrored_skeleton(frames: Floats) -> Floats:
    """The same [..., 61, 4] as if filmed in a mirror: x negated, left and right exchanged."""
    turned: Floats = frames[..., MIRROR, :] * np.array([-1.0, 1.0, 1.0, 1.0], np.float32)
    return turned


def hands_known(frames: Floats) -> Flags:
    """[T, 2] left, right: the whole hand is known."""
    known = frames[..., 3] > 0.5
    return np.stack([known[:, hand].all(axis=-1) for hand in (LEFT_HAND, RIGHT_HAND)], axis=-1)


def sampled(num_frames: int, fps: float) -> Ints:
    """Which of a clip's frames at 25 per second are those at another rate: [T] rows, ascending."""
    count = max(1, int(np.ceil(num_frames * fps / FPS - 1e-9)))
    rows: Ints = np.floor(np.arange(count) * FPS / fps + 1e-9).astype(np.int64)
    return np.minimum(rows, num_frames - 1)


def _warn(num_found: int, num_frames: int) -> Iterator[str]:
    if num_found < FEW_HANDS * num_frames:
        yield (
            f"hands were found in {num_found} of {num_frames} frames only: keep both in the picture, in good light,"
            " and not too far away"
        )
