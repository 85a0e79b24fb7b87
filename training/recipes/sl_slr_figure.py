"""A figure of SL-SLR and SignRep on the same real clips: `python -m training.recipes.sl_slr_figure OUT.png ...`.

Each clip is a point on the two directions in which the vectors vary most (PCA); a line joins the clips of one sign from
two sources. A lookup needs short lines between points that lie far apart; the number above a panel measures this over
all directions: the mean cosine within pairs less that between them, in standard deviations of the latter.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw

from model.encoder import Floats
from model.runtime.onnx_encoder import OnnxEncoder
from training.commands import refusals
from training.data.listing.manifest import ListedClip
from training.errors import EvaluationError
from training.evaluate.protocol import video_vectors
from training.recipes.sl_slr_comparison import real_clips
from training.sl_slr.encode import TorchEncoder, vectors
from training.sl_slr.sequences import Sequence61, gloss_of, landmark_files, shared_glosses
from training.sl_slr.state import read_trained

SIDE, MARGIN, TITLE = 520, 24, 30
COLOURS = ((31, 119, 180), (214, 96, 30))
"""Of the two sources."""


def paired(first: Sequence[Sequence61], second: Sequence[Sequence61]) -> list[tuple[int, int]]:
    """Rows of the first clip of every gloss in both sources."""
    rows = [{clip.gloss: row for row, clip in reversed(list(enumerate(clips)))} for clips in (first, second)]
    return [(rows[0][gloss], rows[1][gloss]) for gloss in sorted(rows[0].keys() & rows[1].keys())]


def pair_separation(first: Floats, second: Floats) -> float:
    """Separation of pairs (row i of both): mean cosine within less that between, in deviations of the latter."""
    cosines = first @ second.T
    between = cosines[~np.eye(len(cosines), dtype=bool)]
    return float((np.diagonal(cosines).mean() - between.mean()) / between.std())


def principal(points: Floats) -> Floats:
    """[N, 2] the first two principal components, each scaled to 0 to 1."""
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes[:2].T
    low, high = flat.min(axis=0), flat.max(axis=0)
    scaled: Floats = ((flat - low) / np.maximum(high - low, 1e-9)).astype(np.float32)
    return scaled


def draw_panel(title: str, first: Floats, second: Floats) -> Image.Image:
    """One panel: row i of both is the same sign."""
    places = principal(np.concatenate([first, second])) * (SIDE - 2 * MARGIN) + MARGIN
    sheet = Image.new("RGB", (SIDE, SIDE + TITLE), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (MARGIN, 8), f"{title}: pairs stand out by {pair_separation(first, second):.2f} deviations", fill=(40, 40, 40)
    )
    pen.rectangle([4, TITLE, SIDE - 5, SIDE + TITLE - 5], outline=(200, 200, 200))
    ends = [(float(x), float(y) + TITLE) for x, y in places]
    for start, end in zip(ends[: len(first)], ends[len(first) :], strict=True):
        pen.line([start, end], fill=(170, 170, 170))
        for (x, y), colour in zip((start, end), COLOURS, strict=True):
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)
    return sheet


def side_by_side(panels: Sequence[Image.Image]) -> Image.Image:
    """Panels in a row."""
    sheet = Image.new("RGB", (sum(panel.width for panel in panels), panels[0].height), (255, 255, 255))
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width
    return sheet


def videos_of(poses: Path, clips: Path) -> list[ListedClip]:
    """The videos whose landmarks a folder holds, in the same order.

    Raises:
        EvaluationError: a video does not exist.
    """
    found = []
    for file in landmark_files(poses):
        video = clips / file.name.removesuffix(".npz")
        if not video.is_file():
            raise EvaluationError(f"{video} does not exist; its landmarks are in {poses}")
        found.append(ListedClip(video.name, video, file, gloss_of(file)))
    return found


def main(
    out: Annotated[Path, typer.Argument(help="PNG to write.")],
    *,
    checkpoint: Annotated[Path, typer.Option(help="last.pt of a run of training.sl_slr.")],
    encoder: Annotated[Path, typer.Option(help="Encoder file of SignRep.")],
    poses: Annotated[list[Path], typer.Option(help="Landmarks of a source; given twice.")],
    clips: Annotated[list[Path], typer.Option(help="Videos of the same sources, in the same order.")],
) -> None:
    """Draw both encoders' vectors of the signs that two sources share."""
    with refusals():
        if len(poses) != 2 or len(clips) != 2:
            raise EvaluationError(
                f"--poses was given {len(poses)} times and --clips {len(clips)}; both are given twice"
            )
        sources = real_clips(poses)
        pairs = paired(*sources)
        if len(pairs) < 3:
            raise EvaluationError(f"the two sources share {len(pairs)} glosses; a figure needs 3 at least")
        trained = read_trained(checkpoint)
        ours = [vectors(TorchEncoder(trained.network.encoder, trained.config.data).vector, part) for part in sources]
        shared = shared_glosses([str(folder) for folder in poses])
        theirs = [_video_vectors(encoder, folder, videos, shared) for folder, videos in zip(poses, clips, strict=True)]
        panels = [
            draw_panel(title, *(side[[pair[number] for pair in pairs]] for number, side in enumerate(both)))
            for title, both in ((f"{trained.config.method} on skeletons", ours), ("SignRep on pictures", theirs))
        ]
    side_by_side(panels).save(out)
    typer.echo(f"{out}: {len(pairs)} signs from two sources")


def _video_vectors(encoder: Path, poses: Path, clips: Path, shared: frozenset[str]) -> Floats:
    """Vectors of the videos of shared glosses by an encoder of pictures."""
    to_vector = video_vectors(OnnxEncoder(encoder))
    return np.stack([to_vector(clip, False) for clip in videos_of(poses, clips) if clip.gloss in shared])


if __name__ == "__main__":
    typer.run(main)
