"""Pictures of queries above their best answers, as in the paper."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from model.encoder import Frames
from model.video import open_frames
from training.evaluate.protocol import QueryResult

NUM_FRAMES = 6
SIDE = 128
"""Pixels of a frame."""
TITLE = 16
RIGHT, WRONG = (40, 160, 70), (190, 60, 60)


def draw_result(result: QueryResult, num_answers: int = 3) -> Image.Image:
    """One row of frames for the query, one for each of its best answers; the true gloss in green.

    Raises:
        VideoError: a clip can't be read.
    """
    rows = [(f"query: {result.query.gloss}", result.query.video, (70, 70, 70))]
    for place, found in enumerate(result.answers[:num_answers], start=1):
        colour = RIGHT if found.gloss == result.query.gloss else WRONG
        rows.append((f"{place}. {found.gloss}  {found.score:.3f}", found.clip.video, colour))
    sheet = Image.new("RGB", (NUM_FRAMES * SIDE, len(rows) * (SIDE + TITLE)), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for number, (title, video, colour) in enumerate(rows):
        top = number * (SIDE + TITLE)
        pen.rectangle([0, top, sheet.width, top + TITLE], fill=colour)
        pen.text((4, top + 2), title, fill=(255, 255, 255))
        for column, frame in enumerate(_spread(video)):
            sheet.paste(Image.fromarray(frame), (column * SIDE, top + TITLE))
    return sheet


def draw_results(results: Sequence[QueryResult]) -> Image.Image:
    """Several queries below each other."""
    parts = [draw_result(result) for result in results]
    sheet = Image.new("RGB", (parts[0].width, sum(part.height + TITLE for part in parts)), (255, 255, 255))
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height + TITLE
    return sheet


def spread_by_rank(results: Sequence[QueryResult], count: int) -> list[QueryResult]:
    """Queries to show, spread evenly by rank, so that failures are shown in proportion."""
    ranked = sorted((one for one in results if one.rank is not None), key=lambda one: (one.rank, one.query.gloss))
    rows = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    return [ranked[row] for row in rows]


def _spread(video: Path) -> list[Frames]:
    """Frames spread over a clip."""
    with open_frames(video, fps=25.0, size=SIDE) as stream:
        frames = list(stream)
    # Clips begin and end at rest, some in black: take the middle.
    rows = np.linspace(0.15, 0.85, NUM_FRAMES) * (len(frames) - 1)
    return [frames[row] for row in rows.round().astype(int)]
