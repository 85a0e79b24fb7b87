"""Prior targets of windows: joint angles, keypoints, distances and activity, with masks of what is known.

    keypoints, confidence --normalise--> angles, known --targets--> nine priors per frame, activity per window

A pose is taken apart into angles, put together again on the standard body (every bone at its median length over a data
set), and targets are read off the result: so they say how somebody signs and not how they are built.

What is known: keypoints below `MIN_CONFIDENCE` are masked, with every target that names one of them. An angle is known
where both ends of its bone and of its parent's are. A masked keypoint that was estimated at all still carries what
hangs on it: hips are seldom in the picture, elbows often not, and without them nothing would be known of arms and
hands.

Paper: gives no origin for the body's keypoints; here: between the shoulders, because the hips are seldom seen.

Commands:

    python -m training.priors measure LANDMARKS... OUT.json    the standard body of a data set
    python -m training.priors errors LANDMARKS...              how far it is from what was observed
    python -m training.priors show CLIP OUT.png|mp4            the skeleton over the frames
"""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.encoder import Flags, Floats
from model.errors import ModelError, NoSignerError
from model.skeleton.kinematics import (
    BONES,
    L_HIP,
    L_SHOULDER,
    LEFT_HAND,
    NUM_BODY_ANGLES,
    NUM_HAND_ANGLES,
    PARENTS,
    R_HIP,
    R_SHOULDER,
    RIGHT_HAND,
    Proportions,
    measure,
    median_proportions,
    mirror_points,
    standard_proportions,
)
from model.skeleton.landmarks import observe
from model.skeleton.normal import MIN_CONFIDENCE, NormalPose, hand_activity, normalise, regenerate
from model.skeleton.rotations import Reals
from training.errors import ClipError, TrainingError
from training.landmarks import read_landmarks
from training.prior_table import ACTIVITY

Target = tuple[Floats, Flags]
"""Values, and which of them are known; unknown ones are 0."""

NUM_ANGLES = NUM_BODY_ANGLES + 2 * NUM_HAND_ANGLES
# Paper: names the sets; the order of the twelve follows that of the twenty-two, wrists as listed last.
DISTANCES_FROM = (23, 27, 31, 35, 39, 44, 48, 52, 56, 60, 40, 19)
DISTANCES_TO = (0, 3, 6, 7, 10, 13, 15, 16, 17, 18, 19, 23, 27, 31, 35, 39, 40, 44, 48, 52, 56, 60)
TIPS_FROM = (4, 8, 12, 16, 20)
TIPS_TO = (0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20)
"""Rows within a hand."""
_MIDDLE_ENDS = np.array([(R_HIP, L_HIP), (R_SHOULDER, L_SHOULDER), (16, 15), (18, 17)])


def window_priors(keypoints: Reals, confidence: Reals, body: Proportions | None = None) -> dict[str, Target]:
    """All prior targets of one window.

    Args:
        keypoints: [T, 61, 3] in one unit, in the axes of `model.skeleton.kinematics`; NaN where there are none.
        confidence: [T, 61] in [0, 1]; ones for exact keypoints.
        body: the standard body in metres; None for `standard_proportions`.

    Returns:
        By the names of `training.prior_table`: target float32 [T, dim] and its mask; for activity [2] and [2].
        Targets are without psi.
    """
    return targets(normalise(keypoints, confidence), body)


def targets(pose: NormalPose, body: Proportions | None = None) -> dict[str, Target]:
    """The prior targets of a window; see `window_priors`."""
    points = regenerate(pose, body)
    known = pose.known & np.isfinite(points).all(axis=-1)
    found = _angle_targets(pose) | {
        "body_pose": _keypoints(points, known),
        "right_pose": _hand_keypoints(points[:, RIGHT_HAND], known[:, RIGHT_HAND]),
        "left_pose": _hand_keypoints(points[:, LEFT_HAND], known[:, LEFT_HAND]),
        "body_dist": _differences(points, known, DISTANCES_FROM, DISTANCES_TO),
        "right_dist": _differences(points[:, RIGHT_HAND], known[:, RIGHT_HAND], TIPS_FROM, TIPS_TO),
        "left_dist": _differences(points[:, LEFT_HAND], known[:, LEFT_HAND], TIPS_FROM, TIPS_TO),
    }
    return found | {ACTIVITY: hand_activity(points, known)}


