"""The skeleton over a clip's frames, for a person to check poses by eye."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from model.encoder import Flags, Floats, Frames
from model.skeleton.kinematics import BONE, BONES, L_SHOULDER, NUM_KEYPOINTS, R_SHOULDER, Proportions, with_middles
from model.skeleton.landmarks import Landmarks, ObservedKeypoints, observe
from model.skeleton.normalisation import hand_activity, normalise, regenerate
from model.skeleton.rotations import Reals
from model.video import open_frames
from training.data.poses.landmarks import check_length
from training.data.priors.standard_body import standard_body
from training.data.priors.table import NUM_FRAMES

FPS = 25.0
SIDE = 480
"""Shorter side of the frames, pixels."""
RIGHT, LEFT, TRUNK = (255, 140, 0), (0, 200, 255), (90, 255, 90)
SEEN, UNSURE = (255, 255, 255), (255, 0, 0)


@dataclass(frozen=True)
class ObservedClip:
    """Whole frames at 25 per second with what was observed in them, row for row."""

    frames: Frames
    """[T, H, W, 3]."""
    observed: ObservedKeypoints


def read_observed_clip(video: Path, landmarks: Landmarks, *, fps: float = FPS, side: int = SIDE) -> ObservedClip:
    """Decode a clip and choose the landmarks of the picture that each frame shows.

    Raises:
        VideoError: the video can't be read.
        LengthMismatchError: the landmarks are of another clip.
    """
    with open_frames(video, fps=fps, size=side, square=False) as stream:
        frames = np.stack(list(stream))
    check_length(round(stream.info.source_fps * stream.info.duration_s), landmarks)
    return ObservedClip(frames, observe(landmarks).rows(landmarks.rows_at(fps, len(frames))))


def draw_clip(clip: ObservedClip, body: Proportions) -> Iterator[Frames]:
    """Every frame with the regenerated skeleton in colour, observed keypoints as dots, its window's activity in words.

    Right arm and hand are orange, left ones blue, the trunk green; dots are red where confidence is below one half.
    """
    pose = normalise(clip.observed.keypoints, clip.observed.confidence)
    skeleton = _laid_over(regenerate(pose, body), body, clip.observed)
    points, lines = clip.observed.project(clip.observed.keypoints), clip.observed.project(skeleton)
    for number, frame in enumerate(clip.frames):
        window = pose.window(max(0, min(number - NUM_FRAMES // 2, len(clip.frames) - NUM_FRAMES)))
        active, sure = hand_activity(regenerate(window, body), window.known)
        yield _draw(frame, lines[number], points[number], pose.known[number], _activity_text(number, active, sure))


def _laid_over(skeleton: Reals, body: Proportions, observed: ObservedKeypoints) -> Reals:
    """The standard body at the signer's size and place: fitted by the shoulders."""
    own = standard_body([(observed.keypoints, observed.confidence)])
    scale = own.lengths[BONE["girdle"]] / body.lengths[BONE["girdle"]]
    middle = (observed.keypoints[:, R_SHOULDER] + observed.keypoints[:, L_SHOULDER]) / 2.0
    laid: Reals = skeleton * scale + middle[:, None]
    return laid


def _activity_text(number: int, active: Floats, sure: Flags) -> str:
    words = [
        f"{name} {'?' if not known else 'signs' if on else 'rests'}"
        for name, on, known in zip(("left", "right"), active, sure, strict=True)
    ]
    return f"{number}: {', '.join(words)}"


def _draw(frame: Frames, lines: Reals, points: Reals, known: Flags, text: str) -> Frames:
    picture = Image.fromarray(frame)
    pen = ImageDraw.Draw(picture)
    size = np.array([picture.width, picture.height])
    ends = with_middles(np.append(lines, np.zeros((NUM_KEYPOINTS, 1)), axis=1))[:, :2] * size
    for bone in BONES:
        start, end = ends[bone.start], ends[bone.end]
        if np.isfinite([start, end]).all():
            colour = RIGHT if bone.name.startswith("right") else LEFT if bone.name.startswith("left") else TRUNK
            pen.line([*start, *end], fill=colour, width=2)
    for (x, y), sure in zip(points * size, known, strict=True):
        if np.isfinite([x, y]).all():
            pen.ellipse([x - 1.5, y - 1.5, x + 1.5, y + 1.5], fill=SEEN if sure else UNSURE)
    pen.text((4, 4), text, fill=SEEN, stroke_fill=(0, 0, 0), stroke_width=1)
    return np.asarray(picture)


def contact_sheet(frames: list[Frames], columns: int) -> Image.Image:
    """Frames of one size side by side, row by row."""
    height, width = frames[0].shape[:2]
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for number, frame in enumerate(frames):
        sheet.paste(Image.fromarray(frame), (number % columns * width, number // columns * height))
    return sheet
