"""Commands that measure the synthetic motion: distinct, fidelity, detect. `python -m training.synth` offers them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, track

from training.errors import PoseError
from training.synth.clips.signers import Signer, body_source, sample_signer
from training.synth.measures.detection import measure_detection
from training.synth.measures.distinctness import measure_distinctness
from training.synth.measures.fidelity import measure_reenactment
from training.synth.people.assets import DEFAULT_FOLDER

measures = typer.Typer(no_args_is_help=True)
console = Console(stderr=True)
Assets = Annotated[Path, typer.Option("--assets", help="Folder of the bodies' files.")]
Figures = Annotated[bool, typer.Option("--mannequins", help="Plain figures; needs no download.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@measures.command()
def distinct(
    signs: Annotated[int, typer.Option(min=2)] = 500,
    seed: int = 7,
    assets: Assets = DEFAULT_FOLDER,
    mannequins: Figures = False,
    json_: Json = False,
) -> None:
    """Distinctness: rank-1 rate of finding a sign among another signer's by exact hand angles."""
    signers = [(who.body.rig, who.style) for who in _cast(2, seed, assets, mannequins)]
    with _steps(2 * signs, "performing") as advance:
        found = asdict(measure_distinctness(signers, num_signs=signs, seed=seed, advance=advance))
    confused = found.pop("confused")
    _say(found | ({"confused": confused} if json_ else {}), json_)


@measures.command()
def fidelity(
    landmarks: Annotated[Path, typer.Argument(help="Folder of clips' landmarks (.npz), searched to the bottom.")],
    bodies: Annotated[int, typer.Option(min=1, help="How many bodies take turns.")] = 6,
    seed: int = 7,
    assets: Assets = DEFAULT_FOLDER,
    mannequins: Figures = False,
    json_: Json = False,
) -> None:
    """Fidelity of the re-enactment of real clips by other bodies."""
    files = _landmarks_below(landmarks)
    rigs = [who.body.rig for who in _cast(bodies, seed, assets, mannequins)]
    with _steps(len(files), "performing") as advance:
        _say(asdict(measure_reenactment(files, rigs, advance=advance)), json_)


@measures.command()
def detect(
    rendered: Annotated[Path, typer.Argument(help="Folder that the render command wrote.")],
    landmarks: Annotated[Path, typer.Argument(help="MediaPipe's landmarks of its videos (.npz, named like them).")],
    real: Annotated[Path | None, typer.Option(help="Landmarks of real clips, for the detector's own jitter.")] = None,
    json_: Json = False,
) -> None:
    """What MediaPipe Holistic detects in rendered clips, and its errors."""
    truths = sorted((rendered / "keypoints").glob("*.npz"))
    found = {file.name.split(".")[0]: file for file in _landmarks_below(landmarks)}
    if missing := [truth.name for truth in truths if truth.name.split(".")[0] not in found]:
        raise PoseError(f"no landmarks in {landmarks} for {len(missing)} clips, {missing[0]} for one")
    pairs = [found[truth.name.split(".")[0]] for truth in truths]
    _say(asdict(measure_detection(truths, pairs, _landmarks_below(real) if real else ())), json_)


def _cast(number: int, seed: int, assets: Path, mannequins: bool) -> list[Signer]:
    source = body_source(None if mannequins else str(assets))
    return [sample_signer(source, row, seed) for row in track(range(number), "bodies", console=console)]


def _landmarks_below(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.npz"))
    if not files:
        raise PoseError(f"{folder} holds no landmarks (.npz); `python -m training.data pose` makes them")
    return files


@contextmanager
def _steps(total: int, what: str) -> Iterator[Callable[[], None]]:
    """A progress bar and what moves it on."""
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _say(result: dict[str, Any], as_json: bool) -> None:
    plain = {
        name: value.round(5).tolist() if isinstance(value, np.ndarray) else value for name, value in result.items()
    }
    if as_json:
        typer.echo(json.dumps(plain))
    else:
        typer.echo("\n".join(f"{name}: {value}" for name, value in plain.items()))
