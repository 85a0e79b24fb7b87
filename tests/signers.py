"""Clips of a signer that anybody can see: a red right hand and a blue left one before a grey wall, and who sees it.

`ColourSeer` is an estimator that really looks at the pictures: its person stands as `tests.posed` makes them stand, and
their hands are where the colours are. A black picture shows nobody; a colour that is missing, no such hand.
"""

from pathlib import Path

import numpy as np

from model.encoder import Frames
from model.skeleton.estimator import FrameLandmarks
from model.skeleton.kinematics import L_WRIST, R_WRIST
from model.skeleton.landmarks import BODY_LANDMARKS
from tests.clips import write_clip
from tests.posed import SIZE, keypoints_of, landmarks_of, raised_arm

NAME = "tests.signers:open_estimator"
RED, BLUE = (230, 20, 20), (20, 20, 230)
HALF = 12


def open_estimator() -> "ColourSeer":
    return ColourSeer()


class ColourSeer:
    """An `Estimator` of such clips."""

    def __init__(self) -> None:
        self.num_begun = self.num_found = 0
        self._person = landmarks_of(keypoints_of(raised_arm(1)))

    def start_clip(self) -> None:
        self.num_begun += 1

    def find(self, picture: Frames) -> FrameLandmarks:
        self.num_found += 1
        if picture.mean() < 20:
            return FrameLandmarks(*(np.full((count, 4), np.nan) for count in (33, 33, 21, 21)))
        pose, world = self._person.pose[0].copy(), self._person.world[0]
        hands = []
        hand = self._person.right[0]
        for channel, wrist, side in ((2, L_WRIST, -1.0), (0, R_WRIST, 1.0)):  # the left one is the right one mirrored
            place = _place(picture, channel)
            if place is None:
                hands.append(np.full((21, 4), np.nan))
                continue
            moved = hand.copy()
            shape = _turned(hand[:, :2] - hand[0, :2], 6.0 * (place[0] if side > 0 else 1.0 - place[0]))
            moved[:, :2] = place + shape * (side, 1.0)
            pose[BODY_LANDMARKS[wrist], :2] = place
            hands.append(moved)
        return FrameLandmarks(pose, world, *hands)

    def close(self) -> None:
        pass


def _place(picture: Frames, channel: int) -> np.ndarray | None:
    """Where the pixels of one strong colour lie: shares of width and height."""
    others = [other for other in range(3) if other != channel]
    strong = (picture[..., channel] > 150) & (picture[..., others] < 100).all(axis=-1)
    rows, columns = np.nonzero(strong)
    return np.array([columns.mean() / picture.shape[1], rows.mean() / picture.shape[0]]) if len(rows) > 20 else None


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    return points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def pictures(seed: int, num_frames: int = 30, *, right: bool = True, left: bool = False) -> list[Frames]:
    """Both hands on paths that follow from the seed, before the chest; only those that are asked for are there."""
    rng = np.random.default_rng(seed)
    width, height = SIZE
    made = []
    paths = [(rng.uniform(0.3, 0.7, 2) * (1.0, 0.7), rng.uniform(0.03, 0.12, 2), rng.uniform(2, 6)) for _ in range(2)]
    for number in range(num_frames):
        picture = np.full((height, width, 3), 128, np.uint8)
        for (centre, radius, rate), colour, shown in zip(paths, (RED, BLUE), (right, left), strict=True):
            if not shown:
                continue
            angle = rate * number / 10
            column, row = (centre + radius * (np.cos(angle), np.sin(angle))) * (width, height)
            rows = slice(max(0, int(row) - HALF), int(row) + HALF)
            picture[rows, max(0, int(column) - HALF) : int(column) + HALF] = colour
        made.append(picture)
    return made


def write_signer(path: Path, seed: int, num_frames: int = 30, *, mirrored: bool = False, left: bool = False) -> Path:
    """A clip of one sign; a mirrored one as a selfie camera films it: the colours follow the hand, not the side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = pictures(seed, num_frames, left=left)
    if mirrored:  # what was the right hand looks like a left one
        made = [picture[:, ::-1, ::-1] for picture in made]
    write_clip(path, [np.ascontiguousarray(picture) for picture in made])
    return path


def write_nobody(path: Path) -> Path:
    """A clip of a dark room."""
    write_clip(path, [np.zeros((SIZE[1], SIZE[0], 3), np.uint8)] * 20)
    return path