def _angle_targets(pose: NormalPose) -> dict[str, Target]:
    """Sines, then cosines, of the three groups of angles."""
    known = _known_angles(pose.known) & np.isfinite(pose.angles)
    values = np.nan_to_num(pose.angles)
    found: dict[str, Target] = {}
    start = 0
    for name, count in (("body", NUM_BODY_ANGLES), ("right", NUM_HAND_ANGLES), ("left", NUM_HAND_ANGLES)):
        part = slice(start, start + count)
        both = np.concatenate([np.sin(values[:, part]), np.cos(values[:, part])], axis=-1)
        mask = np.tile(known[:, part], (1, 2))
        found[f"full_{name}_angles"] = (np.where(mask, both, 0.0).astype(np.float32), mask)
        start += count
    return found


def _known_angles(known: Flags) -> Flags:
    """[T, 104] angles whose bone and its parent have known ends; a twist needs the forearm and the knuckle line."""
    points = np.concatenate([known, known[:, _MIDDLE_ENDS].all(axis=-1)], axis=-1)
    bones = points[:, [bone.start for bone in BONES]] & points[:, [bone.end for bone in BONES]]
    jointed = bones & np.where(PARENTS >= 0, bones[:, PARENTS], True)
    for row, bone in enumerate(BONES):
        if bone.twisted:  # measured after the twist, so as unknown as that
            hand = RIGHT_HAND if row < 31 else LEFT_HAND
            jointed[:, row] &= points[:, hand.start + 5] & points[:, hand.start + 17]
    both = np.repeat(jointed, 2, axis=-1)
    twists = [
        bones[:, PARENTS[palm]] & points[:, hand.start + 5] & points[:, hand.start + 17]
        for palm, hand in ((11, RIGHT_HAND), (31, LEFT_HAND))
    ]
    right, left = (twist[:, None] for twist in twists)
    return np.concatenate([both[:, :22], both[:, 22:62], right, both[:, 62:], left], axis=-1)


def _keypoints(points: Reals, known: Flags) -> Target:
    return _flat(points, known)


def _hand_keypoints(hand: Reals, known: Flags) -> Target:
    """A hand's keypoints from its wrist."""
    return _flat(hand - hand[:, :1], known & known[:, :1])


def _differences(points: Reals, known: Flags, starts: tuple[int, ...], ends: tuple[int, ...]) -> Target:
    """Signed difference vectors from every start to every end, [T, starts * ends * 3]."""
    away = points[:, None, ends] - points[:, starts, None]
    both = known[:, None, ends] & known[:, starts, None]
    return _flat(away, both)


def _flat(values: Reals, known: Flags) -> Target:
    """[T, ..., 3] values with a mask [T, ...] as [T, dim] twice."""
    mask = np.repeat(known[..., None], 3, axis=-1).reshape(len(values), -1)
    return np.where(mask, values.reshape(len(values), -1), 0.0).astype(np.float32), mask


# ------------------------------------------------------------------------------------------------- the standard body


def standard_body(clips: Iterable[tuple[Reals, Reals]]) -> Proportions:
    """The median proportions of a data set, both sides alike; bones that nobody shows are scaled from a middling adult.

    Args:
        clips: keypoints [T, 61, 3] in metres and confidence [T, 61] of each clip. Every clip counts by its median, so
            that long ones do not decide.
    """
    measured = []
    for keypoints, confidence in clips:
        seen = np.where((confidence >= MIN_CONFIDENCE)[..., None], keypoints, np.nan)
        measured.append(_quiet_median(measure(np.concatenate([seen, mirror_points(seen)]))))
    if not measured:
        return standard_proportions()
    found = _quiet_median(
        Proportions(np.stack([one.lengths for one in measured]), np.stack([one.face for one in measured]))
    )
    usual = standard_proportions()
    ratio = np.nanmedian(found.lengths / usual.lengths) if np.isfinite(found.lengths).any() else 1.0
    return Proportions(
        np.where(np.isfinite(found.lengths), found.lengths, ratio * usual.lengths),
        np.where(np.isfinite(found.face), found.face, ratio * usual.face),
    )


