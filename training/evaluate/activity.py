"""Evaluation of hand activity: `python -m training.evaluate.activity CLIPS POSES --encoder FILE`.

A clip's vector is the sum of its windows' embeddings weighted by activity, so in a lookup the weight should be low in
rest and high in the stroke. Rest is defined by the landmarks: windows of 16 frames in which both hands are known and
neither is active by the paper's rule (`training.data.priors.targets.hand_activity`). That rule calls a
hand that is held still before the belly at rest, whether it waits or signs (docs/log.md), so windows are counted apart
in which neither hand is found: they hang below the picture, which is how most clips begin and end. The stroke is the
middle half of the time between the first and the last active window: hands come up before and go down after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw

from model.embed import Embedder
from model.encoder import Flags, Floats
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder
from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND
from model.skeleton.landmarks import observe
from model.skeleton.normalisation import normalise
from training.commands import refusals
from training.data.listing.manifest import ListedClip, clips_of_folder
from training.data.poses.landmarks import read_landmarks
from training.data.priors.table import ACTIVITY, NUM_FRAMES
from training.data.priors.targets import prior_targets

FPS = 25.0
LOW, HIGH = 0.2, 0.8
"""Weights that rest should stay below and a stroke exceed."""
STROKE = (0.25, 0.75)
"""Shares of the active time between which the stroke lies."""
HANDS = (LEFT_HAND, RIGHT_HAND)
NEAR = slice(6, 10)
"""Frames of a window in which hands are looked for: those around its middle."""


@dataclass(frozen=True)
class ActivityCurve:
    """The weights of the windows of a clip, beside their labels from the landmarks."""

    name: str
    times_s: Floats
    """[N] middle of every window."""
    weight: Floats
    """[N] activity of the more active hand; 0 where the motion gate skipped the window."""
    rest: Flags
    """[N] both hands are known and neither is active by its pose."""
    missing: Flags
    """[N] neither hand is found in the four frames around the middle."""
    stroke: Flags
    """[N] in the middle of the active time."""


def activity_curve(clip: ListedClip, embedder: Embedder) -> ActivityCurve:
    """The weights of a clip's windows beside their labels from its landmarks.

    Raises:
        VideoError: the clip can't be read.
        LandmarksError: its landmarks can't.
    """
    embedded = embedder.embed(clip.video)
    times_s = np.asarray(embedded.start_s + embedder.windowing.window_s / 2, np.float32)
    active, rest, missing = active_at(clip.landmarks, times_s)
    stroke = np.zeros(len(times_s), np.bool_)
    if active.any():
        first_s, last_s = times_s[active][[0, -1]]
        shares = (times_s - first_s) / max(last_s - first_s, 1e-6)
        stroke = active & (shares >= STROKE[0]) & (shares <= STROKE[1])
    return ActivityCurve(clip.video_id, times_s, embedded.activity.max(axis=1), rest, missing, stroke)


def active_at(landmarks: Path, times_s: Floats) -> tuple[Flags, Flags, Flags]:
    """Around each time, [N] each: a hand is active, both are known to rest (16 frames), neither is found (4)."""
    read = read_landmarks(landmarks)
    observed = observe(read).rows(read.rows_at(FPS))
    pose = normalise(observed.keypoints, observed.confidence)
    starts = np.clip(np.round(times_s * FPS).astype(int) - NUM_FRAMES // 2, 0, max(0, len(pose.angles) - NUM_FRAMES))
    windows = [pose.window(int(start)) for start in starts]
    found = [prior_targets(window)[ACTIVITY] for window in windows]
    active = np.array([bool(value.max() > 0) for value, _ in found])
    rest = np.array([bool(known.all()) and not value.max() > 0 for value, known in found])
    missing = np.array([not any(window.known[NEAR, hand].all(axis=1).any() for hand in HANDS) for window in windows])
    return active, rest, missing


@dataclass(frozen=True)
class ActivitySummary:
    """Weights over all windows of several clips."""

    num_rest: int
    num_missing: int
    num_stroke: int
    rest_median: float
    rest_low: float
    """Share of windows in rest that count less than `LOW`."""
    missing_low: float
    """The same of windows in which neither hand is found."""
    stroke_median: float
    stroke_high: float
    """Share of windows in the stroke that count more than `HIGH`."""
    num_clips_right: int
    """Clips whose weight falls below `LOW` where hands rest or are not found, if they do, and rises above `HIGH`."""


def summarise(curves: Sequence[ActivityCurve]) -> ActivitySummary:
    """All windows of all clips together."""
    rest = np.concatenate([curve.weight[curve.rest] for curve in curves])
    missing = np.concatenate([curve.weight[curve.missing] for curve in curves])
    stroke = np.concatenate([curve.weight[curve.stroke] for curve in curves])
    right = [
        (not (curve.rest | curve.missing).any() or curve.weight[curve.rest | curve.missing].min() < LOW)
        and bool(curve.stroke.any())
        and curve.weight[curve.stroke].max() > HIGH
        for curve in curves
    ]
    return ActivitySummary(
        len(rest),
        len(missing),
        len(stroke),
        float(np.median(rest)) if len(rest) else float("nan"),
        float((rest < LOW).mean()) if len(rest) else float("nan"),
        float((missing < LOW).mean()) if len(missing) else float("nan"),
        float(np.median(stroke)) if len(stroke) else float("nan"),
        float((stroke > HIGH).mean()) if len(stroke) else float("nan"),
        sum(right),
    )


# ------------------------------------------------------------------------------------------------------------- drawing

PANEL = (380, 120)
MARGIN = 22
REST, MISSING, STROKE_COLOUR = (228, 232, 238), (240, 228, 206), (212, 236, 214)
LINE, INK = (20, 90, 170), (60, 60, 60)


def draw(curves: Sequence[ActivityCurve], columns: int = 2) -> Image.Image:
    """A panel per clip: the weight over time, lines at 0.2 and 0.8; rest grey, no hand found sand, the stroke green."""
    rows = -(-len(curves) // columns)
    sheet = Image.new("RGB", (columns * PANEL[0], rows * PANEL[1]), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for number, curve in enumerate(curves):
        _panel(pen, curve, (number % columns * PANEL[0], number // columns * PANEL[1]))
    return sheet


def _panel(pen: ImageDraw.ImageDraw, curve: ActivityCurve, corner: tuple[int, int]) -> None:
    left, top = corner[0] + MARGIN, corner[1] + MARGIN
    width, height = PANEL[0] - 2 * MARGIN, PANEL[1] - 2 * MARGIN
    span_s = float(curve.times_s[-1] - curve.times_s[0]) or 1.0
    x = left + (curve.times_s - curve.times_s[0]) / span_s * width
    half = width / max(1, len(x) - 1) / 2
    for colour, flags in ((REST, curve.rest), (MISSING, curve.missing), (STROKE_COLOUR, curve.stroke)):
        for place in x[flags]:
            pen.rectangle((max(left, place - half), top, min(left + width, place + half), top + height), fill=colour)
    for level in (LOW, HIGH):
        y = top + (1 - level) * height
        pen.line((left, y, left + width, y), fill=(170, 170, 170))
        pen.text((corner[0] + 2, y - 6), f"{level:g}", fill=INK)
    pen.rectangle((left, top, left + width, top + height), outline=(150, 150, 150))
    points = np.stack([x, top + (1 - curve.weight) * height], axis=1)
    pen.line([(float(across), float(down)) for across, down in points], fill=LINE, width=2)
    pen.text((left, corner[1] + 6), f"{curve.name}, {span_s:.1f} s", fill=INK)


def main(
    clips: Annotated[Path, typer.Argument(help="Folder of videos.")],
    poses: Annotated[Path, typer.Argument(help="Folder with their landmarks.")],
    *,
    encoder: Annotated[Path, typer.Option(help="Encoder file.")] = DEFAULT_ENCODER,
    count: Annotated[int, typer.Option(min=1, help="Clips, spread over the folder.")] = 10,
    plot: Annotated[Path | None, typer.Option(help="PNG: weight over time, clip by clip.")] = None,
) -> None:
    """Measure the weights of windows in rest and in the stroke."""
    with refusals():
        listed = clips_of_folder(clips, poses)
        rows = np.linspace(0, len(listed) - 1, min(count, len(listed))).round().astype(int)
        embedder = Embedder(OnnxEncoder(encoder))
        curves = [activity_curve(listed[row], embedder) for row in rows]
    found = summarise(curves)
    typer.echo(
        f"{len(curves)} clips. Rest: {found.num_rest} windows, median weight {found.rest_median:.2f},"
        f" {found.rest_low:.0%} below {LOW:g}. No hand found: {found.num_missing} windows, {found.missing_low:.0%}"
        f" below {LOW:g}. Stroke: {found.num_stroke} windows, median {found.stroke_median:.2f},"
        f" {found.stroke_high:.0%} above {HIGH:g}."
        f" Both as they should be in {found.num_clips_right} clips."
    )
    if plot is not None:
        draw(curves).save(plot)


if __name__ == "__main__":
    typer.run(main)
