"""Commands around priors: measure, errors, show. `python -m training.data priors` offers them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.errors import ModelError, NoSignerError
from model.skeleton.kinematics import standard_proportions
from model.skeleton.landmarks import observe
from model.skeleton.rotations import Reals
from training.data.poses.landmarks import read_landmarks
from training.data.priors.standard_body import read_body, regeneration_error, standard_body, write_body
from training.errors import ClipError, TrainingError

app = typer.Typer(help="The standard body of a data set, and checks of poses.", no_args_is_help=True)
PARTS = (
    ("all", slice(0, 61)),
    ("trunk and arms", slice(0, 8)),
    ("face", slice(8, 19)),
    ("hands", slice(19, 61)),
)
"""Rows of keypoints that errors are listed for."""


@app.command()
def measure(
    landmarks: Annotated[list[Path], typer.Argument(help="Folders of landmarks, sub-folders included.")],
    out: Annotated[Path, typer.Option(help="JSON file for the standard body.")],
) -> None:
    """Write the standard body of a data set: every bone at its median length."""
    body = standard_body(_observed_clips(landmarks))
    write_body(out, body)
    typer.echo(f"{out}: shoulders {2 * body.lengths[2]:.3f} m, arm {body.lengths[7:9].sum():.3f} m")


@app.command()
def errors(
    landmarks: Annotated[list[Path], typer.Argument(help="Folders of landmarks, sub-folders included.")],
    body: Annotated[Path | None, typer.Option(help="Standard body; the median of these landmarks if left out.")] = None,
) -> None:
    """Distance of regenerated keypoints from the observed ones, in shoulder widths, both aligned at the shoulders."""
    clips = list(_observed_clips(landmarks))
    standard = standard_body(clips) if body is None else read_body(body)
    for name, own in (("each signer's own median bones", True), ("the standard body", False)):
        away = np.concatenate([regeneration_error(*clip, None if own else standard) for clip in clips])
        for kind, values in (("in space", away), ("in the picture", away[..., :2])):
            typer.echo(f"{name}, {kind}, median / 95th percentile in shoulder widths: {_error_summary(values)}")


def _error_summary(away: Reals) -> str:
    distances = np.linalg.norm(away, axis=-1)
    return ", ".join(
        f"{part} {np.nanmedian(distances[:, rows]):.3f} / {np.nanpercentile(distances[:, rows], 95):.3f}"
        for part, rows in PARTS
    )


@app.command()
def show(
    clip: Annotated[Path, typer.Argument(help="A video.")],
    out: Annotated[Path, typer.Argument(help="Picture (.png, a sheet of frames) or video (.mp4) to write.")],
    *,
    poses: Annotated[Path | None, typer.Option(help="Its landmarks; found with MediaPipe if left out.")] = None,
    body: Annotated[Path | None, typer.Option(help="Standard body; a middling adult if left out.")] = None,
    num_frames: Annotated[int, typer.Option(min=1, help="Frames on a sheet, spread over the clip.")] = 8,
) -> None:
    """Draw the regenerated skeleton over a clip's frames, for a person to check."""
    from model.skeleton.estimator import MediaPipeOptions
    from training.data.poses.estimate import estimate
    from training.data.poses.overlay import contact_sheet, draw_clip, read_observed_clip
    from training.video_encoding import encode

    try:
        landmarks = estimate(clip, MediaPipeOptions()) if poses is None else read_landmarks(poses)
        observed = read_observed_clip(clip, landmarks)
        drawn = list(draw_clip(observed, standard_proportions() if body is None else read_body(body)))
    except (ModelError, TrainingError) as error:
        typer.echo(f"error: {clip}: {error}", err=True)
        raise typer.Exit(1) from error
    if out.suffix == ".png":
        chosen = np.linspace(0, len(drawn) - 1, min(num_frames, len(drawn))).round().astype(int)
        contact_sheet([drawn[number] for number in chosen], columns=4).save(out)
    elif out.suffix == ".mp4":
        height, width = (side - side % 2 for side in drawn[0].shape[:2])
        out.write_bytes(encode([np.stack(drawn)[:, :height, :width]], 25.0))
    else:
        typer.echo(f"error: {out} is neither .png nor .mp4", err=True)
        raise typer.Exit(1)
    typer.echo(f"{out}: {len(drawn)} frames")


def _observed_clips(folders: list[Path]) -> Iterable[tuple[Reals, Reals]]:
    """Keypoints and confidence of every landmark file; files that can't be used are named and left out."""
    for folder in folders:
        for file in sorted(folder.rglob("*.npz")):
            try:
                observed = observe(read_landmarks(file))
            except (ClipError, NoSignerError) as error:
                typer.echo(f"left out: {error}", err=True)
                continue
            yield observed.keypoints, observed.confidence