def _quiet_median(proportions: Proportions) -> Proportions:
    """The medians; NaN, without a warning, for what is nowhere known."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        return median_proportions(proportions)


def write_body(path: Path, body: Proportions) -> None:
    """Write a standard body as JSON, its bones by name."""
    lengths = {bone.name: round(float(length), 5) for bone, length in zip(BONES, body.lengths, strict=True)}
    path.write_text(json.dumps({"unit": "m", "lengths": lengths, "face": body.face.round(5).tolist()}, indent=1) + "\n")


def read_body(path: Path) -> Proportions:
    """Read what `write_body` wrote.

    Raises:
        TrainingError: the file is not a standard body.
    """
    try:
        stored = json.loads(path.read_text())
        return Proportions(np.array([stored["lengths"][bone.name] for bone in BONES]), np.array(stored["face"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} is not a standard body ({error}); `python -m training.priors measure` writes one"
        ) from error


# ------------------------------------------------------------------------------------------------------------ commands

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command("measure")
def measure_command(
    landmarks: Annotated[list[Path], typer.Argument(help="Folders of landmarks, sub-folders included.")],
    out: Annotated[Path, typer.Option(help="JSON file for the standard body.")],
) -> None:
    """Write the standard body of a data set: every bone at its median length."""
    body = standard_body(_observed_clips(landmarks))
    write_body(out, body)
    typer.echo(f"{out}: shoulders {2 * body.lengths[2]:.3f} m, arm {body.lengths[7:9].sum():.3f} m")


@app.command("errors")
def errors_command(
    landmarks: Annotated[list[Path], typer.Argument(help="Folders of landmarks, sub-folders included.")],
    body: Annotated[Path | None, typer.Option(help="Standard body; the median of these landmarks if left out.")] = None,
) -> None:
    """How far regenerated keypoints are from the observed ones, in shoulder widths, both laid upon the shoulders."""
    clips = list(_observed_clips(landmarks))
    standard = standard_body(clips) if body is None else read_body(body)
    for name, on_own in (("each signer's own median bones", True), ("the standard body", False)):
        away = np.concatenate([regeneration_error(*clip, None if on_own else standard) for clip in clips])
        beside, away = np.linalg.norm(away[..., :2], axis=-1), np.linalg.norm(away, axis=-1)
        parts = [
            ("all", slice(0, 61)),
            ("trunk and arms", slice(0, 8)),
            ("face", slice(8, 19)),
            ("hands", slice(19, 61)),
        ]
        for kind, values in (("in space", away), ("in the picture", beside)):
            figures = ", ".join(
                f"{part} {np.nanmedian(values[:, rows]):.3f} / {np.nanpercentile(values[:, rows], 95):.3f}"
                for part, rows in parts
            )
            typer.echo(f"{name}, {kind}, median / 95th percentile in shoulder widths: {figures}")


def regeneration_error(keypoints: Reals, confidence: Reals, body: Proportions | None) -> Reals:
    """[T, 61, 3] from every known keypoint to itself regenerated, in shoulder widths; NaN where unknown.

    Args:
        keypoints: [T, 61, 3] metres.
        confidence: [T, 61].
        body: whose bones; None for the clip's own medians.
    """
    own = standard_body([(keypoints, confidence)])
    body = own if body is None else body
    pose = normalise(keypoints, confidence)
    centred = keypoints - (keypoints[:, L_SHOULDER, None] + keypoints[:, R_SHOULDER, None]) / 2.0
    made, seen = (points / (2.0 * one.lengths[2]) for points, one in ((regenerate(pose, body), body), (centred, own)))
    away: Reals = np.where(pose.known[..., None], made - seen, np.nan)
    return away


@app.command("show")
def show_command(
    clip: Annotated[Path, typer.Argument(help="A video.")],
    out: Annotated[Path, typer.Argument(help="Picture (.png, a sheet of frames) or video (.mp4) to write.")],
    *,
    poses: Annotated[Path | None, typer.Option(help="Its landmarks; found with MediaPipe if left out.")] = None,
    body: Annotated[Path | None, typer.Option(help="Standard body; a middling adult if left out.")] = None,
    num_frames: Annotated[int, typer.Option(min=1, help="Frames on a sheet, spread over the clip.")] = 8,
) -> None:
    """Draw the regenerated skeleton over a clip's frames, for a person to check."""
    from model.skeleton.estimator import Options
    from training.overlay import contact_sheet, draw_clip, read_posed_clip
    from training.pose import estimate
    from training.synth.video import encode

    try:
        landmarks = estimate(clip, Options()) if poses is None else read_landmarks(poses)
        posed = read_posed_clip(clip, landmarks)
        drawn = list(draw_clip(posed, standard_proportions() if body is None else read_body(body)))
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


if __name__ == "__main__":
    app()
