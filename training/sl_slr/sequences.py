"""Keypoint sequences: those of real landmarks, and which of their frames the encoder takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.encoder import Flags, Floats, Ints
from model.skeleton.features import SkeletonSequence, bridge_hand_gaps, sequence_from_keypoints
from model.skeleton.kinematics import LEFT_HAND, MIRROR, RIGHT_HAND, mirror_points
from model.skeleton.landmarks import observe
from model.skeleton.normalisation import MIN_CONFIDENCE, hand_activity
from model.skeleton.rotations import Reals
from model.windows import window_starts
from training.data.poses.landmarks import read_landmarks
from training.errors import ClipError, DataError

FPS = 25.0
"""Frames per second of every stored sequence."""
MID_TORSO = (0, 3, 6, 7)


@dataclass(frozen=True)
class Sequence61:
    """One clip of one sign as keypoints, at 25 frames per second."""

    keypoints: Floats
    """[T, 61, 3] metres from between the hips, as `model.skeleton.landmarks.observe` gives them, hands bridged over
    gaps of at most half a second; 0 where unknown."""
    known: Flags
    """[T, 61]."""
    points: Floats
    """[T, 61, 3] the same on the standard body, from between its shoulders; NaN where not even estimated."""
    gloss: str
    signer: str

    @property
    def name(self) -> str:
        """For messages and look-ups."""
        return f"{self.gloss}__{self.signer}"

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return len(self.keypoints)

    @property
    def raised(self) -> Flags:
        """[T] a hand lies above the middle of the trunk: condition (1) of the activity prior."""
        middle = self.points[:, MID_TORSO, 1].mean(axis=1)
        heights = [_height(self, hand) for hand in (LEFT_HAND, RIGHT_HAND)]
        return np.asarray((np.stack(heights) >= middle).any(axis=0))

    def activity(self, rows: Ints) -> Floats:
        """[2] left, right in [0, 1]: the activity prior over these frames, by the share in which the hand is there."""
        active, _ = hand_activity(self.points[rows].astype(np.float64), self.known[rows])
        there = [self.known[rows][:, hand].all(axis=1).mean() for hand in (LEFT_HAND, RIGHT_HAND)]
        shares: Floats = (active * np.array(there)).astype(np.float32)
        return shares

    def signing(self) -> SkeletonSequence:
        """The features of the landmark baselines."""
        keypoints = np.where(self.known[..., None], self.keypoints, np.nan).astype(np.float64)
        return sequence_from_keypoints(keypoints)


def _height(clip: Sequence61, hand: slice) -> Floats:
    """[T] mean height of a hand on the standard body; of its wrist alone where the rest is not known."""
    heights = clip.points[:, hand, 1]
    known = clip.known[:, hand]
    count = known.sum(axis=1)
    mean = np.where(known, heights, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, mean, -np.inf).astype(np.float32)


def make_sequence(keypoints: Reals, confidence: Reals, gloss: str, signer: str) -> Sequence61:
    """A sequence of observed keypoints.

    Args:
        keypoints: [T, 61, 3] metres at 25 frames per second; NaN where not found.
        confidence: [T, 61] in [0, 1].
        gloss: of the sign.
        signer: who signs.
    """
    bridged = bridge_hand_gaps(keypoints)
    found = np.isfinite(bridged).all(axis=-1)
    # What was bridged counts as known, as for the landmark baselines.
    sure = (confidence >= MIN_CONFIDENCE) | np.isnan(keypoints[..., 0])
    known = found & sure
    return Sequence61(
        np.where(known[..., None], bridged, 0.0).astype(np.float32),
        np.asarray(known),
        sequence_from_keypoints(bridged).points.astype(np.float32),
        gloss,
        signer,
    )


def mirrored(clip: Sequence61) -> Sequence61:
    """The same as if observe_performance in a mirror."""
    return Sequence61(
        mirror_points(clip.keypoints.astype(np.float64)).astype(np.float32),
        clip.known[:, MIRROR],
        mirror_points(clip.points.astype(np.float64)).astype(np.float32),
        clip.gloss,
        clip.signer,
    )


def read_sequence(file: Path, signer: str) -> Sequence61:
    """The sequence of a clip's landmarks; its gloss is the file's name, up to two underscores if there are any.

    Raises:
        ClipError: the file is missing or damaged, or shows nobody.
    """
    landmarks = read_landmarks(file)
    observed = observe(landmarks).rows(landmarks.rows_at(FPS))
    return make_sequence(observed.keypoints, observed.confidence, gloss_of(file), signer)


def gloss_of(file: Path) -> str:
    """The gloss in the name of a landmark file: GLOSS.mp4.npz or GLOSS__ID.mp4.npz."""
    return file.name.split(".")[0].split("__")[0]


def landmark_files(folder: Path) -> list[Path]:
    """The landmark files of a folder.

    Raises:
        DataError: there is none.
    """
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if not files:
        raise DataError(
            f"{folder} holds no landmarks (*.npz); `python -m training.data pose CLIPS {folder}` writes them"
        )
    return files


def read_folder(folder: Path, left_out: frozenset[str] = frozenset()) -> tuple[list[Sequence61], list[str]]:
    """The sequences of a folder of landmarks but those of some glosses, and why others could not be used.

    Raises:
        DataError: not one can be used.
    """
    clips, failed = [], []
    for file in landmark_files(folder):
        if gloss_of(file) in left_out:
            continue
        try:
            clips.append(read_sequence(file, folder.name))
        except ClipError as error:
            failed.append(str(error))
    if not clips:
        raise DataError(f"none of the clips in {folder} can be used; {failed[0] if failed else 'all were left out'}")
    return clips, failed


def shared_glosses(folders: Sequence[str]) -> frozenset[str]:
    """The glosses that at least two of some folders of landmarks have.

    Raises:
        DataError: a folder holds no landmarks.
    """
    by_folder = [{gloss_of(file) for file in landmark_files(Path(folder))} for folder in folders]
    return frozenset(gloss for gloss in set().union(*by_folder) if sum(gloss in one for one in by_folder) > 1)


# ------------------------------------------------------------------------------------------------------------- windows


def whole(num_clip_frames: int, num_frames: int) -> Ints:
    """Rows of a whole clip, taken evenly: [num_frames]."""
    return np.linspace(0, num_clip_frames - 1, num_frames).round().astype(np.int64)


def windows(num_clip_frames: int, fps: float, num_frames: int, stride_frames: int) -> Ints:
    """Rows of the windows that cover a clip of 25 frames per second: [N, num_frames].

    The last ends on the last frame; a clip shorter than a window repeats it.
    """
    num_sampled = max(1, int(np.ceil(num_clip_frames * fps / FPS - 1e-9)))
    starts = window_starts(num_sampled, num_frames, stride_frames)
    sampled = np.minimum(starts[:, None] + np.arange(num_frames), num_sampled - 1)
    rows: Ints = np.minimum(np.floor(sampled * FPS / fps + 1e-9).astype(np.int64), num_clip_frames - 1)
    return rows


def random_window(rng: np.random.Generator, num_clip_frames: int, fps: float, num_frames: int, near: float) -> Ints:
    """Rows of one window: [num_frames].

    Args:
        rng: draws the place, a tenth of the clip around the wanted one.
        num_clip_frames: frames of the clip.
        fps: of the window.
        num_frames: of the window.
        near: where in the clip it should lie, 0 at its beginning to 1 at its end.
    """
    step = FPS / fps
    room = max(0.0, num_clip_frames - 1 - step * (num_frames - 1))
    start = room * np.clip(near + rng.uniform(-0.05, 0.05), 0.0, 1.0)
    rows: Ints = np.minimum(np.round(start + step * np.arange(num_frames)).astype(np.int64), num_clip_frames - 1)
    return rows
